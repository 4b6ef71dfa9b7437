// One estimate: every mechanism asked for, in the median scenario and in all draws, then the recommendation.
import { closedFormFacts, closedForms } from "./closed-forms.ts";
import { estimateOf, figuresOf, runOf } from "./course-figures.ts";
import type { Scenarios } from "./course-figures.ts";
import { calibrateEstimate, calibrateFigures, withGrowth } from "../calibration/apply.ts";
import type { Calibration } from "../calibration/types.ts";
import { draws, MEDIAN } from "./draws.ts";
import type { Scores } from "./draws.ts";
import { mechanisms } from "./mechanisms.ts";
import { parametersFor } from "./parameters.ts";
import type { MigrationParameters } from "../wire/command.ts";
import type { Mechanism } from "../wire/common.ts";
import { ranked, recommendMechanism } from "./recommend.ts";
import { resolveInput } from "./resolve.ts";
import type { Known } from "./resolve.ts";
import { failureRates, riskAssumptions } from "./risk.ts";
import { scenarioOf, scenariosFor } from "./scenario.ts";
import type { Assumption, EstimateAnswer, EstimateInput, Figures, MechanismEstimate, Rejected } from "./types.ts";
import { betterWindow, forecastAssumptions } from "./wait.ts";

/** Rises with every change of the models that changes an answer. */
export const MODEL_VERSION = "3";

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

/** The mechanism to take with all that is told of it, or why each is out of the question. */
export type ChosenEstimate =
  | { recommended: NonNullable<EstimateAnswer["recommended"]>; estimate: MechanismEstimate }
  | { recommended: null; refused: Pick<MechanismEstimate, "mechanism" | "rejected">[] };

/** What `estimateMigration` recommends, without what it says of the mechanisms that it does not: half of the time. */
export function chosenEstimate(given: EstimateInput, learned: Learned | null = null): ChosenEstimate {
  const input = learned === null ? given : withGrowth(given, learned);
  const { known, figures, estimateAt } = figuresIn(input, draws, learned);
  const { estimates, recommended } = recommendMechanism(input, known, figures);
  const estimate = estimateAt(recommended?.mechanism);
  return recommended === null || estimate === null
    ? { recommended: null, refused: refusedIn(estimates) }
    : { recommended, estimate };
}

/** As much as is needed for comparing many moves. */
export type RoughEstimate =
  | { parameters: MigrationParameters; estimate: MechanismEstimate }
  | Extract<ChosenEstimate, { recommended: null }>;

/**
 * The same by the median course alone, without commands and reasons: every quantity is one number, a tenth of the time. It may
 * hold a mechanism to be possible whose p90 is not.
 */
export function roughEstimate(given: EstimateInput, learned: Learned | null = null): RoughEstimate {
  const input = learned === null ? given : withGrowth(given, learned);
  const { known, figures, estimateAt } = figuresIn(input, [MEDIAN], learned);
  const { judged: all, byHarm } = ranked(input, known, figures);
  const estimate = estimateAt(byHarm[0]?.estimate.mechanism);
  return estimate === null
    ? { recommended: null, refused: refusedIn(all) }
    : { parameters: parametersFor(estimate.mechanism, known.parameters), estimate };
}

function comparisons(input: EstimateInput): Pick<EstimateAnswer, "comparisons"> {
  if (input.compare !== true) return {};
  const { known } = resolveInput(input);
  return { comparisons: closedForms(closedFormFacts(known, scenarioOf(known, known.parameters, MEDIAN))) };
}

/** The estimates over these draws and what is recommended. */
function judged(input: EstimateInput, scores: readonly Scores[], learned: Learned | null) {
  const { known, runs, failures, assumptions } = runsOf(input, scores);
  const estimates = runs.map((run) => {
    const estimate = estimateOf(run, figuresOf(run, failures));
    if (learned === null) return estimate;
    return calibrateEstimate(estimate, learned.calibration, { ...learned, hypervisor: input.hypervisor });
  });
  return { ...recommendMechanism(input, known, estimates), assumptions };
}

const refusedIn = (
  estimates: readonly (Figures & Rejected)[],
): Extract<ChosenEstimate, { recommended: null }>["refused"] =>
  estimates.map(({ mechanism, rejected }) => ({ mechanism, rejected }));

/** What decides between the mechanisms, and all that is told of one of them; null: of none. */
function figuresIn(input: EstimateInput, scores: readonly Scores[], learned: Learned | null) {
  const { known, runs, failures } = runsOf(input, scores);
  const all = runs.map((run) => figuresOf(run, failures));
  const place = learned === null ? null : { ...learned, hypervisor: input.hypervisor };
  const estimateAt = (mechanism: Mechanism | undefined): MechanismEstimate | null => {
    const index = runs.findIndex(({ model }) => model.mechanism === mechanism);
    const [run, figures] = [runs[index], all[index]];
    if (run === undefined || figures === undefined) return null;
    const estimate = estimateOf(run, figures);
    return place === null ? estimate : calibrateEstimate(estimate, place.calibration, place);
  };
  const figures = place === null ? all : all.map((each) => calibrateFigures(each, place.calibration, place));
  return { known, figures, estimateAt };
}

function runsOf(input: EstimateInput, scores: readonly Scores[]) {
  const { known, assumptions } = resolveInput(input);
  const shared = scenariosOf(known, known.parameters, scores);
  const runs = [...new Set(input.mechanisms)].map((mechanism) => {
    const parameters = parametersFor(mechanism, known.parameters);
    if (parameters !== known.parameters) noteMultifd(assumptions);
    return runOf(
      mechanisms[mechanism],
      parameters === known.parameters ? shared : scenariosOf(known, parameters, scores),
    );
  });
  return { known, assumptions, runs, failures: failureRates(input) };
}

function noteMultifd(assumptions: Assumption[]): void {
  if (assumptions.some(({ field }) => field === "parameters.multifdChannels")) return;
  assumptions.push({
    field: "parameters.multifdChannels",
    value: 0,
    why: "for post-copy and hybrid: QEMU before 10.1 refuses multifd together with post-copy",
  });
}

function scenariosOf(known: Known, parameters: Known["parameters"], scores: readonly Scores[]): Scenarios {
  const at = scenariosFor(known, parameters);
  const median = at(MEDIAN);
  return { median, draws: scores.map((each) => (each === MEDIAN ? median : at(each))) };
}
