// When each move is made: waves in which moves run beside each other, such that every state in between is feasible. While a
// wave runs, its VMs take room on both of their hosts.
import type { MechanismEstimate } from "../migration/types.ts";
import { cores, size } from "./format.ts";
import { affinityFits } from "./affinity.ts";
import { fits } from "./constraints.ts";
import { moveOrder } from "./move-order.ts";
import { isGroupBroken } from "./efficacy.ts";
import { survives, unsurvivable } from "./survivability.ts";
import type { PlanParameters, Rejection } from "./types.ts";
import { arrive, copyWorld, depart, hostAt, place, vmAt, type World } from "./world.ts";

export type Step = { vm: number; from: number; to: number };
type Parking<Planned extends Step> = Step & { parking: true; for: Planned };
type Taken<Planned extends Step> = (Planned & { parking: false }) | Parking<Planned>;
export type Scheduled<Planned extends Step> = Taken<Planned> & { wave: number };

export type Schedule<Planned extends Step> = {
  steps: Scheduled<Planned>[];
  waves: number;
  /** Moves that no order makes possible. */
  impossible: { step: Planned; rejection: Rejection }[];
};

type Run<Planned extends Step> = {
  /** As it is before the wave, then with its arrivals, then without its departures. */
  world: World;
  /** As it is once every move is made: a parked VM must not take room that is meant for another. */
  final: World;
  waiting: Planned[];
  steps: Scheduled<Planned>[];
  mustSurvive: boolean;
  /** No move overtakes one before it. */
  isInOrder: boolean;
  /** VMs that were parked once: a second time would be going round in circles. */
  parked: Set<number>;
};

/**
 * Orders the moves, which begin where `start` has the VMs, in waves. The first in order go first where they can. Where that
 * leaves one without its room, another order is looked for in which all find theirs: the hole that a big VM needs is kept for
 * it. Where there is none, one is parked on a third host, so that cycles come apart; what then still cannot move is given back, with all that
 * `bundleOf` says belongs to it, and the rest is ordered anew without it.
 */
export function schedule<Planned extends Step>(
  start: World,
  moves: readonly Planned[],
  bundleOf: (step: Planned) => number = ({ vm }) => vm,
): Schedule<Planned> {
  const impossible: Schedule<Planned>["impossible"] = [];
  let left = [...moves];
  for (;;) {
    const run = ordered(start, left);
    if (run.waiting.length === 0) return { steps: run.steps, waves: run.steps.at(-1)?.wave ?? 0, impossible };
    const reasons = new Map(run.waiting.map((step) => [step.vm, notSchedulable(run, step)]));
    const broken = new Map(run.waiting.map((step) => [bundleOf(step), step]));
    for (const step of left) {
      const blocked = broken.get(bundleOf(step));
      if (blocked !== undefined)
        impossible.push({ step, rejection: reasons.get(step.vm) ?? belongsTo(start, step, blocked) });
    }
    left = left.filter((step) => !broken.has(bundleOf(step)));
  }
}

function ordered<Planned extends Step>(start: World, moves: readonly Planned[]): Run<Planned> {
  const run = runOf(start, moves, false);
  advance(run);
  if (run.waiting.length === 0 && run.parked.size === 0) return run;
  const again = runOf(start, moves, true);
  const order = moveOrder(again.world, moves, (step) => isFeasible(again, step));
  if (order === null) return run;
  again.waiting = order;
  advance(again);
  return again;
}

function runOf<Planned extends Step>(start: World, moves: readonly Planned[], isInOrder: boolean): Run<Planned> {
  const failures = start.parameters.hostFailuresTolerated;
  const final = copyWorld(start);
  for (const { vm, to } of moves) place(final, vm, to);
  return {
    world: loosened(copyWorld(start), final),
    final: loosened(final, final),
    waiting: [...moves],
    steps: [],
    mustSurvive: moves.length > 0 && failures > 0 && survives(start, failures),
    isInOrder,
    parked: new Set(),
  };
}

/** Makes waves until nothing is left to be made, or nothing can be. */
function advance<Planned extends Step>(run: Run<Planned>): void {
  for (let wave = 1; run.waiting.length > 0; wave++) {
    const taken = nextWave(run);
    if (taken.length === 0) break;
    for (const step of taken) run.steps.push({ ...step, wave });
    const gone = new Set(taken.filter(({ parking }) => !parking).map(({ vm }) => vm));
    run.waiting = run.waiting.filter(({ vm }) => !gone.has(vm)).map((step) => fromWhereItIs(step, run.world));
  }
}

/** VMs that belong together and are so in the end may be apart while one after the other of them is on its way. */
function loosened(world: World, final: World): World {
  const groups = world.groups.groups.map((it, group) =>
    it.kind === "vm-affinity" && it.hard && !isGroupBroken(final, group) ? { ...it, hard: false } : it,
  );
  return { ...world, groups: { ...world.groups, groups } };
}

const fromWhereItIs = <Planned extends Step>(step: Planned, world: World): Planned => ({
  ...step,
  from: world.hostOf[step.vm] ?? step.from,
});

function nextWave<Planned extends Step>(run: Run<Planned>): Taken<Planned>[] {
  const { world, waiting } = run;
  const traffic = new Traffic(world.parameters);
  const taken: Taken<Planned>[] = [];
  for (const step of waiting) {
    if (traffic.isFull()) break;
    if (!traffic.admits(step) || !isFeasible(run, step, taken)) {
      if (run.isInOrder) break;
      continue;
    }
    arrive(world, step.vm, step.to);
    traffic.add(step);
    taken.push({ ...step, parking: false });
  }
  if (taken.length === 0) {
    const parking = parkingFor(run);
    if (parking !== null) {
      run.parked.add(parking.vm);
      arrive(world, parking.vm, parking.to);
      taken.push(parking);
    }
  }
  for (const { vm, from } of taken) depart(world, vm, from);
  return taken;
}

/** Whether the VM may arrive while everything else of the wave holds both places, and hosts may fail then and afterwards. */
function isFeasible<Planned extends Step>(
  { world, mustSurvive }: Run<Planned>,
  step: Step,
  beside: readonly Step[] = [],
): boolean {
  if (!fits(world, step.vm, step.to)) return false;
  if (!mustSurvive) return true;
  const failures = world.parameters.hostFailuresTolerated;
  const state = copyWorld(world);
  arrive(state, step.vm, step.to);
  if (!survives(state, failures)) return false;
  for (const { vm, from } of [...beside, step]) depart(state, vm, from);
  return survives(state, failures);
}

/** The smallest of the VMs that wait, to a host where it hinders none of the others, so that one of them gets its room. */
function parkingFor<Planned extends Step>(run: Run<Planned>): Parking<Planned> | null {
  const { world, final, waiting } = run;
  const smallest = waiting
    .filter(({ vm }) => !run.parked.has(vm))
    .toSorted((a, b) => (world.vmBytes[a.vm] ?? 0) - (world.vmBytes[b.vm] ?? 0));
  for (const step of smallest) {
    for (let host = 0; host < world.hosts.length; host++) {
      if (host === step.to || !isFeasible(run, { ...step, to: host }) || !fits(final, step.vm, host)) continue;
      if (unblocks(run, step, host)) return { vm: step.vm, from: step.from, to: host, parking: true, for: step };
    }
  }
  return null;
}

/** Whether some other move becomes possible once the VM is parked there. */
function unblocks<Planned extends Step>({ world, waiting }: Run<Planned>, { vm, from }: Step, host: number): boolean {
  place(world, vm, host);
  const some = waiting.some((other) => other.vm !== vm && fits(world, other.vm, other.to));
  place(world, vm, from);
  return some;
}

function notSchedulable<Planned extends Step>({ world }: Run<Planned>, { vm, to }: Step): Rejection {
  const [it, { hostId }] = [vmAt(world, vm), hostAt(world, to)];
  const free = Math.max(0, (world.ceiling[to] ?? 0) - (world.committed[to] ?? 0));
  const needs = `${it.name} (${size(world.vmBytes[vm] ?? 0)}, ${cores(it.vcpus)} vCPUs)`;
  const figures = { required: world.vmBytes[vm] ?? 0, available: free, unit: "bytes" };
  if (fits(world, vm, to)) {
    const detail = `on its way to ${hostId}, where ${size(free)} are free, ${needs} would leave ${world.parameters.hostFailuresTolerated} failed hosts without enough room elsewhere${whoFails(world, vm, to)}: add room, or lower hostFailuresTolerated.`;
    return { hostId, constraint: "survivability", detail, ...figures };
  }
  const reason = affinityFits(world, vm, to)
    ? `${size(free)} are free there`
    : "a VM that must stay apart is still there";
  const detail = `no order of moves, nor a parking move, lets ${needs} reach ${hostId}: ${reason} while the others wait. Free room on any host of its kind.`;
  return { hostId, constraint: "not-schedulable", detail, ...figures };
}

/** Who would be without a place, and where, were the VM on its way to that host. */
function whoFails(world: World, vm: number, to: number): string {
  const state = copyWorld(world);
  arrive(state, vm, to);
  const found = unsurvivable(state, world.parameters.hostFailuresTolerated);
  if (found === null) return "";
  return ` (${vmAt(world, found.vm).name}, should ${found.hosts.map((host) => hostAt(world, host).hostId).join(" and ")} fail)`;
}

function belongsTo(world: World, { vm, to }: Step, blocked: Step): Rejection {
  const { hostId } = hostAt(world, to);
  const detail = `${vmAt(world, vm).name} moves only with ${vmAt(world, blocked.vm).name}, which no order of moves lets reach ${hostAt(world, blocked.to).hostId}.`;
  return { hostId, constraint: "not-schedulable", detail };
}

/** How many moves of a wave leave, reach and use what. */
class Traffic {
  readonly #parameters: PlanParameters;
  readonly #out = new Map<number, number>();
  readonly #into = new Map<number, number>();
  readonly #links = new Map<string, number>();
  #all = 0;

  constructor(parameters: PlanParameters) {
    this.#parameters = parameters;
  }

  isFull = (): boolean => this.#all >= this.#parameters.concurrencyPerCluster;

  admits({ from, to }: Step): boolean {
    const { concurrencyPerHost, concurrencyIntoHost, concurrencyPerLink } = this.#parameters;
    return (
      (this.#out.get(from) ?? 0) < concurrencyPerHost &&
      (this.#into.get(to) ?? 0) < concurrencyIntoHost &&
      (this.#links.get(linkOf(from, to)) ?? 0) < concurrencyPerLink
    );
  }

  add({ from, to }: Step): void {
    this.#all += 1;
    this.#out.set(from, (this.#out.get(from) ?? 0) + 1);
    this.#into.set(to, (this.#into.get(to) ?? 0) + 1);
    const link = linkOf(from, to);
    this.#links.set(link, (this.#links.get(link) ?? 0) + 1);
  }
}

const linkOf = (from: number, to: number): string => `${Math.min(from, to)} ${Math.max(from, to)}`;

/** How long the waves take, one after the other, each as long as its longest move; quantiles of each wave are added. */
export function durationOf(waves: readonly (readonly MechanismEstimate[])[]): {
  p10: number;
  p50: number;
  p90: number;
} {
  const longest = (estimates: readonly MechanismEstimate[], quantile: "p10" | "p50" | "p90"): number =>
    Math.max(0, ...estimates.map(({ totalMs }) => totalMs[quantile]));
  const sum = (quantile: "p10" | "p50" | "p90"): number =>
    waves.reduce((total, estimates) => total + longest(estimates, quantile), 0);
  return { p10: sum("p10"), p50: sum("p50"), p90: sum("p90") };
}
