// The best single move for VMs that talk to each other, without weighing every VM anew after each move: what a VM could save at
// most is cheap to know, and only those that might beat the best are weighed in full, and costed last of all.
import { better, type BundleMove, grossOf, hotResource, unitOf, type Weighed, withCosts } from "../bundles.ts";
import { fits, mayMove } from "../constraints.ts";
import { hostRate, totalOf, trafficPrice, wattsAt, weightsOf } from "../score.ts";
import type { StrategyInput } from "../strategy.ts";
import { HOUR_MS } from "../../units.ts";
import { arrive, CPU, depart, knownHostIndexes, place, RESOURCES, type World } from "../world.ts";
import { type Nearer, nearerHosts } from "./talk.ts";

/** Hosts that are weighed in full for a VM: those that bring its peers nearest. */
const HOSTS_WEIGHED_MAX = 8;
/** Distances to so many hosts are added up in the time in which one move is weighed. */
const DISTANCES_PER_EVALUATION = 20;
/** Bounds are sums of floating point: a little above what they bound. */
const SLACK = 1e-9;
const WATTS_PER_KW = 1000;

/** What is known of a VM and those that move with it. */
type Known = {
  /** null: it may not move. */
  unit: number[] | null;
  nearer: Nearer[];
  /** An hour: what moving it may save besides its traffic, at most. */
  reliefMax: number;
  /** Its best move; undefined: that is not known. */
  best: Weighed | null | undefined;
};

export type Singles = {
  input: StrategyInput;
  /** VMs that have been moved, here or by an earlier goal. */
  done: Set<number>;
  /** By VM; undefined: it was not looked at since something changed. */
  known: (Known | undefined)[];
  /** By VM: what no move of it brings more than, over the horizon; what its best move brings where that is known. */
  netMax: Float64Array;
  /** By host: the VMs of which something is known that depends on it. */
  watching: Set<number>[];
  /** Watts that one more core in use draws at least, wherever. */
  wattsPerCoreMin: number;
};

export const singlesOf = (input: StrategyInput): Singles => ({
  input,
  done: new Set(input.fixed),
  known: input.world.vms.map(() => undefined),
  netMax: new Float64Array(input.world.vms.length).fill(Number.NEGATIVE_INFINITY),
  watching: input.world.hosts.map(() => new Set()),
  wattsPerCoreMin: wattsPerCoreMin(input.world),
});

function wattsPerCoreMin(world: World): number {
  let least = Number.POSITIVE_INFINITY;
  for (const host of knownHostIndexes(world)) {
    const { power } = world.hosts[host] ?? {};
    const cores = world.capacity[host * RESOURCES + CPU] ?? 0;
    for (let tenth = 0; tenth < 10; tenth++) {
      const step = (wattsAt(power, (tenth + 1) / 10) ?? 0) - (wattsAt(power, tenth / 10) ?? 0);
      least = Math.min(least, cores > 0 ? (10 * step) / cores : 0);
    }
  }
  return Number.isFinite(least) ? least : 0;
}

/** The VM with the mates that hard rules keep on its host; null: one of them may not move, or has been moved. */
export function movableUnit({ input: { world }, done }: Pick<Singles, "input" | "done">, vm: number): number[] | null {
  const unit = unitOf(world, vm);
  return unit.every((member) => !done.has(member) && mayMove(world, member)) ? unit : null;
}

/** The move that brings most, paying or not; of two that bring the same, that of the first VM. null: there is none. */
export function bestSingle(singles: Singles, talking: readonly number[]): Weighed | null {
  const { known, netMax } = singles;
  let floor = Number.NEGATIVE_INFINITY;
  for (const vm of talking) {
    if (known[vm] === undefined) lookAt(singles, vm);
    if (isExact(known[vm])) floor = Math.max(floor, netMax[vm] ?? floor);
  }
  const open = talking.filter((vm) => !isExact(known[vm]) && (netMax[vm] ?? 0) >= floor);
  for (const vm of open.sort((a, b) => (netMax[b] ?? 0) - (netMax[a] ?? 0) || a - b)) {
    if ((netMax[vm] ?? 0) < floor) break;
    weighAll(singles, vm, floor);
    if (isExact(known[vm])) floor = Math.max(floor, netMax[vm] ?? floor);
  }
  const first = talking.find((vm) => isExact(known[vm]) && netMax[vm] === floor);
  return first === undefined ? null : (known[first]?.best ?? null);
}

const isExact = (known: Known | undefined): boolean => known !== undefined && known.best !== undefined;

/** What a move to the host may bring over the horizon, before what the migration costs. */
function netMaxAt({ input: { world } }: Singles, relief: number, { crossingSaved }: Nearer): number {
  const perHour = trafficPrice(world.parameters, crossingSaved) + relief + SLACK;
  return (perHour * world.parameters.horizonMs) / HOUR_MS;
}

function lookAt(singles: Singles, vm: number): void {
  const { input, known } = singles;
  const unit = movableUnit(singles, vm);
  const isSpent = unit === null || input.isSpent(input.world.hosts.length / DISTANCES_PER_EVALUATION);
  known[vm] = isSpent
    ? { unit: null, nearer: [], reliefMax: 0, best: null }
    : { unit, nearer: nearerHosts(input.world, unit), reliefMax: 0, best: null };
  boundAnew(singles, vm);
}

/** After a change where it is, or where it was weighed. */
function boundAnew(singles: Singles, vm: number): void {
  const it = singles.known[vm];
  const [nearest] = it?.nearer ?? [];
  singles.netMax[vm] = Number.NEGATIVE_INFINITY;
  if (it === undefined || it.unit === null || nearest === undefined) return;
  it.reliefMax = reliefMax(singles, it.unit, singles.input.world.hostOf[vm] ?? 0);
  it.best = undefined;
  singles.netMax[vm] = netMaxAt(singles, it.reliefMax, nearest);
}

/**
 * An hour: what the source costs less without the unit, less the watts that it draws wherever it goes. Soft rules may gain at a
 * destination what no source can tell: then there is no bound.
 */
function reliefMax({ input, wattsPerCoreMin: perCore }: Singles, unit: readonly number[], from: number): number {
  const { world, counted, means } = input;
  const { groups } = world;
  if (unit.some((vm) => groups.ofVm[vm]?.some((group) => groups.groups[group]?.hard === false)))
    return Number.POSITIVE_INFINITY;
  // Evenness may gain at both ends.
  if (counted.imbalance) return Number.POSITIVE_INFINITY;
  const weights = weightsOf(world.parameters);
  const before = totalOf(hostRate(world, from, counted, means, weights));
  for (const vm of unit) depart(world, vm, from);
  const after = totalOf(hostRate(world, from, counted, means, weights));
  for (const vm of unit) arrive(world, vm, from);
  const cores = unit.reduce((sum, vm) => sum + (world.demand[vm * RESOURCES + CPU] ?? 0), 0);
  return before - after - (world.parameters.prices.energyPerKwh * perCore * cores) / WATTS_PER_KW;
}

/** Weighs the VM's unit at the nearest hosts that could bring as much as the floor. */
function weighAll(singles: Singles, vm: number, floor: number): void {
  const { input, known, netMax, watching } = singles;
  const it = known[vm];
  if (it === undefined || it.unit === null) return;
  const gross: Weighed[] = [];
  let others = Number.NEGATIVE_INFINITY;
  for (const at of it.nearer) {
    if (gross.length >= HOSTS_WEIGHED_MAX || input.isSpent(0)) break;
    const most = netMaxAt(singles, it.reliefMax, at);
    if (most < floor) {
      others = most;
      break;
    }
    watching[at.host]?.add(vm);
    const found = coolGross(input, it.unit, at.host);
    if (found !== null) gross.push(found);
  }
  const promising = gross.filter(({ gain }) => gain.net >= floor).sort((a, b) => b.gain.net - a.gain.net);
  const best = bestCosted(input, promising);
  for (const { gain } of gross) if (gain.net < floor) others = Math.max(others, gain.net);
  const net = best?.gain.net ?? Number.NEGATIVE_INFINITY;
  it.best = net >= others ? best : undefined;
  netMax[vm] = Math.max(net, others);
}

/** What the unit would bring there before its migrations cost anything; null: it does not fit, or the host would be hot. */
function coolGross(input: StrategyInput, unit: readonly number[], to: number): Weighed | null {
  const { world } = input;
  if (unit.length === 1 && !fits(world, unit[0] ?? 0, to)) return null;
  const moves = unit.map((vm) => ({ vm, to }));
  return grossOf(input, moves, () => hotResource(world, to) === null);
}

/** `gross`: what brings most before its cost first. */
function bestCosted(input: StrategyInput, gross: readonly Weighed[]): Weighed | null {
  let best: Weighed | null = null;
  for (const one of gross) {
    if (best !== null && one.gain.net <= best.gain.net) return best;
    best = better(best, withCosts(input, one));
  }
  return best;
}

/** Makes moves, and forgets what was known of VMs on which they bear. */
export function makeMoves(singles: Singles, moves: readonly BundleMove[]): void {
  const { done, known, watching } = singles;
  const { world } = singles.input;
  const touched = new Set(moves.flatMap(({ vm, to }) => [world.hostOf[vm] ?? 0, to]));
  for (const { vm, to } of moves) {
    place(world, vm, to);
    done.add(vm);
    known[vm] = undefined;
    for (const peer of world.peers[vm] ?? []) known[peer.vm] = undefined;
  }
  for (const host of touched) {
    // Which VMs move with one of them may have changed too.
    for (const vm of [...(world.vmsOn[host] ?? [])])
      if (known[vm]?.unit?.length === 1) boundAnew(singles, vm);
      else known[vm] = undefined;
    for (const vm of watching[host] ?? []) if (known[vm] !== undefined) boundAnew(singles, vm);
    watching[host]?.clear();
  }
}
