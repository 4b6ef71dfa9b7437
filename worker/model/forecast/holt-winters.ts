// Exponential smoothing with a damped trend and additive seasons (Holt 1957, Winters 1960; damping: Gardner and McKenzie 1985;
// in the form of Hyndman et al. 2008). Its factors are those of a small grid that would have been least wrong at the
// distance asked for.
import { byOwnErrors } from "./interval.ts";
import type { Series } from "./series.ts";

const LEVELS = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1];
const TRENDS = [0, 0.05, 0.2];
const SEASONS = [0, 0.1, 0.3];
/** A trend loses a tenth a step: loads do not rise for ever. */
const DAMPING = 0.9;
/** Another set of factors is taken only if it is better by more than rounding. */
const BETTER_RATIO = 1e-9;
/** Seasons in the history without which a season cannot be told from a trend. */
const SEASONS_MIN = 2;

type Factors = { alpha: number; beta: number; gamma: number };
type Smoothed = { mean: number; errors: Float64Array; wrong: number };

export const holtWinters = byOwnErrors({
  name: "holt-winters",
  summary: "Exponential smoothing with a damped trend and, where `periodSteps` is over 1, additive seasons.",
  samplesMin: ({ periodSteps }) => (periodSteps > 1 ? SEASONS_MIN * periodSteps + 2 : 0),
  fit: (series, errorSteps, { periodSteps }) => {
    let best: (Smoothed & Factors) | undefined;
    for (const factors of gridOf(periodSteps)) {
      const smoothed = smooth(series, errorSteps, periodSteps, factors);
      if (best === undefined || smoothed.wrong < best.wrong * (1 - BETTER_RATIO) - Number.EPSILON)
        best = { ...smoothed, ...factors };
    }
    const { mean = 0, errors = new Float64Array(), alpha = 0, beta = 0, gamma = 0 } = best ?? {};
    return { mean, errors, model: { alpha, beta, gamma, periodSteps } };
  },
});

function gridOf(periodSteps: number): Factors[] {
  const gammas = periodSteps > 1 ? SEASONS : [0];
  return LEVELS.flatMap((alpha) => TRENDS.flatMap((beta) => gammas.map((gamma) => ({ alpha, beta, gamma }))));
}

/** One pass over the series: its forecast, and the errors that it made on the way, `wrong` their mean size. */
function smooth(
  { values, known, horizonSteps }: Series,
  errorSteps: number,
  period: number,
  factors: Factors,
): Smoothed {
  const { alpha, beta, gamma } = factors;
  const start = period > 1 ? period : 1;
  let { level, trend, seasons } = startOf(values, period);
  const trendSteps = dampedSteps(errorSteps);
  const ahead = new Float64Array(values.length);
  const errors = new Float64Array(values.length);
  let count = 0;
  let sum = 0;
  for (let index = start; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (known[index] === 1 && known[index - errorSteps] === 1 && index - errorSteps >= start) {
      const error = value - (ahead[index - errorSteps] ?? 0);
      errors[count++] = error;
      sum += Math.abs(error);
    }
    const season = seasons[index % period] ?? 0;
    const expected = level + DAMPING * trend;
    const next = alpha * (value - season) + (1 - alpha) * expected;
    trend = beta * (next - level) + (1 - beta) * DAMPING * trend;
    level = next;
    seasons[index % period] = gamma * (value - expected) + (1 - gamma) * season;
    ahead[index] = level + trendSteps * trend + (seasons[(index + errorSteps) % period] ?? 0);
  }
  const mean = level + dampedSteps(horizonSteps) * trend + (seasons[(values.length - 1 + horizonSteps) % period] ?? 0);
  return { mean, errors: errors.subarray(0, count), wrong: count === 0 ? 0 : sum / count };
}

/** From the first two seasons: level at the end of the first, slope a step, deviations. */
function startOf(values: Float64Array, period: number): { level: number; trend: number; seasons: Float64Array } {
  const seasons = new Float64Array(period);
  if (period === 1) return { level: values[0] ?? 0, trend: 0, seasons };
  const meanFrom = (from: number): number => {
    let sum = 0;
    for (let index = from; index < from + period; index++) sum += values[index] ?? 0;
    return sum / period;
  };
  const middle = meanFrom(0);
  const trend = (meanFrom(period) - middle) / period;
  const half = (period - 1) / 2;
  seasons.forEach((_, index) => (seasons[index] = (values[index] ?? 0) - middle - trend * (index - half)));
  return { level: middle + trend * half, trend, seasons };
}

/** d + d² + … + dⁿ: how many steps of a trend n damped steps are worth. */
function dampedSteps(steps: number): number {
  return (DAMPING * (1 - DAMPING ** steps)) / (1 - DAMPING);
}
