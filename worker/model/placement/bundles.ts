// Bundles of moves as strategies weigh them, by the same figures as the selection does afterwards.
import { gainOf, rateAround, whyNotPaying, withCost } from "./gain.ts";
import { placeAll } from "./select.ts";
import type { StrategyInput } from "./strategy.ts";
import type { MoveGain, Rejection } from "./types.ts";
import {
  CPU,
  hostAt,
  knownHostIndexes,
  MEMORY,
  NETWORK,
  place,
  ratioOf,
  RESOURCE_NAMES,
  RESOURCES,
  type World,
} from "./world.ts";

export type BundleMove = { vm: number; to: number };
export type Weighed = { moves: BundleMove[]; gain: MoveGain };

/** The VMs that hard rules keep on one host with this one, and that are there now, itself among them; in order. */
export function unitOf({ groups, hostOf }: World, vm: number): number[] {
  const unit = new Set([vm]);
  for (const member of unit)
    for (const group of groups.ofVm[member] ?? []) {
      const it = groups.groups[group];
      if (it?.kind !== "vm-affinity" || !it.hard || it.domain !== "host") continue;
      for (const mate of it.members) if (hostOf[mate] === hostOf[vm]) unit.add(mate);
    }
  return [...unit].sort((a, b) => a - b);
}

export const originsOf = (world: World, moves: readonly BundleMove[]): number[] =>
  moves.map(({ vm }) => world.hostOf[vm] ?? 0);

/** Makes the moves if all of them fit in the state that they make together; else changes nothing and says what does not. */
export const placeBundle = (world: World, moves: readonly BundleMove[]): Rejection[] | null =>
  placeAll(world, moves, originsOf(world, moves));

type IsFine = (world: World) => boolean;

/** What the moves would bring together; null: one does not fit, no mechanism makes it, or `isFine` is against the state. */
export function weigh(input: StrategyInput, moves: readonly BundleMove[], isFine: IsFine = () => true): Weighed | null {
  const gross = grossOf(input, moves, isFine);
  return gross === null ? null : withCosts(gross, input.costOf);
}

/** The same as if migrations cost nothing: the cost models are not asked. */
export function grossOf(input: StrategyInput, moves: readonly BundleMove[], isFine: IsFine): Weighed | null {
  const { world, counted, means } = input;
  const origins = originsOf(world, moves);
  const touched = new Set([...origins, ...moves.map(({ to }) => to)]);
  const vms = moves.map(({ vm }) => vm);
  input.isSpent(1);
  const before = rateAround(world, touched, vms, counted, means);
  if (placeAll(world, moves, origins) !== null) return null;
  const after = rateAround(world, touched, vms, counted, means);
  const fine = isFine(world);
  moves.forEach(({ vm }, index) => place(world, vm, origins[index] ?? 0));
  if (!fine) return null;
  const gain = gainOf(before, after, 0, { bundle: 1, mandatory: false }, world.parameters);
  return { moves: [...moves], gain };
}

/** The same with what its migrations cost; null: no mechanism makes one of them. */
export function withCosts({ moves, gain }: Weighed, costOf: StrategyInput["costOf"]): Weighed | null {
  let cost = 0;
  for (const { vm, to } of moves) {
    const one = costOf(vm, to);
    if (one === null) return null;
    cost += one;
  }
  return { moves, gain: withCost(gain, cost) };
}

export const pays = (gain: MoveGain, { parameters }: World): boolean => whyNotPaying(gain, "", parameters) === null;

/** Of two bundles the one that brings more; the first where they bring the same. */
export const better = (one: Weighed | null, other: Weighed | null): Weighed | null =>
  one === null || (other !== null && other.gain.net > one.gain.net) ? other : one;

/** The resource of which a host has more in use than `hotRatio`; null: none. */
export function hotResource(world: World, host: number): number | null {
  return [CPU, MEMORY, NETWORK].find((of) => ratioOf(world, host, of) > world.parameters.hotRatio) ?? null;
}

/** That a host would be hot with what is to come. */
export function tooHot(world: World, host: number, resource: number, after: number, name: string): Rejection {
  const { hostId } = hostAt(world, host);
  const { hotRatio } = world.parameters;
  const detail = `${hostId} would be at ${after.toFixed(2)} of its ${RESOURCE_NAMES[resource]} with ${name}, over ${hotRatio.toFixed(2)}: free some of it, or raise hotRatio.`;
  const constraint = resource === CPU ? "cpu" : resource === MEMORY ? "memory" : "network-peak";
  return { hostId, constraint, detail, required: after, available: hotRatio, unit: "ratio" };
}

/** The fuller of committed memory and CPU of a host, as shares, once these VMs are there as well. */
export function loadWith(world: World, vms: readonly number[], host: number): number {
  const coming = vms.filter((vm) => world.hostOf[vm] !== host);
  const bytes = coming.reduce((sum, vm) => sum + (world.vmBytes[vm] ?? 0), world.committed[host] ?? 0);
  const cores = coming.reduce(
    (sum, vm) => sum + (world.demand[vm * RESOURCES + CPU] ?? 0),
    world.used[host * RESOURCES + CPU] ?? 0,
  );
  const { memoryBytes, cpu } = hostAt(world, host);
  return Math.max(bytes / memoryBytes, cores / cpu.cores);
}

/** Hosts of known load, those first that stay least loaded with these VMs. */
export const leastLoadedFirst = (world: World, vms: readonly number[]): number[] =>
  knownHostIndexes(world)
    .map((host) => ({ host, load: loadWith(world, vms, host) }))
    .sort((a, b) => a.load - b.load || a.host - b.host)
    .map(({ host }) => host);
