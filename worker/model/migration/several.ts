// Several migrations on one link: one after the other against some at a time, by each one's own course at its share of it.
import type { Mechanism } from "../wire/common.ts";
import { BYTES_PER_SECOND_MIN, checkEstimateInput } from "./check.ts";
import { MEDIAN } from "./draws.ts";
import { disksSent, withDisks } from "./endings.ts";
import { MODEL_VERSION } from "./estimate.ts";
import { mechanisms } from "./mechanisms.ts";
import { parametersFor } from "./parameters.ts";
import { LINK_BYTES_PER_SECOND } from "./priors.ts";
import { mib, resolveInput } from "./resolve.ts";
import { scenarioOf } from "./scenario.ts";
import type { SeveralAnswer, SeveralPlan } from "./several-types.ts";
import type { Assumption, EstimateInput, InputProblem } from "./types.ts";
import { seconds } from "./words.ts";

export type SeveralOptions = { linkBytesPerSecond?: number | undefined; mechanism: Mechanism };

/** More at a time than this is not tried: each would have so little that none of them is better off. */
const AT_A_TIME_MAX = 8;
/** A later end by so little is a fair price for fewer at a time, which send less and end sooner each. */
const WORTH_RATIO = 1.02;

/** What `estimateSeveral` cannot work with; `path` starts at the migration's place. */
export function checkSeveral(inputs: readonly EstimateInput[], options: SeveralOptions): InputProblem[] {
  const { linkBytesPerSecond: rate, mechanism } = options;
  const problems = inputs.flatMap((input, index) => {
    const path = `migrations.${index}`;
    const unsupported = input.hypervisor !== "kvm" && (mechanism === "post-copy" || mechanism === "hybrid");
    return [
      ...checkEstimateInput(input).map((problem) => ({ ...problem, path: `${path}.${problem.path}` })),
      ...(unsupported
        ? [{ path: `${path}.hypervisor`, message: `${input.hypervisor} has no ${mechanism}; use pre-copy` }]
        : []),
    ];
  });
  if (rate !== undefined && rate < BYTES_PER_SECOND_MIN)
    problems.push({ path: "linkBytesPerSecond", message: `is ${rate}, must be at least ${BYTES_PER_SECOND_MIN}` });
  return problems;
}

/**
 * When each of the migrations ends and what it sends, one after the other and with several at a time, and how many at a time
 * are best: as many as converge, done first. Medians. The link is shared evenly; whenever one ends, the others go on faster.
 */
export function estimateSeveral(inputs: readonly EstimateInput[], options: SeveralOptions): SeveralAnswer {
  const { mechanism } = options;
  const assumptions = inputs.flatMap((input, index) => assumptionsOf(input, index));
  const linkBytesPerSecond = options.linkBytesPerSecond ?? sharedLink(inputs, assumptions);
  const leg = legsOf(inputs, linkBytesPerSecond, mechanism);
  const given = inputs.map((_, index) => index);
  const plans: SeveralPlan[] = [];
  for (let atATime = 1; atATime <= Math.min(inputs.length, AT_A_TIME_MAX); atATime++)
    plans.push(bestOrder(given, leg, atATime));
  const sequential = simulate(given, leg, 1);
  const convergesUpTo = largestConverging(inputs.length, leg);
  return {
    mechanism,
    linkBytesPerSecond,
    given: sequential,
    plans,
    convergesUpTo,
    recommended: recommend(plans, sequential, convergesUpTo),
    assumptions,
    modelVersion: MODEL_VERSION,
  };
}

function assumptionsOf(input: EstimateInput, index: number): Assumption[] {
  const prefixed = resolveInput(input).assumptions.map((each) => ({
    ...each,
    field: `migrations.${index}.${each.field}`,
  }));
  // The link is said once, for all.
  return prefixed.filter(({ field }) => !field.endsWith(".link.bytesPerSecond"));
}

function sharedLink(inputs: readonly EstimateInput[], assumptions: Assumption[]): number {
  const given = inputs.flatMap(({ link }) => link?.bytesPerSecond ?? []);
  const rate = given.length > 0 ? Math.min(...given) : LINK_BYTES_PER_SECOND;
  const why = given.length > 0 ? "the slowest link among them" : "payload of 10 GbE; may be off by a factor of ten";
  assumptions.push({ field: "linkBytesPerSecond", value: rate, why: `not given: ${why}` });
  return rate;
}

/** One migration from start to end at a constant share of the link. */
type Leg = {
  totalMs: number;
  bytes: number;
  downtimeMs: number | null;
  converged: boolean;
  /** Only the deadline ends it. */
  stuck: boolean;
  /** Up to the end of the first round. */
  firstMs: number;
};
/** `share`: how many have the link. */
type Legs = (index: number, share: number) => Leg;

/** Every leg is computed once, when it is first asked for. */
function legsOf(inputs: readonly EstimateInput[], linkBytesPerSecond: number, mechanism: Mechanism): Legs {
  const known = new Map<number, Leg>();
  return (index, share) => {
    const input = inputs[index];
    if (input === undefined) throw new RangeError(`there is no migration ${index}`);
    const key = index * (inputs.length + 1) + share;
    const leg = known.get(key) ?? legOf(input, linkBytesPerSecond, mechanism, share);
    known.set(key, leg);
    return leg;
  };
}

function legOf(input: EstimateInput, linkBytesPerSecond: number, mechanism: Mechanism, share: number): Leg {
  const concurrentMigrations = (input.link?.concurrentMigrations ?? 0) + share - 1;
  const link = { ...input.link, bytesPerSecond: linkBytesPerSecond, concurrentMigrations };
  const { known } = resolveInput({ ...input, link });
  const scenario = scenarioOf(known, parametersFor(mechanism, known.parameters), MEDIAN);
  const course = withDisks(scenario, mechanisms[mechanism].run);
  const { preparationMs, downtimeMs, resumeMs, phaseMs, rounds, converged, stopRule } = course;
  return {
    totalMs: preparationMs + (downtimeMs ?? 0) + resumeMs,
    bytes: course.wireBytes + disksSent(scenario, course).bytes,
    downtimeMs,
    converged,
    stuck: !converged && stopRule.startsWith("deadline-"),
    firstMs: phaseMs.setup + phaseMs.disks + (rounds[0]?.durationMs ?? 0),
  };
}

type Running = {
  index: number;
  startMs: number;
  /** Of the whole, how much is done. */
  done: number;
  bytes: number;
  /** When its deadline strikes, if it is stuck until then. */
  giveUpMs: number;
};

/** Next-to-equal times are one event. */
const SAME_RATIO = 1e-9;

/** The plan in this order with so many at a time. */
function simulate(order: readonly number[], leg: Legs, atATime: number): SeveralPlan {
  const ended: SeveralPlan["migrations"] = [];
  const queue = [...order];
  let running: Running[] = [];
  let nowMs = 0;
  while (queue.length > 0 || running.length > 0) {
    const free = queue.splice(0, atATime - running.length);
    const share = running.length + free.length;
    running.push(...free.map((index) => begin(index, nowMs, leg(index, share))));
    const left = running.map((each) => leftMs(each, leg(each.index, share), nowMs));
    const stepMs = Math.min(...left);
    nowMs += stepMs;
    const still: Running[] = [];
    for (const [place, each] of running.entries()) {
      const at = leg(each.index, share);
      if ((left[place] ?? 0) > stepMs + SAME_RATIO * nowMs) still.push(advance(each, at, stepMs, leg(each.index, 1)));
      else ended.push(end(each, at, left[place] ?? 0, nowMs));
    }
    running = still;
  }
  return planOf(order, atATime, ended);
}

function begin(index: number, startMs: number, { totalMs }: Leg): Running {
  return { index, startMs, done: 0, bytes: 0, giveUpMs: startMs + totalMs };
}

function leftMs({ done, giveUpMs }: Running, { totalMs, stuck }: Leg, nowMs: number): number {
  return stuck ? Math.max(0, giveUpMs - nowMs) : (1 - done) * totalMs;
}

/** One that is stuck gets through its first round and no further, until it has a share with which it converges. */
function advance(each: Running, at: Leg, stepMs: number, alone: Leg): Running {
  const bytes = each.bytes + (at.bytes * stepMs) / at.totalMs;
  if (!at.stuck) return { ...each, bytes, done: Math.min(1, each.done + stepMs / at.totalMs) };
  const first = alone.stuck ? 0 : Math.min(1, alone.firstMs / alone.totalMs);
  return { ...each, bytes, done: Math.max(each.done, Math.min(first, each.done + (first * stepMs) / at.firstMs)) };
}

function end({ index, startMs, bytes }: Running, at: Leg, left: number, nowMs: number) {
  const sent = at.totalMs > 0 ? bytes + (at.bytes * left) / at.totalMs : at.bytes;
  return {
    index,
    startMs: rounded(startMs),
    finishMs: rounded(nowMs),
    transferredBytes: Math.round(sent),
    downtimeMs: at.downtimeMs === null ? null : rounded(at.downtimeMs),
    converges: at.converged,
  };
}

function planOf(order: readonly number[], atATime: number, ended: SeveralPlan["migrations"]): SeveralPlan {
  const migrations = ended.toSorted((a, b) => a.index - b.index);
  return {
    atATime,
    order: [...order],
    finishMs: Math.max(...migrations.map(({ finishMs }) => finishMs)),
    meanFinishMs: rounded(migrations.reduce((sum, { finishMs }) => sum + finishMs, 0) / migrations.length),
    transferredBytes: migrations.reduce((sum, { transferredBytes }) => sum + transferredBytes, 0),
    notConverging: migrations.filter(({ converges }) => !converges).map(({ index }) => index),
    migrations,
  };
}

function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

/** As given, the shortest first, the longest first: what converges most, then ends first, then on average. */
function bestOrder(given: readonly number[], leg: Legs, atATime: number): SeveralPlan {
  const shortest = given.toSorted((a, b) => leg(a, 1).totalMs - leg(b, 1).totalMs);
  const candidates = [given, shortest, shortest.toReversed()].map((order) => simulate(order, leg, atATime));
  return candidates.reduce((best, plan) => (isBetter(plan, best) ? plan : best));
}

function isBetter(plan: SeveralPlan, than: SeveralPlan): boolean {
  const fewer = than.notConverging.length - plan.notConverging.length;
  if (fewer !== 0) return fewer > 0;
  const sooner = than.finishMs - plan.finishMs;
  // Sums in another order differ in their last digits, rounding to a microsecond included.
  if (Math.abs(sooner) > SAME_RATIO * than.finishMs + 0.002) return sooner > 0;
  return plan.meanFinishMs < than.meanFinishMs;
}

/** By halving: a smaller share never makes a migration converge. */
function largestConverging(count: number, leg: Legs): number {
  let [low, high] = [0, count];
  while (low < high) {
    const share = Math.ceil((low + high) / 2);
    if (converging(count, leg, share)) low = share;
    else high = share - 1;
  }
  return low;
}

function converging(count: number, leg: Legs, share: number): boolean {
  for (let index = 0; index < count; index++) if (!leg(index, share).converged) return false;
  return true;
}

function recommend(
  plans: readonly SeveralPlan[],
  given: SeveralPlan,
  convergesUpTo: number,
): SeveralAnswer["recommended"] {
  const failures = Math.min(...plans.map(({ notConverging }) => notConverging.length));
  const sound = plans.filter(({ notConverging }) => notConverging.length === failures);
  const soonest = Math.min(...sound.map(({ finishMs }) => finishMs));
  const best = sound.find(({ finishMs }) => finishMs <= WORTH_RATIO * soonest) ?? given;
  const others = plans.filter(({ atATime }) => atATime !== best.atATime);
  const reasons = [
    `${figures(best)}${lost(best)}; one after the other as given, ${figures(given)}.`,
    convergence(convergesUpTo, given),
    ...others.map((plan) => `${figures(plan)}${lost(plan)}.`),
  ];
  return { atATime: best.atATime, order: best.order, reasons };
}

function convergence(upTo: number, given: SeveralPlan): string {
  if (upTo === 0) return `Not all of them converge with the whole link${lost(given)}.`;
  return upTo === given.order.length
    ? "All of them converge even with all at a time."
    : `All of them converge with up to ${upTo} at a time.`;
}

function figures({ atATime, finishMs, meanFinishMs, transferredBytes }: SeveralPlan): string {
  return `${atATime} at a time end after ${seconds(finishMs)}, ${seconds(meanFinishMs)} on average, with ${mib(transferredBytes)} sent`;
}

function lost({ notConverging }: SeveralPlan): string {
  return notConverging.length === 0 ? "" : `; migrations ${notConverging.join(", ")} do not converge`;
}
