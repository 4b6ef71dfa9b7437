// Autoregression of order 1, as Sandpiper predicts (Wood et al., NSDI 2007): û = μ + φ (u − μ).
import { meanOf } from "../quantile.ts";
import { byOwnErrors, errorsOf } from "./interval.ts";

export const ar1 = byOwnErrors({
  name: "ar1",
  summary: "Autoregression of order 1: the newest sample decays towards the mean.",
  fit: (series, errorSteps) => {
    const { values, scale, horizonSteps } = series;
    const mean = meanOf(values, values.length);
    const phi = phiOf(values, mean);
    const after = (value: number, steps: number): number => mean + phi ** steps * (value - mean);
    return {
      mean: after(values.at(-1) ?? 0, horizonSteps),
      errors: errorsOf(series, errorSteps, (origin) => after(values[origin] ?? 0, errorSteps)),
      model: { mean: mean * scale, phi },
    };
  },
});

/** φ by least squares around the mean, between -1 and 1: outside a forecast would run away. */
function phiOf(values: Float64Array, mean: number): number {
  let products = 0;
  let squares = 0;
  for (let index = 1; index < values.length; index++) {
    const before = (values[index - 1] ?? 0) - mean;
    products += before * ((values[index] ?? 0) - mean);
    squares += before ** 2;
  }
  return squares === 0 ? 0 : Math.max(-1, Math.min(1, products / squares));
}
