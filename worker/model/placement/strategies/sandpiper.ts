// Sandpiper (Wood, Shenoy, Venkataramani and Yousif, NSDI 2007), from knowledge of the paper: what is left of a host in all
// dimensions as one figure, its volume; the VM with the most volume for its memory leaves, to the host with the least volume.
import { fits, mayMove } from "../constraints.ts";
import { counted, listed, percent, size } from "../format.ts";
import { type Need, needsOf, tellNeed, withNeeds } from "../gray-box.ts";
import { heatedBy, hostName, hotBy, hottestIn, isHot, loadsOf, shareOf, stuckOn, vmName } from "../hotspots.ts";
import { ladderOf } from "../ladder.ts";
import type { Proposal, Strategy, StrategyInput } from "../strategy.ts";
import { type Exchange, swapFor } from "../swap.ts";
import type { Rejection } from "../types.ts";
import { hostVolume, sentBytes, vmVsr } from "../volume.ts";
import { GIB } from "../../units.ts";
import { CPU, knownHostIndexes, place, ratioOf, type World } from "../world.ts";

/** A VM that takes less than this of what its host is hot by is not worth its bytes. */
const SHARE_MIN = 0.01;

type Relief = Exchange & {
  needs: ReadonlyMap<number, Need>;
  moved: Set<number>;
  proposals: Proposal[];
  bundles: number;
};

export const sandpiper: Strategy = {
  name: "sandpiper",
  goals: ["balance"],
  summary:
    "Relieves hot hosts, that of most volume first, of the VMs with most volume for their memory, each to the host of least volume; swaps where none has room.",
  propose(input) {
    const needs = needsOf(input.world);
    const world = withNeeds(input.world, needs);
    const hot = hotHosts(input, world, needs);
    const ladder = ladderOf(knownHostIndexes(world), (host) => hostVolume(world, host));
    const relief: Relief = { input, world, needs, ladder, hot, moved: new Set(), proposals: [], bundles: 0 };
    const seen = [...needs].slice(0, 10).map(([vm, need]) => `${tellNeed(vmName(world, vm), need)}.`);
    const order = [...hot.keys()].sort((a, b) => hostVolume(world, b) - hostVolume(world, a) || a - b);
    const cool = order.filter((host) => relieve(relief, host));
    const stayHot = order.filter((host) => !cool.includes(host));
    // What is left once there are enough moves is not stuck: it has not been looked at.
    const looked = isEnough(relief) ? [] : stayHot;
    const stuck = stuckOn(input, world, looked, relief.moved).map(({ vm, rejections }) => ({
      vm,
      rejections: whyNoVcpus(relief, vm) ?? rejections,
    }));
    return { proposals: relief.proposals, stuck, seen, idle: idleOf(relief, stayHot) };
  },
};

function idleOf({ world, hot, proposals }: Relief, stayHot: readonly number[]): string {
  if (hot.size === 0) return hottestIn(world);
  const names = listed(stayHot.map((host) => hostName(world, host)));
  return `${counted(hot.size, "host")} hot, ${counted(proposals.length, "move")} found${names === "" ? "" : `, and ${names} would stay hot`}: ${hottestIn(world)}`;
}

/** Hosts that were found hot, and those on which a VM answers too late. */
function hotHosts({ findings }: StrategyInput, world: World, needs: ReadonlyMap<number, Need>): Map<number, string> {
  const hot = new Map(findings.filter(({ state }) => state === "hot").map((found) => [found.host, found.sentence]));
  for (const [vm, need] of needs) {
    const host = world.hostOf[vm] ?? 0;
    if (!isHot(world, host)) hot.set(host, `${hostName(world, host)} is hot: ${tellNeed(vmName(world, vm), need)}.`);
  }
  return hot;
}

/** Moves VMs off the host until it is cool; false: it stays hot. */
function relieve(relief: Relief, host: number): boolean {
  const { world } = relief;
  if (!isHot(world, host)) return moveLate(relief, host);
  const waiting: number[] = [];
  for (const vm of leavingFirst(relief, host)) {
    if (!isHot(world, host) || isEnough(relief)) break;
    const to = targetFor(relief, vm);
    if (to === null) waiting.push(vm);
    else propose(relief, [{ vm, to }]);
  }
  for (const vm of waiting) {
    if (!isHot(world, host) || isEnough(relief)) break;
    const swap = swapFor(relief, vm);
    if (swap !== null) propose(relief, swap);
  }
  return !isHot(world, host);
}

/** A host that is hot only because VMs on it answer too late: these leave, where there is less volume. */
function moveLate(relief: Relief, host: number): boolean {
  const { world, needs } = relief;
  for (const vm of leavingFirst(relief, host)) {
    if (isEnough(relief)) break;
    const to = targetFor(relief, vm);
    if (to !== null && hostVolume(world, to) < hostVolume(world, host)) propose(relief, [{ vm, to }]);
  }
  return ![...(world.vmsOn[host] ?? [])].some((vm) => needs.has(vm));
}

/** One more than a plan may have is proposed, so that the plan says what it is short of. */
const isEnough = ({ input, proposals }: Relief): boolean =>
  proposals.length > input.world.parameters.movesMax - input.fixed.size || input.isSpent(0);

/** VMs that would relieve the host, those with most volume for their memory first. */
function leavingFirst({ world, needs, input, moved }: Relief, host: number): number[] {
  const hot = hotBy(world, host);
  const relieves = (vm: number): boolean =>
    hot.length > 0
      ? hot.some((resource) => shareOf(world, vm, host, resource) >= SHARE_MIN)
      : needs.get(vm)?.lacksVcpus === false;
  return [...(world.vmsOn[host] ?? [])]
    .filter((vm) => !input.fixed.has(vm) && !moved.has(vm) && world.cpuKnown[vm] === 1 && relieves(vm))
    .filter((vm) => mayMove(world, vm))
    .map((vm) => ({ vm, vsr: vmVsr(world, vm) }))
    .sort((a, b) => b.vsr - a.vsr || a.vm - b.vm)
    .map(({ vm }) => vm);
}

/** The host of least volume that has room and stays cool, and to which a mechanism gets; null: none. */
function targetFor({ input, world, ladder, hot }: Relief, vm: number): number | null {
  let asked = 0;
  const to = ladder.hosts.find((host) => {
    asked += 1;
    return (
      !hot.has(host) && fits(world, vm, host) && heatedBy(world, vm, host) === null && input.costOf(vm, host) !== null
    );
  });
  input.isSpent(asked);
  return to ?? null;
}

/** Makes the moves, and proposes them as what stands or falls together. */
function propose(relief: Relief, moves: readonly { vm: number; to: number }[]): void {
  const { world, ladder, proposals, moved } = relief;
  const before = moves.map(({ vm, to }) => whyOf(relief, vm, to, moves.length));
  const touched = new Set(moves.flatMap(({ vm, to }) => [world.hostOf[vm] ?? 0, to]));
  for (const { vm, to } of moves) {
    place(world, vm, to);
    moved.add(vm);
  }
  for (const host of touched) ladder.update(host);
  moves.forEach(({ vm, to }, index) => {
    const why = before[index] ?? { vm: "", there: "", now: "" };
    const there = `${why.there}, afterwards ${hostVolume(world, to).toFixed(2)} (${loadsOf(world, to)}).`;
    proposals.push({ vm, to, bundle: relief.bundles, mandatory: false, why: { ...why, there } });
  });
  relief.bundles += 1;
}

/** As it is before the moves. */
function whyOf({ world, hot, needs }: Relief, vm: number, to: number, members: number): Proposal["why"] {
  const from = world.hostOf[vm] ?? 0;
  const [name, source, target] = [vmName(world, vm), hostName(world, from), hostName(world, to)];
  const [vsr, bytes] = [vmVsr(world, vm), sentBytes(world, vm)];
  const volume = `a volume of ${((vsr * bytes) / GIB).toFixed(2)} in ${size(bytes)}, ${vsr.toFixed(2)} a GiB`;
  const need = needs.get(vm);
  const late = need === undefined ? "" : ` ${tellNeed(name, need)}.`;
  const now = hot.get(from) ?? hot.get(to) ?? "";
  if (!hot.has(from))
    return {
      vm: `${name} makes room on ${source} for a VM of ${target}: it has ${volume}, among the least of ${source}.`,
      there: `${target} takes it in exchange, ${counted(members, "move")} that belong together: volume ${hostVolume(world, to).toFixed(2)} before`,
      now,
    };
  return {
    vm: `${name} has ${volume}, the most of what can leave ${source}, whose volume is ${hostVolume(world, from).toFixed(2)}.${late}`,
    there: `${target} has the least volume of the hosts that can take ${name}: ${hostVolume(world, to).toFixed(2)} before`,
    now,
  };
}

function whyNoVcpus({ needs, world }: Relief, vm: number): Rejection[] | null {
  const need = needs.get(vm);
  if (need?.lacksVcpus !== true || isHot(world, world.hostOf[vm] ?? 0)) return null;
  const host = world.hostOf[vm] ?? 0;
  const detail = `${tellNeed(vmName(world, vm), need)}, all of its vCPUs, while ${hostName(world, host)} uses ${percent(ratioOf(world, host, CPU))} of its cores: give it more vCPUs, another host would not help.`;
  return [{ constraint: "no-gain", detail, required: need.cores, available: need.usedCores, unit: "cores" }];
}
