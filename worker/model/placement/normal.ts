// The normal distribution, as far as the advisor needs it.

/** Density of the standard normal distribution. */
export const normalDensity = (z: number): number => Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);

/** Its distribution function; Abramowitz and Stegun 7.1.26, absolute error below 1.5e-7. */
export function normalBelow(z: number): number {
  const x = Math.abs(z) / Math.SQRT2;
  const t = 1 / (1 + 0.3275911 * x);
  const series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  const tail = (series * Math.exp(-x * x)) / 2;
  return z >= 0 ? 1 - tail : tail;
}

/** Expected amount by which a normally distributed load is above `limit`: σ·(φ(z) − z·(1 − Φ(z))), z = (limit − mean) / σ. */
export function normalExcess(mean: number, deviation: number, limit: number): number {
  if (deviation <= 0) return Math.max(0, mean - limit);
  const z = (limit - mean) / deviation;
  return Math.max(0, deviation * (normalDensity(z) - z * (1 - normalBelow(z))));
}
