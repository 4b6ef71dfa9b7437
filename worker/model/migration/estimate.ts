// One estimate: every mechanism asked for, in the median scenario and in all draws, then the recommendation.
import { draws, MEDIAN } from "./draws.ts";
import { energyJoules } from "./energy.ts";
import { mechanisms } from "./mechanisms.ts";
import type { MechanismModel } from "./mechanisms.ts";
import { parametersFor } from "./parameters.ts";
import { quantiles } from "./quantiles.ts";
import { recommendMechanism } from "./recommend.ts";
import { resolveInput } from "./resolve.ts";
import type { Known } from "./resolve.ts";
import { scenarioOf } from "./scenario.ts";
import type { Course, Scenario } from "./scenario.ts";
import type { Assumption, EstimateAnswer, EstimateInput, MechanismEstimate } from "./types.ts";

/** Rises with every change of the models that changes an answer. */
export const MODEL_VERSION = "2";

/** Digits kept: microseconds of a duration, whole bytes and pages, thousandths of the rest. */
const DECIMALS = { ms: 3, count: 0, other: 3 };

/**
 * What every mechanism asked for would cost, as quantiles over the unknowns, and which one to take. Same input, same answer.
 * The input is taken to be free of the problems that `checkEstimateInput` finds.
 */
export function estimateMigration(input: EstimateInput): EstimateAnswer {
  const { known, assumptions } = resolveInput(input);
  const shared = scenariosOf(known, known.parameters);
  const estimates = [...new Set(input.mechanisms)].map((mechanism) => {
    const parameters = parametersFor(mechanism, known.parameters);
    if (parameters !== known.parameters) noteMultifd(assumptions);
    return estimateOne(
      mechanisms[mechanism],
      parameters === known.parameters ? shared : scenariosOf(known, parameters),
    );
  });
  return { ...recommendMechanism(input, known, estimates), assumptions, modelVersion: MODEL_VERSION };
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

function scenariosOf(known: Known, parameters: Known["parameters"]): Scenarios {
  return {
    median: scenarioOf(known, parameters, MEDIAN),
    draws: draws.map((scores) => scenarioOf(known, parameters, scores)),
  };
}

function estimateOne(model: MechanismModel, scenarios: Scenarios): MechanismEstimate {
  const median = model.run(scenarios.median);
  const courses = scenarios.draws.map((scenario) => model.run(scenario));
  const over = (decimals: number, value: (course: Course, scenario: Scenario) => number) =>
    quantiles(
      courses.map((course, index) => value(course, scenarios.draws[index] ?? scenarios.median)),
      decimals,
    );
  return {
    mechanism: model.mechanism,
    converges: median.converged,
    convergenceProbability: courses.filter(({ converged }) => converged).length / courses.length,
    stopRule: median.stopRule,
    preparationMs: over(DECIMALS.ms, ({ preparationMs }) => preparationMs),
    downtimeMs: downtime(median, courses),
    resumeMs: over(DECIMALS.ms, ({ resumeMs }) => resumeMs),
    totalMs: over(DECIMALS.ms, totalMs),
    transferredBytes: over(DECIMALS.count, ({ wireBytes }) => wireBytes),
    transferredPages: over(DECIMALS.count, ({ pages }) => pages),
    zeroPages: over(DECIMALS.count, ({ zeroPages }) => zeroPages),
    diskBytes: over(DECIMALS.count, (_, { diskBytes }) => diskBytes),
    remoteFaults: over(DECIMALS.count, ({ remoteFaults }) => remoteFaults),
    lostVcpuSeconds: over(DECIMALS.other, ({ lostVcpuSeconds }) => lostVcpuSeconds),
    energyJoules: over(DECIMALS.other, ({ wireBytes }, { diskBytes, energyFactor }) =>
      energyJoules(wireBytes + diskBytes, energyFactor),
    ),
    rounds: median.rounds.map(({ bytes, durationMs }) => ({
      bytes: Math.round(bytes),
      durationMs: Math.round(durationMs * 1000) / 1000,
    })),
    phases: model.phases
      .map((phase) => ({ ...phase, durationMs: over(DECIMALS.ms, ({ phaseMs }) => phaseMs[phase.name]) }))
      .filter(({ durationMs }) => durationMs.p90 > 0),
    rejected: null,
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
