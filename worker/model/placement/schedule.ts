// When each move is made: waves in which moves run beside each other, such that every state in between is feasible. While a
// wave runs, its VMs take room on both of their hosts.
import type { MechanismEstimate } from "../migration/types.ts";
import { cores, size } from "./format.ts";
import { affinityFits } from "./affinity.ts";
import { fits } from "./constraints.ts";
import { survives } from "./survivability.ts";
import type { PlanParameters, Rejection } from "./types.ts";
import { arrive, copyWorld, depart, place, type World } from "./world.ts";

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
  /** VMs that were parked once: a second time would be going round in circles. */
  parked: Set<number>;
};

/**
 * Orders the moves, which begin where `start` has the VMs, in waves. The first in order go first where they can. Where none
 * can, one is parked on a third host, so that cycles come apart; what then still cannot move is given back.
 */
export function schedule<Planned extends Step>(start: World, moves: readonly Planned[]): Schedule<Planned> {
  const final = copyWorld(start);
  for (const { vm, to } of moves) place(final, vm, to);
  const failures = start.parameters.hostFailuresTolerated;
  const run: Run<Planned> = {
    world: copyWorld(start),
    final,
    waiting: [...moves],
    steps: [],
    mustSurvive: failures > 0 && survives(start, failures),
    parked: new Set(),
  };
  let wave = 0;
  while (run.waiting.length > 0) {
    const taken = nextWave(run);
    if (taken.length === 0) break;
    wave += 1;
    for (const step of taken) run.steps.push({ ...step, wave });
    const gone = new Set(taken.filter(({ parking }) => !parking).map(({ vm }) => vm));
    run.waiting = run.waiting.filter(({ vm }) => !gone.has(vm)).map((step) => fromWhereItIs(step, run.world));
  }
  const impossible = run.waiting.map((step) => ({ step, rejection: notSchedulable(run.world, step) }));
  return { steps: run.steps, waves: wave, impossible };
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
    if (!traffic.admits(step) || !isFeasible(run, step)) continue;
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

/** Whether the VM may arrive while everything else of the wave holds both places, and hosts may fail before and after. */
function isFeasible<Planned extends Step>({ world, mustSurvive }: Run<Planned>, { vm, from, to }: Step): boolean {
  if (!fits(world, vm, to)) return false;
  if (!mustSurvive) return true;
  arrive(world, vm, to);
  const ok = survives(world, world.parameters.hostFailuresTolerated);
  depart(world, vm, to);
  world.hostOf[vm] = from;
  return ok;
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

function notSchedulable(world: World, { vm, to }: Step): Rejection {
  const [it, host] = [world.vms[vm], world.hosts[to]];
  const hostId = host?.hostId ?? "";
  const free = Math.max(0, (world.ceiling[to] ?? 0) - (world.committed[to] ?? 0));
  const reason = affinityFits(world, vm, to)
    ? `${size(free)} are free there`
    : "a VM that must stay apart is still there";
  const detail = `no order of moves, nor a parking move, lets ${it?.name} (${size(world.vmBytes[vm] ?? 0)}, ${cores(it?.vcpus ?? 0)} vCPUs) reach ${hostId}: ${reason} while the others wait. Free room on any host of its kind.`;
  return {
    hostId,
    constraint: "not-schedulable",
    detail,
    required: world.vmBytes[vm] ?? 0,
    available: free,
    unit: "bytes",
  };
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
