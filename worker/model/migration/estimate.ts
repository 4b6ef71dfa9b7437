// One estimate: every mechanism asked for, in the median scenario and in all draws, then the recommendation.
import { closedFormFacts, closedForms } from "./closed-forms.ts";
import { calibrateEstimate, withGrowth } from "../calibration/apply.ts";
import type { Calibration } from "../calibration/types.ts";
import { draws, MEDIAN } from "./draws.ts";
import type { Scores } from "./draws.ts";
import { disksSent, withDisks } from "./endings.ts";
import { energyJoules } from "./energy.ts";
import { mechanisms } from "./mechanisms.ts";
import type { MechanismModel } from "./mechanisms.ts";
import { parametersFor } from "./parameters.ts";
import { quantiles } from "./quantiles.ts";
import { recommendMechanism } from "./recommend.ts";
import { resolveInput } from "./resolve.ts";
import type { Known } from "./resolve.ts";
import { exposureMs, failureRates, riskAssumptions, riskOf } from "./risk.ts";
import type { FailureRates } from "./risk.ts";
import { scenarioOf, scenariosFor } from "./scenario.ts";
import type { Course, Scenario } from "./scenario.ts";
import type { Assumption, EstimateAnswer, EstimateInput, MechanismEstimate, Quantity } from "./types.ts";
import { betterWindow, forecastAssumptions } from "./wait.ts";

/** Rises with every change of the models that changes an answer. */
export const MODEL_VERSION = "3";

/** Digits kept: microseconds of a duration, whole bytes and pages, thousandths of the rest, more of a share. */
const DECIMALS = { ms: 3, count: 0, other: 3, ratio: 6 };

/** What the outcomes of a cluster have taught. */
export type Learned = { cluster: string; calibration: Calibration };

/**
 * What every mechanism asked for would cost, as quantiles over the unknowns, and which one to take. Same input, same answer.
 * The input is taken to be free of the problems that `checkEstimateInput` finds. `learned`: what earlier outcomes correct.
 */
export function estimateMigration(given: EstimateInput, learned: Learned | null = null): EstimateAnswer {
  const input = learned === null ? given : withGrowth(given, learned);
  const { assumptions, ...now } = judged(input, draws, learned);
  if (now.estimates.some(({ risk }) => risk !== null)) assumptions.push(...riskAssumptions(input));
  assumptions.push(...forecastAssumptions(input));
  const wait = betterWindow(input, now, (then, precision) =>
    judged(then, precision === "rough" ? [MEDIAN] : draws, learned),
  );
  return { ...now, wait, ...comparisons(input), assumptions, modelVersion: MODEL_VERSION };
}

/**
 * The same by the median course alone, for comparing many moves: every quantity is one number, a fiftieth of the time. It may
 * hold a mechanism to be possible whose p90 is not.
 */
export function roughEstimate(given: EstimateInput, learned: Learned | null = null) {
  return judged(learned === null ? given : withGrowth(given, learned), [MEDIAN], learned);
}

function comparisons(input: EstimateInput): Pick<EstimateAnswer, "comparisons"> {
  if (input.compare !== true) return {};
  const { known } = resolveInput(input);
  return { comparisons: closedForms(closedFormFacts(known, scenarioOf(known, known.parameters, MEDIAN))) };
}

/** The estimates over these draws and what is recommended. */
function judged(input: EstimateInput, scores: readonly Scores[], learned: Learned | null) {
  const { known, assumptions } = resolveInput(input);
  const failures = failureRates(input);
  const shared = scenariosOf(known, known.parameters, scores);
  const estimates = [...new Set(input.mechanisms)].map((mechanism) => {
    const parameters = parametersFor(mechanism, known.parameters);
    if (parameters !== known.parameters) noteMultifd(assumptions);
    const scenarios = parameters === known.parameters ? shared : scenariosOf(known, parameters, scores);
    const estimate = estimateOne(mechanisms[mechanism], scenarios, failures);
    if (learned === null) return estimate;
    return calibrateEstimate(estimate, learned.calibration, { ...learned, hypervisor: input.hypervisor });
  });
  return { ...recommendMechanism(input, known, estimates), assumptions };
}

function noteMultifd(assumptions: Assumption[]): void {
  if (assumptions.some(({ field }) => field === "parameters.multifdChannels")) return;
  assumptions.push({
    field: "parameters.multifdChannels",
    value: 0,
    why: "for post-copy and hybrid: QEMU before 10.1 refuses multifd together with post-copy",
  });
}

type Scenarios = { median: Scenario; draws: Scenario[] };

function scenariosOf(known: Known, parameters: Known["parameters"], scores: readonly Scores[]): Scenarios {
  const at = scenariosFor(known, parameters);
  const median = at(MEDIAN);
  return { median, draws: scores.map((each) => (each === MEDIAN ? median : at(each))) };
}

/**
 * The draws that end as the median course does: converged, or at the deadline. The two are regimes of their own, and a
 * quantile over both would lie where neither ever is; `convergenceProbability` says how probable each is.
 */
function alike<T extends { course: Course }>(all: readonly T[], median: Course): readonly T[] {
  const same = all.filter(({ course }) => course.converged === median.converged);
  return same.length > 0 ? same : all;
}

function estimateOne(model: MechanismModel, scenarios: Scenarios, failures: FailureRates): MechanismEstimate {
  const median = withDisks(scenarios.median, model.run);
  const all = scenarios.draws.map((scenario) => ({
    scenario,
    course: scenario === scenarios.median ? median : withDisks(scenario, model.run),
  }));
  const ending = alike(all, median);
  const courses = ending.map(({ course }) => course);
  const over: Over = (decimals, value) =>
    quantiles(
      ending.map(({ course, scenario }) => value(course, scenario)),
      decimals,
    );
  return {
    mechanism: model.mechanism,
    converges: median.converged,
    convergenceProbability: all.filter(({ course }) => course.converged).length / all.length,
    stopRule: median.stopRule,
    preparationMs: over(DECIMALS.ms, ({ preparationMs }) => preparationMs),
    downtimeMs: downtime(median, courses),
    resumeMs: over(DECIMALS.ms, ({ resumeMs }) => resumeMs),
    totalMs: over(DECIMALS.ms, totalMs),
    transferredBytes: over(DECIMALS.count, ({ wireBytes }) => wireBytes),
    transferredPages: over(DECIMALS.count, ({ pages }) => pages),
    zeroPages: over(DECIMALS.count, ({ zeroPages }) => zeroPages),
    diskBytes: over(DECIMALS.count, (course, scenario) => disksSent(scenario, course).bytes),
    remoteFaults: over(DECIMALS.count, ({ remoteFaults }) => remoteFaults),
    remoteFaultRatio: over(DECIMALS.ratio, ({ remoteFaultRatio }) => remoteFaultRatio),
    stallMs: over(DECIMALS.ms, ({ stallMs }) => stallMs),
    lostVcpuSeconds: over(DECIMALS.other, ({ lostVcpuSeconds }) => lostVcpuSeconds),
    energyJoules: over(DECIMALS.other, (course, scenario) =>
      energyJoules(scenario, course, disksSent(scenario, course).bytes),
    ),
    rounds: median.rounds.map(({ bytes, durationMs }) => ({
      bytes: Math.round(bytes),
      durationMs: Math.round(durationMs * 1000) / 1000,
    })),
    phases: model.phases
      .map((phase) => ({ ...phase, durationMs: over(DECIMALS.ms, ({ phaseMs }) => phaseMs[phase.name]) }))
      .filter(({ durationMs }) => durationMs.p90 > 0),
    risk: riskOf(exposureMs(model.phases, courses), failures),
    storage: scenarios.median.disks.bytes === 0 ? null : storageOver(over),
    calibration: null,
    rejected: null,
  };
}

type Over = (decimals: number, value: (course: Course, scenario: Scenario) => number) => Quantity;

function storageOver(over: Over): MechanismEstimate["storage"] {
  return {
    extraBytes: over(DECIMALS.count, (course, scenario) => disksSent(scenario, course).extraBytes),
    sequentialExtraBytes: over(DECIMALS.count, (course, scenario) => disksSent(scenario, course).sequentialExtraBytes),
  };
}

function totalMs({ preparationMs, downtimeMs, resumeMs }: Course): number {
  return preparationMs + (downtimeMs ?? 0) + resumeMs;
}

/** Over the draws that switch over; null where the median course is cancelled. */
function downtime(median: Course, courses: Course[]): MechanismEstimate["downtimeMs"] {
  if (median.downtimeMs === null) return null;
  const known = courses.flatMap(({ downtimeMs }) => downtimeMs ?? []);
  return quantiles(known.length > 0 ? known : [median.downtimeMs], DECIMALS.ms);
}
