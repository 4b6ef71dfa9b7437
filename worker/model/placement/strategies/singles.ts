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
/** Of these so many are costed: what a migration costs differs little from host to host. */
const HOSTS_COSTED_MAX = 2;
/** Distances to so many hosts are added up in the time in which one move is weighed. */
const DISTANCES_PER_EVALUATION = 20;
/** Bounds are sums of floating point: a little above what they bound. */
const SLACK = 1e-9;
const WATTS_PER_KW = 1000;

/** What is known of a VM and those that move with it. */
type Known = {
  /** null: it may not move. */
  unit: number[] | null;
  nearer: Nearer;
  /** An hour: what moving it may save besides its traffic, at most. */
  reliefMax: number;
  /** Its best move, where that is known. */
  best: Weighed | null;
};

const UNKNOWN = 0;
const BOUNDED = 1;
const EXACT = 2;

export type Singles = {
  input: StrategyInput;
  /** VMs that have been moved, here or by an earlier goal. */
  done: Set<number>;
  /** By VM, as far as `state` says that it holds. */
  known: (Known | undefined)[];
  /** By VM: UNKNOWN since something changed, BOUNDED, or EXACT where its best move is known. */
  state: Uint8Array;
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
  state: new Uint8Array(input.world.vms.length),
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
  const { known, netMax, state } = singles;
  for (const vm of talking) if (state[vm] === UNKNOWN) lookAt(singles, vm);
  let best = bestExact(singles, talking);
  for (const vm of openAbove(singles, talking, best.net)) {
    if ((netMax[vm] ?? best.net) < best.net) break;
    weighAll(singles, vm, best.net);
    if (state[vm] === EXACT) best = bestExact(singles, best.vm === -1 ? [vm] : [best.vm, vm]);
  }
  return known[best.vm]?.best ?? null;
}

/** -1: none of these is known exactly. */
function bestExact({ netMax, state }: Singles, vms: readonly number[]): { vm: number; net: number } {
  const best = { vm: -1, net: Number.NEGATIVE_INFINITY };
  for (const vm of vms) {
    const net = netMax[vm] ?? best.net;
    if (state[vm] === EXACT && (net > best.net || (net === best.net && vm < best.vm))) Object.assign(best, { vm, net });
  }
  return best;
}

/** VMs whose best is not known and could be better than that, those first that could bring most. */
function openAbove({ netMax, state }: Singles, talking: readonly number[], floor: number): number[] {
  const net = (vm: number): number => netMax[vm] ?? Number.NEGATIVE_INFINITY;
  return talking.filter((vm) => state[vm] === BOUNDED && net(vm) >= floor).sort((a, b) => net(b) - net(a) || a - b);
}

/** What a move to the host may bring over the horizon, before what the migration costs. */
function netMaxAt({ world }: StrategyInput, relief: number, crossingSaved: number): number {
  const perHour = trafficPrice(world.parameters, crossingSaved) + relief + SLACK;
  return (perHour * world.parameters.horizonMs) / HOUR_MS;
}

const NOWHERE: Nearer = { hosts: [], crossingSaved: [] };

function lookAt(singles: Singles, vm: number): void {
  const { input, known } = singles;
  const unit = movableUnit(singles, vm);
  const isSpent = unit === null || input.isSpent(input.world.hosts.length / DISTANCES_PER_EVALUATION);
  const nearer = isSpent ? NOWHERE : nearerHosts(input.world, unit);
  known[vm] = { unit: isSpent ? null : unit, nearer, reliefMax: 0, best: null };
  boundAnew(singles, vm);
}

/** After a change where it is, or where it was weighed. */
function boundAnew({ input, known, netMax, state, wattsPerCoreMin: perCore }: Singles, vm: number): void {
  const it = known[vm];
  const [nearest] = it?.nearer.crossingSaved ?? [];
  netMax[vm] = Number.NEGATIVE_INFINITY;
  state[vm] = EXACT;
  if (it === undefined || it.unit === null || nearest === undefined) return;
  it.reliefMax = reliefMax(input, perCore, it.unit);
  it.best = null;
  netMax[vm] = netMaxAt(input, it.reliefMax, nearest);
  state[vm] = BOUNDED;
}

/**
 * An hour: what the source costs less without the unit, less the watts that it draws wherever it goes. Soft rules may gain at a
 * destination what no source can tell: then there is no bound.
 */
function reliefMax({ world, counted, means }: StrategyInput, perCore: number, unit: readonly number[]): number {
  const from = world.hostOf[unit[0] ?? 0] ?? 0;
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
  const { input, known, netMax, state } = singles;
  const it = known[vm];
  if (it === undefined) return;
  const { gross, beyond } = grossAt(singles, vm, it, floor);
  const promising = gross.filter(({ gain }) => gain.net >= floor).sort((a, b) => b.gain.net - a.gain.net);
  const others = gross.reduce((most, { gain }) => (gain.net < floor ? Math.max(most, gain.net) : most), beyond);
  it.best = bestCosted(input, promising);
  const net = it.best?.gain.net ?? Number.NEGATIVE_INFINITY;
  state[vm] = net >= others ? EXACT : BOUNDED;
  netMax[vm] = Math.max(net, others);
}

/** What it would bring on each of these hosts, before its migrations cost anything; `beyond`: no other brings more. */
function grossAt(
  { input, watching }: Singles,
  vm: number,
  { unit, nearer, reliefMax: relief }: Known,
  floor: number,
): { gross: Weighed[]; beyond: number } {
  const gross: Weighed[] = [];
  for (const [index, host] of nearer.hosts.entries()) {
    if (gross.length >= HOSTS_WEIGHED_MAX || input.isSpent(0)) break;
    const most = netMaxAt(input, relief, nearer.crossingSaved[index] ?? 0);
    if (most < floor) return { gross, beyond: most };
    watching[host]?.add(vm);
    const found = coolGross(input, unit ?? [], host);
    if (found !== null) gross.push(found);
  }
  return { gross, beyond: Number.NEGATIVE_INFINITY };
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
  for (const one of gross.slice(0, HOSTS_COSTED_MAX)) {
    if (best !== null && one.gain.net <= best.gain.net) return best;
    best = better(best, withCosts(one, input.roughCostOf));
  }
  return best;
}

/** Makes moves, and forgets what was known of VMs on which they bear. */
export function makeMoves(singles: Singles, moves: readonly BundleMove[]): void {
  const { done, known, state, watching } = singles;
  const { world } = singles.input;
  const touched = new Set(moves.flatMap(({ vm, to }) => [world.hostOf[vm] ?? 0, to]));
  for (const { vm, to } of moves) {
    place(world, vm, to);
    done.add(vm);
    state[vm] = UNKNOWN;
    for (const peer of world.peers[vm] ?? []) state[peer.vm] = UNKNOWN;
  }
  const again = (vm: number): void => {
    if (state[vm] !== UNKNOWN) boundAnew(singles, vm);
  };
  for (const host of touched) {
    // Which VMs move with one of them may have changed too. What follows takes VMs off the host and puts them back.
    const here = [...(world.vmsOn[host] ?? [])];
    for (const vm of here) if ((known[vm]?.unit?.length ?? 1) > 1) state[vm] = UNKNOWN;
    here.forEach(again);
    watching[host]?.forEach(again);
    watching[host]?.clear();
  }
}
