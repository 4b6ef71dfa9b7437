// p10, p50 and p90 of a set of draws.
import type { Quantity } from "./types.ts";

/** Reused from call to call: allocating one for each quantity was a third of an estimate's time. */
const room = new Float64Array(64);

/** Linear between order statistics (Hyndman and Fan type 7). `values` is not empty; `decimals` kept in the answer. */
export function quantiles(values: readonly number[], decimals: number): Quantity {
  const scale = 10 ** decimals;
  const [first = 0] = values;
  // Many quantities of an estimate are the same in every draw, most of them 0.
  if (values.every((value) => value === first)) {
    const same = Math.round(first * scale) / scale;
    return { p10: same, p50: same, p90: same };
  }
  const sorted = values.length <= room.length ? room.subarray(0, values.length) : new Float64Array(values.length);
  sorted.set(values);
  sorted.sort();
  const at = (probability: number) => {
    const position = probability * (sorted.length - 1);
    const below = sorted[Math.floor(position)] ?? 0;
    const above = sorted[Math.ceil(position)] ?? below;
    return Math.round((below + (above - below) * (position % 1)) * scale) / scale;
  };
  return { p10: at(0.1), p50: at(0.5), p90: at(0.9) };
}
