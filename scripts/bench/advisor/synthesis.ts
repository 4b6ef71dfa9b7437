// A peer of `cloud`: the synthesis of two clouds as it is published (Li and Du 2007), each counted by how much it spreads.
import { backwardCloud, forwardCloud } from "../../../worker/model/forecast/cloud.ts";
import type { Forecast, ForecastParameters, History, Random } from "../../../worker/model/forecast/types.ts";
import { quantile } from "../../../worker/model/quantile.ts";

/** Of a history without gaps. */
export function forecastBySynthesis(
  history: History,
  stepsAhead: number,
  { currentSamples, drops }: ForecastParameters,
  random: Random,
): Forecast {
  const values = Float64Array.from(history, (value) => value ?? 0);
  const historic = backwardCloud(values.subarray(0, values.length - currentSamples));
  const current = backwardCloud(values.subarray(values.length - currentSamples));
  const en = historic.en + current.en;
  const weight = en === 0 ? 0.5 : current.en / en;
  const mixed = (a: number, b: number): number => (1 - weight) * a + weight * b;
  const ex = mixed(historic.ex, current.ex);
  const he = mixed(historic.he, current.he);
  const xs = forwardCloud({ ex, en, he }, drops, random).map(({ x }) => Math.max(0, x));
  return {
    known: true,
    forecaster: "cloud",
    mean: ex,
    p10: Math.min(ex, quantile(xs, 0.1)),
    p90: Math.max(ex, quantile(xs, 0.9)),
    samples: values.length,
    horizonSteps: stepsAhead,
    model: { ex, en, he },
  };
}
