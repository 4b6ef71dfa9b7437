// The best single move for VMs that talk to each other, without weighing every VM after each move: what a VM could save at most
// is cheap to know. The VM that might bring most is looked at more closely, step by step, until one is known to bring most: its
// traffic, then the hosts near its peers, and last of all what its migration costs. So the first moves are known early.
import { better, type BundleMove, grossOf, hotResource, unitOf, type Weighed, withCosts } from "../bundles.ts";
import { fits, mayMove } from "../constraints.ts";
import { gainOf } from "../gain.ts";
import { crossing, trafficPrice, trafficRate } from "../score.ts";
import type { StrategyInput } from "../strategy.ts";
import { HOUR_MS } from "../../units.ts";
import { arrive, depart, place } from "../world.ts";
import { type Entry, pop, push } from "./queue.ts";
import { type Rates, ratesOf, reliefOf } from "./relief.ts";
import { type Nearer, nearerHosts } from "./talk.ts";

/** Hosts that are weighed in full for a VM: those that bring its peers nearest. */
const HOSTS_WEIGHED_MAX = 8;
/** Of these so many are costed: what a migration costs differs little from host to host. */
const HOSTS_COSTED_MAX = 2;
/** Bounds are sums of floating point: a little above what they bound. */
const SLACK = 1e-9;

/** What is known of a VM and those that move with it. */
type Known = {
  unit: number[];
  /** An hour: what moving it may save besides its traffic, at most; what its host costs once it has left. */
  reliefMax: number;
  sourceAfter: number;
  /** null: not looked for yet. */
  nearer: Nearer | null;
  /** Of the nearest hosts, how many were asked, and how many of them fit; no other brings more than `beyond`. */
  asked: number;
  fitting: number;
  beyond: number;
  /** What was weighed and not costed yet, what brings most first. */
  gross: Weighed[];
  /** How many were costed, and the best of them. */
  costed: number;
  best: Weighed | null;
};

export type Singles = {
  input: StrategyInput;
  /** VMs that have been moved, here or by an earlier goal. */
  done: Set<number>;
  /** By VM; undefined: it does not talk, or may not move. */
  known: (Known | undefined)[];
  version: Uint32Array;
  queue: Entry[];
  /** By host: the VMs that were weighed there. */
  watching: Set<number>[];
  rates: Rates;
};

/** Nothing is weighed yet: every VM is entered with what its traffic and its host could save at most. */
export function singlesOf(input: StrategyInput, talking: readonly number[]): Singles {
  const { vms, hosts } = input.world;
  const singles: Singles = {
    input,
    done: new Set(input.fixed),
    known: vms.map(() => undefined),
    version: new Uint32Array(vms.length),
    queue: [],
    watching: hosts.map(() => new Set()),
    rates: ratesOf(input),
  };
  for (const vm of talking) startAnew(singles, vm);
  return singles;
}

/** The VM with the mates that hard rules keep on its host; null: one of them may not move, or has been moved. */
export function movableUnit({ input: { world }, done }: Pick<Singles, "input" | "done">, vm: number): number[] | null {
  const unit = unitOf(world, vm);
  return unit.every((member) => !done.has(member) && mayMove(world, member)) ? unit : null;
}

/**
 * The move that brings most, paying or not; of two that bring the same, that of the first VM. null: there is none. Where the
 * budget ends before it is known: the best that is.
 */
export function bestSingle(singles: Singles): Weighed | null {
  const { input, known, queue, version } = singles;
  for (let top = pop(queue); top !== undefined; top = pop(queue)) {
    const { vm } = top;
    if (top.version !== version[vm]) continue;
    if (top.isExact || input.isSpent(0)) {
      push(queue, top);
      return top.isExact ? (known[vm]?.best ?? null) : bestKnown(singles);
    }
    const it = known[vm];
    if (it !== undefined) lookCloser(singles, vm, it, queue[0]?.netMax ?? Number.NEGATIVE_INFINITY);
  }
  return null;
}

function bestKnown({ queue, known, version }: Singles): Weighed | null {
  const exact = queue.filter(({ vm, isExact, version: of }) => isExact && of === version[vm]);
  const [first] = exact.sort((a, b) => b.netMax - a.netMax || a.vm - b.vm);
  return first === undefined ? null : (known[first.vm]?.best ?? null);
}

/** One step: its near hosts are found, or weighed as far as they could bring as much as the floor, or the best of them is costed. */
function lookCloser(singles: Singles, vm: number, it: Known, floor: number): void {
  const { input } = singles;
  if (it.nearer === null) {
    input.isSpent(1);
    it.nearer = nearerHosts(input.world, it.unit);
    it.beyond = beyondOf(singles, it);
  } else if (it.beyond >= Math.max(netOf(it.gross[0]), netOf(it.best))) weighNearest(singles, vm, it, floor);
  else {
    const next = it.gross.shift();
    if (next !== undefined) it.best = better(it.best, withCosts(next, input.roughCostOf));
    it.costed += 1;
  }
  const net = netOf(it.best);
  const open = it.costed >= HOSTS_COSTED_MAX ? Number.NEGATIVE_INFINITY : Math.max(netOf(it.gross[0]), it.beyond);
  enter(singles, vm, Math.max(net, open), net >= open);
}

const netOf = (one: Weighed | null | undefined): number => one?.gain.net ?? Number.NEGATIVE_INFINITY;

/** What is known of the VM now. What can bring nothing at all is not entered. */
function enter({ queue, version }: Singles, vm: number, netMax: number, isExact: boolean): void {
  const now = (version[vm] ?? 0) + 1;
  version[vm] = now;
  if (netMax > Number.NEGATIVE_INFINITY) push(queue, { vm, netMax, isExact, version: now });
}

/** What a move may bring over the horizon, before what the migration costs. */
function netMaxAt({ world }: StrategyInput, relief: number, crossingSaved: number): number {
  const perHour = trafficPrice(world.parameters, crossingSaved) + relief + SLACK;
  return (perHour * world.parameters.horizonMs) / HOUR_MS;
}

/** No host that was not asked yet brings more. */
function beyondOf({ input }: Singles, { nearer, asked, fitting, reliefMax }: Known): number {
  const next = fitting < HOSTS_WEIGHED_MAX ? nearer?.crossingSaved[asked] : undefined;
  return next === undefined ? Number.NEGATIVE_INFINITY : netMaxAt(input, reliefMax, next);
}

/** Weighs the unit at its nearest hosts, as long as the next could bring as much as the floor. */
function weighNearest(singles: Singles, vm: number, it: Known, floor: number): void {
  const { input, watching } = singles;
  const least = Math.max(floor, netOf(it.best));
  while (it.beyond > Number.NEGATIVE_INFINITY && it.beyond >= Math.max(least, netOf(it.gross[0]))) {
    if (input.isSpent(0)) return;
    const host = it.nearer?.hosts[it.asked] ?? -1;
    it.asked += 1;
    watching[host]?.add(vm);
    const found = coolGross(singles, it, host);
    if (found !== null) {
      it.fitting += 1;
      const at = it.gross.findIndex(({ gain }) => gain.net < found.gain.net);
      it.gross.splice(at < 0 ? it.gross.length : at, 0, found);
    }
    it.beyond = beyondOf(singles, it);
  }
}

/** What the unit would bring there before its migrations cost anything; null: it does not fit, or the host would be hot. */
function coolGross({ input, rates }: Singles, { unit, reliefMax, sourceAfter }: Known, to: number): Weighed | null {
  const { world } = input;
  const [vm = 0] = unit;
  if (unit.length > 1 || reliefMax === Number.POSITIVE_INFINITY) {
    if (unit.length === 1 && !fits(world, vm, to)) return null;
    const moves = unit.map((member) => ({ vm: member, to }));
    return grossOf(input, moves, () => hotResource(world, to) === null);
  }
  input.isSpent(1);
  if (!fits(world, vm, to)) return null;
  const from = world.hostOf[vm] ?? 0;
  const before = rates.now(from) + rates.now(to) + trafficRate(world, unit);
  // The source is known without it: only the destination is asked, with the VM on both.
  arrive(world, vm, to);
  const after = hotResource(world, to) === null ? sourceAfter + rates.fresh(to) + trafficRate(world, unit) : null;
  depart(world, vm, to);
  world.hostOf[vm] = from;
  if (after === null) return null;
  const gain = gainOf(before, after, 0, { bundle: 1, mandatory: false }, world.parameters);
  return { moves: [{ vm, to }], gain };
}

const NOTHING_WEIGHED = { asked: 0, fitting: 0, costed: 0, best: null };

/** Nothing is known of it any more: it may have moved, or a peer of it, or what moves with it. */
function startAnew(singles: Singles, vm: number): void {
  const { input, known } = singles;
  const unit = movableUnit(singles, vm);
  known[vm] = undefined;
  enter(singles, vm, Number.NEGATIVE_INFINITY, false);
  if (unit === null) return;
  const { reliefMax, sourceAfter } = reliefOf(input, singles.rates, unit);
  const it: Known = { unit, reliefMax, sourceAfter, nearer: null, beyond: 0, ...NOTHING_WEIGHED, gross: [] };
  it.beyond = netMaxAt(input, reliefMax, crossing(input.world, unit));
  known[vm] = it;
  enter(singles, vm, it.beyond, false);
}

/** Where it is, or where it was weighed, something has changed; the hosts near its peers are the same. */
function weighAnew(singles: Singles, vm: number, isSource: boolean): void {
  const it = singles.known[vm];
  if (it === undefined) return;
  if (isSource) Object.assign(it, reliefOf(singles.input, singles.rates, it.unit));
  Object.assign(it, NOTHING_WEIGHED, { gross: [] });
  it.beyond =
    it.nearer === null
      ? netMaxAt(singles.input, it.reliefMax, crossing(singles.input.world, it.unit))
      : beyondOf(singles, it);
  enter(singles, vm, it.beyond, false);
}

/** Makes moves, and forgets what was known of VMs on which they bear. */
export function makeMoves(singles: Singles, moves: readonly BundleMove[]): void {
  const { world } = singles.input;
  const touched = new Set(moves.flatMap(({ vm, to }) => [world.hostOf[vm] ?? 0, to]));
  const lost = new Set<number>();
  for (const { vm, to } of moves) {
    place(world, vm, to);
    singles.done.add(vm);
    lost.add(vm);
    for (const peer of world.peers[vm] ?? []) lost.add(peer.vm);
  }
  for (const host of touched) singles.rates.forget(host);
  for (const host of touched) forgetAt(singles, host, lost);
  for (const vm of lost) startAnew(singles, vm);
}

/** Of the VMs on the host, and those weighed there: nothing is known of those that are lost, or move with one of them. */
function forgetAt(singles: Singles, host: number, lost: Set<number>): void {
  const { known, watching, input } = singles;
  // What follows takes VMs off the host and puts them back.
  const here = [...(input.world.vmsOn[host] ?? [])].filter((vm) => known[vm] !== undefined);
  for (const vm of here) if ((known[vm]?.unit.length ?? 1) > 1) lost.add(vm);
  for (const vm of here) if (!lost.has(vm)) weighAnew(singles, vm, true);
  for (const vm of watching[host] ?? []) if (!lost.has(vm)) weighAnew(singles, vm, false);
  watching[host]?.clear();
}
