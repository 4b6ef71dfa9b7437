// What strategies that relieve hot hosts have in common: how hot a host is, which host would stay cool, and which VMs of hosts
// that stay hot could not leave, and why.
import { whyStuck } from "./explain.ts";
import { percent, ratio } from "./format.ts";
import type { StrategyAnswer, StrategyInput } from "./strategy.ts";
import type { Rejection } from "./types.ts";
import {
  CPU,
  hostAt,
  knownHostIndexes,
  MEMORY,
  NETWORK,
  ratioOf,
  RESOURCE_NAMES,
  RESOURCES,
  vmAt,
  type World,
} from "./world.ts";

/** What a host can be hot by. */
export const HEATING = [CPU, MEMORY, NETWORK] as const;

/** Sums of ratios are floating point: what differs by less is the same. */
const EPSILON = 1e-9;

/** The fullest of a host's cores, memory and network. */
export const fullestOf = (world: World, host: number): number =>
  Math.max(ratioOf(world, host, CPU), ratioOf(world, host, MEMORY), ratioOf(world, host, NETWORK));

/** Resources of which a host uses more than `hotRatio`. */
export const hotBy = (world: World, host: number): number[] =>
  HEATING.filter((resource) => ratioOf(world, host, resource) > world.parameters.hotRatio + EPSILON);

export const isHot = (world: World, host: number): boolean =>
  fullestOf(world, host) > world.parameters.hotRatio + EPSILON;

/** Share of a host's resource that a VM takes there; 0 where the host's capacity is not known. */
export function shareOf({ demand, capacity }: World, vm: number, host: number, resource: number): number {
  const total = capacity[host * RESOURCES + resource] ?? 0;
  return total <= 0 ? 0 : (demand[vm * RESOURCES + resource] ?? 0) / total;
}

/** The resource of a host that the VM would bring above `hotRatio`, with the ratio that it would have; null: it stays cool. */
export function heatedBy(world: World, vm: number, host: number): { resource: number; after: number } | null {
  for (const resource of HEATING) {
    const share = shareOf(world, vm, host, resource);
    const after = ratioOf(world, host, resource) + share;
    if (share > 0 && after > world.parameters.hotRatio + EPSILON) return { resource, after };
  }
  return null;
}

/** "cpu 94 %, memory 20 %": what has no known capacity is left out. */
export const loadsOf = (world: World, host: number): string =>
  HEATING.filter((resource) => (world.capacity[host * RESOURCES + resource] ?? 0) > 0)
    .map((resource) => `${RESOURCE_NAMES[resource]} ${percent(ratioOf(world, host, resource))}`)
    .join(", ");

export const hostName = (world: World, host: number): string => hostAt(world, host).hostId;

export const vmName = (world: World, vm: number): string => vmAt(world, vm).name;

/** "hottest host hv-01 at 0.61 of its cores, not over 0.80", for plans without a move. */
export function hottestIn(world: World): string {
  const known = knownHostIndexes(world);
  const hottest = known.reduce(
    (best, host) => (best === -1 || ratioOf(world, host, CPU) > ratioOf(world, best, CPU) ? host : best),
    -1,
  );
  if (hottest === -1) return "0 hosts of known load";
  const at = ratioOf(world, hottest, CPU);
  const { hotRatio } = world.parameters;
  return `hottest host ${hostName(world, hottest)} at ${ratio(at)} of its cores, ${at > hotRatio ? "over" : "not over"} ${ratio(hotRatio)}`;
}

/** So many VMs of hosts that stay hot are told of, the busiest first. */
const STUCK_MAX = 100;
/** So many hosts are asked whether a mechanism gets the VM there: the cost models run for each. */
const OBSTACLES_ASKED_MAX = 1;

/** VMs on hosts that stay hot, the busiest first, each with what keeps it there. `left`: those that a move already takes. */
export function stuckOn(
  input: StrategyInput,
  world: World,
  hosts: readonly number[],
  left: ReadonlySet<number>,
): StrategyAnswer["stuck"] {
  const cpu = (vm: number): number => world.demand[vm * RESOURCES + CPU] ?? 0;
  return hosts
    .flatMap((host) => [...(world.vmsOn[host] ?? [])])
    .filter((vm) => !left.has(vm) && !input.fixed.has(vm))
    .sort((a, b) => cpu(b) - cpu(a) || a - b)
    .slice(0, STUCK_MAX)
    .map((vm) => ({ vm, rejections: whyItStays(input, world, vm) }));
}

function whyItStays(input: StrategyInput, world: World, vm: number): Rejection[] {
  let asked = 0;
  return whyStuck(world, vm, (host) => {
    const hot = wouldBeHot(world, vm, host);
    if (hot !== null || asked >= OBSTACLES_ASKED_MAX) return hot;
    asked += 1;
    return input.obstacleOf(vm, host) ?? tooLittle(world, vm, host);
  });
}

/** Why a host that has the room is no place for the VM: it would be hot itself. null: it would not. */
export function wouldBeHot(world: World, vm: number, host: number): Rejection | null {
  const heated = heatedBy(world, vm, host);
  if (heated === null) return null;
  const { hotRatio } = world.parameters;
  const hostId = hostName(world, host);
  const detail = `${hostId} would be hot itself with ${vmName(world, vm)}: ${RESOURCE_NAMES[heated.resource]} ${percent(heated.after)}, over ${percent(hotRatio)}.`;
  return { hostId, constraint: "no-gain", detail, required: heated.after, available: hotRatio, unit: "ratio" };
}

function tooLittle(world: World, vm: number, to: number): Rejection {
  const from = world.hostOf[vm] ?? 0;
  const hostId = hostName(world, to);
  const share = Math.max(...HEATING.map((resource) => shareOf(world, vm, from, resource)));
  const detail = `${hostId} could take ${vmName(world, vm)}, which is too little of the load to move it: at most ${percent(share)} of a resource of ${hostName(world, from)}.`;
  return { hostId, constraint: "no-gain", detail, available: share, unit: "ratio" };
}
