// Overload tests of the restated policies: when a host, with or without one VM more, counts as overloaded.
import type { Draft } from "./draft.ts";
import { HISTORY, type SimVm, TREND } from "./world.ts";

export type OverloadTest = (draft: Draft, extra: SimVm | null) => boolean;

/** Where there is too little history. */
const FALLBACK_RATIO = 0.7;
/** Samples that a spread needs. */
const SPREAD_SAMPLES_MIN = 12;

/** Overloaded above a fixed share of the host. */
export const threshold =
  (ratio: number): OverloadTest =>
  (draft, extra) =>
    (draft.requested + (extra?.demand ?? 0)) / draft.host.mips > ratio;

const fallback = threshold(FALLBACK_RATIO);

/** Overloaded if the line through the last ten samples, times `safety`, reaches the whole host one step on. */
export const localRegression =
  (safety: number): OverloadTest =>
  (draft, extra) => {
    if (Math.max(draft.historyLength, extra?.historyLength ?? 0) < TREND) return fallback(draft, extra);
    return ((draft.trend + (extra?.trend ?? 0)) / draft.host.mips) * safety >= 1;
  };

/** Overloaded above 1 − safety × the spread of the host's history. */
const bySpread =
  (safety: number, spreadOf: (sorted: Float64Array) => number): OverloadTest =>
  (draft, extra) => {
    const length = Math.max(draft.historyLength, extra?.historyLength ?? 0);
    if (length < SPREAD_SAMPLES_MIN) return fallback(draft, extra);
    const history = historyOf(draft, extra).subarray(0, length);
    return threshold(1 - safety * spreadOf(history.sort()))(draft, extra);
  };

function historyOf(draft: Draft, extra: SimVm | null): Float64Array {
  if (draft.history === null) {
    draft.history = new Float64Array(HISTORY);
    for (const vm of draft.vms) addTo(draft.history, vm, draft);
  }
  const history = draft.history.slice();
  if (extra !== null) addTo(history, extra, draft);
  return history;
}

function addTo(history: Float64Array, vm: SimVm, { host }: Draft): void {
  for (let age = 0; age < vm.historyLength; age++)
    history[age] = (history[age] ?? 0) + ((vm.history[age] ?? 0) * vm.mips) / host.mips;
}

/** The interquartile range, without interpolation. */
export const interquartile = (safety: number): OverloadTest =>
  bySpread(safety, (sorted) => {
    const quartile = (share: number) => sorted[Math.round(share * (sorted.length + 1)) - 1] ?? 0;
    return quartile(0.75) - quartile(0.25);
  });

/** The median of the distances from the median. */
export const medianDeviation = (safety: number): OverloadTest =>
  bySpread(safety, (sorted) => {
    const middle = medianOf(sorted);
    return medianOf(sorted.map((value) => Math.abs(middle - value)).sort());
  });

function medianOf(sorted: Float64Array): number {
  const half = sorted.length / 2;
  const upper = sorted[Math.floor(half)] ?? 0;
  return Number.isInteger(half) ? (upper + (sorted[half - 1] ?? 0)) / 2 : upper;
}
