// p10, p50 and p90 of a set of draws.
import type { Quantity } from "./types.ts";

/** Reused from call to call: allocating one for each quantity was a third of an estimate's time. */
const room = new Float64Array(64);

/** Linear between order statistics (Hyndman and Fan type 7). `values` is not empty; `decimals` kept in the answer. */
export const quantiles = (values: readonly number[], decimals: number): Quantity =>
  quantilesOf(values.length, (at) => values[at] ?? 0, decimals);

/** The same of `count` values, at least one, each asked for once. */
export function quantilesOf(count: number, valueAt: (index: number) => number, decimals: number): Quantity {
  const scale = 10 ** decimals;
  const sorted = count === room.length ? room : count < room.length ? room.subarray(0, count) : new Float64Array(count);
  const first = valueAt(0);
  let isSame = true;
  sorted[0] = first;
  for (let index = 1; index < count; index++) {
    const value = valueAt(index);
    sorted[index] = value;
    if (value !== first) isSame = false;
  }
  // Many quantities of an estimate are the same in every draw, most of them 0.
  if (isSame) {
    const same = Math.round(first * scale) / scale;
    return { p10: same, p50: same, p90: same };
  }
  sorted.sort();
  const at = (probability: number) => {
    const position = probability * (sorted.length - 1);
    const below = sorted[Math.floor(position)] ?? 0;
    const above = sorted[Math.ceil(position)] ?? below;
    return Math.round((below + (above - below) * (position % 1)) * scale) / scale;
  };
  return { p10: at(0.1), p50: at(0.5), p90: at(0.9) };
}
