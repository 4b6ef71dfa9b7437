// Quantiles by linear interpolation between the closest ranks (type 7 of Hyndman and Fan 1996), and the mean: the one
// definition for samples, roll-ups and charts.

/** Selection halves what is left in most rounds; what still is not done after this many is sorted instead. */
const ROUNDS_MAX = 48;

/** The q-quantile (0…1). NaN of nothing. */
export const quantile = (values: readonly number[], q: number): number =>
  quantileInPlace(Float64Array.from(values), values.length, q);

/** The q-quantile (0…1) of the first `count` values, none of which is NaN; their order is lost. NaN of nothing. */
export function quantileInPlace(values: Float64Array, count: number, q: number): number {
  const rank = q * (count - 1);
  const below = Math.floor(rank);
  if (count === 0) return Number.NaN;
  select(values, count, below);
  const low = values[below] ?? Number.NaN;
  if (below === rank) return low;
  let high = values[below + 1] ?? low;
  for (let index = below + 2; index < count; index++) {
    const value = values[index] ?? high;
    if (value < high) high = value;
  }
  return between(low, high, rank - below);
}

/** The mean of the first `count` values, none of which is NaN, nor outside them for rounding. NaN of nothing. */
export function meanOf(values: Float64Array, count: number): number {
  let sum = 0;
  let min = Infinity;
  let max = -Infinity;
  for (let index = 0; index < count; index++) {
    const value = values[index] ?? 0;
    sum += value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (count === 0) return Number.NaN;
  if (Number.isFinite(sum)) return Math.min(Math.max(sum / count, min), max);
  // The sum of finite numbers may overflow; that of their shares does not.
  let mean = 0;
  for (let index = 0; index < count; index++) mean += (values[index] ?? 0) / count;
  return Math.min(Math.max(mean, min), max);
}

/** `fraction` of the way from `low` to `high`. The difference of two finite numbers may overflow; their weighted sum does not. */
function between(low: number, high: number, fraction: number): number {
  const value = low + (high - low) * fraction;
  return Math.min(Number.isFinite(value) ? value : low * (1 - fraction) + high * fraction, high);
}

/** Brings the value of rank `wanted` to its place, none greater before it and none less behind (Hoare 1961, "Find"). */
function select(values: Float64Array, count: number, wanted: number): void {
  let left = 0;
  let right = count - 1;
  for (let round = 0; left < right; round++) {
    if (round === ROUNDS_MAX) {
      values.subarray(left, right + 1).sort();
      return;
    }
    const pivot = values[(left + right) >> 1] ?? 0;
    let up = left;
    let down = right;
    while (up <= down) {
      while ((values[up] ?? pivot) < pivot) up += 1;
      while ((values[down] ?? pivot) > pivot) down -= 1;
      if (up > down) break;
      const swapped = values[up] ?? 0;
      values[up] = values[down] ?? 0;
      values[down] = swapped;
      up += 1;
      down -= 1;
    }
    if (down < wanted) left = up;
    if (up > wanted) right = down;
  }
}
