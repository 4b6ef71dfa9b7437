// Autoregression of higher order: coefficients by the Yule-Walker equations (Levinson 1947, Durbin 1960), the order by
// Akaike's criterion (1974).
import { autocovariances } from "./autocovariance.ts";
import { byOwnErrors, errorsOf } from "./interval.ts";

/** At least so many samples for each coefficient. */
const SAMPLES_PER_COEFFICIENT = 4;

export const arp = byOwnErrors({
  name: "arp",
  summary: "Autoregression whose order, at most `orderMax`, is chosen by Akaike's criterion.",
  fit: (series, errorSteps, { orderMax }) => {
    const { values, scale, horizonSteps } = series;
    const bound = Math.min(orderMax, Math.floor(values.length / SAMPLES_PER_COEFFICIENT));
    const { mean, covariances } = autocovariances(values, bound);
    const coefficients = yuleWalker(covariances, values.length);
    const far = coefficientsAhead(coefficients, horizonSteps);
    const near = coefficientsAhead(coefficients, errorSteps);
    const at = (origin: number, weights: Float64Array): number => {
      let sum = 0;
      for (let lag = 0; lag < weights.length; lag++) sum += (weights[lag] ?? 0) * ((values[origin - lag] ?? 0) - mean);
      return mean + sum;
    };
    const order = coefficients.length;
    return {
      mean: at(values.length - 1, far),
      errors: errorsOf(series, errorSteps, (origin) => at(origin, near), Math.max(0, order - 1)),
      model: { mean: mean * scale, order },
    };
  },
});

/**
 * Coefficients φ₁…φₚ of the order p that has the least n ln σ² + 2p, from autocovariances of lags 0 to the highest order; of
 * equal ones the lowest. None where the series is constant or white noise.
 */
export function yuleWalker(covariances: Float64Array, count: number): Float64Array {
  let variance = covariances[0] ?? 0;
  let best = new Float64Array();
  if (variance <= 0) return best;
  let leastCriterion = count * Math.log(variance);
  let current = best;
  for (let order = 1; order < covariances.length; order++) {
    let residual = covariances[order] ?? 0;
    current.forEach((phi, index) => (residual -= phi * (covariances[order - 1 - index] ?? 0)));
    const reflection = residual / variance;
    const previous = current;
    current = Float64Array.from({ length: order }, (_, index) =>
      index === order - 1 ? reflection : (previous[index] ?? 0) - reflection * (previous[order - 2 - index] ?? 0),
    );
    variance *= 1 - reflection ** 2;
    // Nothing is left to explain; rounding only.
    if (!(variance > 0)) return best;
    const criterion = count * Math.log(variance) + 2 * order;
    if (criterion < leastCriterion) {
      leastCriterion = criterion;
      best = current;
    }
  }
  return best;
}

/** Weights of the newest deviations in the forecast `steps` ahead, from those for one step. */
export function coefficientsAhead(oneStep: Float64Array, steps: number): Float64Array {
  let weights = oneStep;
  for (let step = 1; step < steps; step++) {
    const newest = weights[0] ?? 0;
    const previous = weights;
    weights = oneStep.map((phi, lag) => newest * phi + (previous[lag + 1] ?? 0));
  }
  return weights;
}
