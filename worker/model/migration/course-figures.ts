// What the courses of a mechanism say, over all draws: the few figures that decide between mechanisms, and all of them.
import { disksSent, withDisks } from "./endings.ts";
import { energyJoules } from "./energy.ts";
import type { MechanismModel } from "./mechanisms.ts";
import { quantilesOf } from "./quantiles.ts";
import { exposureMs, riskOf } from "./risk.ts";
import type { FailureRates } from "./risk.ts";
import type { Course, Scenario } from "./scenario.ts";
import type { Figures, MechanismEstimate, Quantity } from "./types.ts";

/** Digits kept: microseconds of a duration, whole bytes and pages, thousandths of the rest, more of a share. */
const DECIMALS = { ms: 3, count: 0, other: 3, ratio: 6 };

export type Scenarios = { median: Scenario; draws: Scenario[] };

/** A mechanism's course in every scenario. */
export type Run = {
  model: MechanismModel;
  scenario: Scenario;
  median: Course;
  convergenceProbability: number;
  /**
   * The draws that end as the median course does: converged, or at the deadline. The two are regimes of their own, and a
   * quantile over both would lie where neither ever is; `convergenceProbability` says how probable each is.
   */
  scenarios: Scenario[];
  courses: Course[];
};

export function runOf(model: MechanismModel, { median: scenario, draws }: Scenarios): Run {
  const median = withDisks(scenario, model.run);
  const all = draws.map((draw) => (draw === scenario ? median : withDisks(draw, model.run)));
  const isAlike = ({ converged }: Course): boolean => converged === median.converged;
  const alike = all.filter(isAlike);
  const run = { model, scenario, median, convergenceProbability: all.filter((it) => it.converged).length / all.length };
  if (alike.length === 0 || alike.length === all.length) return { ...run, scenarios: draws, courses: all };
  return { ...run, scenarios: draws.filter((_, index) => isAlike(all[index] ?? median)), courses: alike };
}

type Over = (decimals: number, value: (course: Course, scenario: Scenario) => number) => Quantity;

const overOf =
  ({ courses, scenarios, median, scenario }: Run): Over =>
  (decimals, value) =>
    quantilesOf(courses.length, (at) => value(courses[at] ?? median, scenarios[at] ?? scenario), decimals);

/** What decides between mechanisms. */
export function figuresOf(run: Run, failures: FailureRates): Figures {
  const { model, median, courses } = run;
  const over = overOf(run);
  return {
    mechanism: model.mechanism,
    converges: median.converged,
    convergenceProbability: run.convergenceProbability,
    stopRule: median.stopRule,
    preparationMs: over(DECIMALS.ms, ({ preparationMs }) => preparationMs),
    downtimeMs: downtime(run),
    resumeMs: over(DECIMALS.ms, ({ resumeMs }) => resumeMs),
    totalMs: over(DECIMALS.ms, totalMs),
    transferredBytes: over(DECIMALS.count, ({ wireBytes }) => wireBytes),
    lostVcpuSeconds: over(DECIMALS.other, ({ lostVcpuSeconds }) => lostVcpuSeconds),
    rounds: median.rounds.map(({ bytes, durationMs }) => ({
      bytes: Math.round(bytes),
      durationMs: Math.round(durationMs * 1000) / 1000,
    })),
    risk: riskOf(exposureMs(model.phases, courses), failures),
  };
}

/** All that is told of a mechanism; `figures` are those of the same run. */
export function estimateOf(run: Run, figures: Figures): MechanismEstimate {
  const { model } = run;
  const over = overOf(run);
  const { mechanism, converges, convergenceProbability, stopRule, preparationMs, downtimeMs, resumeMs } = figures;
  return {
    mechanism,
    converges,
    convergenceProbability,
    stopRule,
    preparationMs,
    downtimeMs,
    resumeMs,
    totalMs: figures.totalMs,
    transferredBytes: figures.transferredBytes,
    transferredPages: over(DECIMALS.count, ({ pages }) => pages),
    zeroPages: over(DECIMALS.count, ({ zeroPages }) => zeroPages),
    diskBytes: over(DECIMALS.count, (course, scenario) => disksSent(scenario, course).bytes),
    remoteFaults: over(DECIMALS.count, ({ remoteFaults }) => remoteFaults),
    remoteFaultRatio: over(DECIMALS.ratio, ({ remoteFaultRatio }) => remoteFaultRatio),
    stallMs: over(DECIMALS.ms, ({ stallMs }) => stallMs),
    lostVcpuSeconds: figures.lostVcpuSeconds,
    energyJoules: over(DECIMALS.other, (course, scenario) =>
      energyJoules(scenario, course, disksSent(scenario, course).bytes),
    ),
    rounds: figures.rounds,
    phases: model.phases
      .map((phase) => ({ ...phase, durationMs: over(DECIMALS.ms, ({ phaseMs }) => phaseMs[phase.name]) }))
      .filter(({ durationMs }) => durationMs.p90 > 0),
    risk: figures.risk,
    storage: run.scenario.disks.bytes === 0 ? null : storageOver(over),
    calibration: null,
    rejected: null,
  };
}

function storageOver(over: Over): MechanismEstimate["storage"] {
  return {
    extraBytes: over(DECIMALS.count, (course, scenario) => disksSent(scenario, course).extraBytes),
    sequentialExtraBytes: over(DECIMALS.count, (course, scenario) => disksSent(scenario, course).sequentialExtraBytes),
  };
}

const totalMs = ({ preparationMs, downtimeMs, resumeMs }: Course): number =>
  preparationMs + (downtimeMs ?? 0) + resumeMs;

/** Over the draws that switch over; null where the median course is cancelled. */
function downtime({ median, courses }: Run): Figures["downtimeMs"] {
  const { downtimeMs } = median;
  if (downtimeMs === null) return null;
  const switched = courses.filter((course) => course.downtimeMs !== null);
  const most = Math.max(1, switched.length);
  return quantilesOf(most, (at) => switched[at]?.downtimeMs ?? downtimeMs, DECIMALS.ms);
}
