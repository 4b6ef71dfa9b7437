// What a series has in common with itself some steps before.
import { meanOf } from "../quantile.ts";

/**
 * The mean and the autocovariances of lags 0 to `lagMax`, each divided by the number of all values (Box and Jenkins 1970):
 * biased towards 0, and thereby such that the models fitted to them never run away.
 */
export function autocovariances(values: Float64Array, lagMax: number): { mean: number; covariances: Float64Array } {
  const mean = meanOf(values, values.length);
  const covariances = new Float64Array(lagMax + 1);
  for (let lag = 0; lag <= lagMax; lag++) {
    let sum = 0;
    for (let index = lag; index < values.length; index++)
      sum += ((values[index] ?? 0) - mean) * ((values[index - lag] ?? 0) - mean);
    covariances[lag] = sum / values.length;
  }
  return { mean, covariances };
}
