// From what a method would have said before to how far it may be off now: the errors that it made at the same distance over
// the history are the interval. No distribution is assumed: loads have peaks, and a normal interval around them is too wide.
import { quantileInPlace } from "../quantile.ts";
import { prepare, type Series } from "./series.ts";
import type { Forecast, Forecaster, ForecasterName, ForecastParameters } from "./types.ts";

const UPPER = 0.9;

export type Fitted = {
  /** The forecast, `horizonSteps` after the last value. */
  mean: number;
  /** What was measured less what the fitted method says `errorSteps` before. */
  errors: Float64Array;
  model: Record<string, number>;
};

/** A method that gives one number; all in the scale of the series. */
export type Method = {
  name: ForecasterName;
  summary: string;
  /** Samples without which it has no answer, beyond the parameter of that name. */
  samplesMin?: (parameters: ForecastParameters) => number;
  fit: (series: Series, errorSteps: number, parameters: ForecastParameters) => Fitted;
};

/** The forecaster of a method: its number, and an interval by its own errors. */
export function byOwnErrors({ name, summary, samplesMin, fit }: Method): Forecaster {
  return {
    name,
    summary,
    forecast: (history, stepsAhead, parameters) => {
      const needed = Math.max(parameters.samplesMin, samplesMin?.(parameters) ?? 0);
      const prepared = prepare(name, history, stepsAhead, parameters, needed);
      if (!prepared.ok) return prepared.unknown;
      const { series } = prepared;
      // A short history has no errors at a long distance.
      const errorSteps = Math.min(series.horizonSteps, Math.max(1, Math.floor(series.values.length / 3)));
      const { mean, errors, model } = fit(series, errorSteps, parameters);
      // Those of a random walk grow with the square root of the distance: no load forgets more slowly.
      const growth = Math.sqrt(series.horizonSteps / errorSteps);
      const { low, high } = spreadOf(errors);
      return answerOf(name, series, { mean, p10: mean + growth * low, p90: mean + growth * high, model }, parameters);
    },
  };
}

/**
 * p10 and p90 of errors, each as far out as makes the next error of as many exchangeable ones lie inside with that
 * probability (split conformal, Vovk et al. 2005).
 */
function spreadOf(errors: Float64Array): { low: number; high: number } {
  if (errors.length === 0) return { low: 0, high: 0 };
  const level = Math.min(1, UPPER * (1 + 1 / errors.length));
  return {
    low: quantileInPlace(errors, errors.length, 1 - level),
    high: quantileInPlace(errors, errors.length, level),
  };
}

/** In the unit of the history, ordered and within the bounds. */
export function answerOf(
  forecaster: ForecasterName,
  { scale, samples, horizonSteps }: Series,
  { mean, p10, p90, model }: { mean: number; p10: number; p90: number; model: Record<string, number> },
  { min = -Number.MAX_VALUE, max = Number.MAX_VALUE }: ForecastParameters,
): Forecast {
  const bounded = (value: number): number => Math.max(min, Math.min(max, value * scale));
  return {
    known: true,
    forecaster,
    mean: bounded(mean),
    p10: bounded(Math.min(mean, p10)),
    p90: bounded(Math.max(mean, p90)),
    samples,
    horizonSteps,
    model,
  };
}

/** Errors, at places whose target and origin were both measured, of a method that says `predict(origin)` for `steps` later. */
export function errorsOf(
  { values, known }: Series,
  steps: number,
  predict: (origin: number) => number,
  from = 0,
): Float64Array {
  const errors = new Float64Array(Math.max(0, values.length - steps - from));
  let count = 0;
  for (let origin = from; origin + steps < values.length; origin++) {
    if (known[origin] === 0 || known[origin + steps] === 0) continue;
    errors[count++] = (values[origin + steps] ?? 0) - predict(origin);
  }
  return errors.subarray(0, count);
}
