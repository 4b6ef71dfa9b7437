// A history made ready to be fitted: newest samples only, gaps filled, scaled so that no sum or square overflows.
import type { ForecasterName, ForecastParameters, History, UnknownForecast } from "./types.ts";

/** Further than this no forecaster says anything. */
export const STEPS_MAX = 10_000;
/** Of the steps since the first sample, this share must be known: what was filled in says nothing new. */
const KNOWN_RATIO_MIN = 0.5;

export type Series = {
  /** From the first to the last known sample, divided by `scale`: from -1 to 1. Gaps between are filled on a straight line. */
  values: Float64Array;
  /** 1 where the value was measured, 0 where it was filled in. */
  known: Uint8Array;
  scale: number;
  /** Known samples. */
  samples: number;
  /** Steps from the last known sample to what is to be forecast. */
  horizonSteps: number;
};

export type Prepared = { ok: true; series: Series } | { ok: false; unknown: UnknownForecast };

/** The series of a history, or why nothing can be said of it. `samplesMin`: what this forecaster needs at least. */
export function prepare(
  forecaster: ForecasterName,
  history: History,
  stepsAhead: number,
  { windowSamples }: ForecastParameters,
  samplesMin: number,
): Prepared {
  const window = history.slice(-windowSamples);
  const isKnown = (value: number | null): value is number => value !== null && Number.isFinite(value);
  const samples = window.filter(isKnown).length;
  const refused = (reason: string): Prepared => ({
    ok: false,
    unknown: { known: false, forecaster, samples, samplesMin, reason },
  });
  if (!Number.isInteger(stepsAhead) || stepsAhead < 1 || stepsAhead > STEPS_MAX)
    return refused(`a forecast looks 1 to ${STEPS_MAX} whole steps ahead, not ${stepsAhead}.`);
  if (samples < samplesMin)
    return refused(
      `${samples} of at least ${samplesMin} samples are known: wait for more, or ask for a longer history or a shorter step.`,
    );
  const first = window.findIndex(isKnown);
  const last = window.findLastIndex(isKnown);
  const since = window.length - first;
  if (samples < KNOWN_RATIO_MIN * since)
    return refused(`only ${samples} of the last ${since} steps have samples: see why the others are missing.`);
  const horizonSteps = stepsAhead + window.length - 1 - last;
  return { ok: true, series: { ...scaled(window.slice(first, last + 1)), samples, horizonSteps } };
}

/** The first and the last value are known. */
function scaled(values: readonly (number | null)[]): Pick<Series, "values" | "known" | "scale"> {
  const known = Uint8Array.from(values, (value) => (value !== null && Number.isFinite(value) ? 1 : 0));
  let scale = 0;
  values.forEach((value, index) => {
    if (known[index] === 1) scale = Math.max(scale, Math.abs(value ?? 0));
  });
  const filled = Float64Array.from(values, (value) => (scale === 0 ? 0 : (value ?? 0) / scale));
  let before = 0;
  for (let index = 1; index < filled.length; index++) {
    if (known[index] === 0) continue;
    const from = filled[before] ?? 0;
    const slope = ((filled[index] ?? 0) - from) / (index - before);
    for (let gap = before + 1; gap < index; gap++) filled[gap] = from + slope * (gap - before);
    before = index;
  }
  return { values: filled, known, scale };
}
