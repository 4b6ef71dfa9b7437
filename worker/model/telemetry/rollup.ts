// Raw samples made into the coarser tiers: five aggregates a series and bucket, to four significant digits.
import { meanOf, quantileInPlace } from "../quantile.ts";
import { type Frame, seriesKey } from "./frame.ts";
import { roundDigits } from "./rounding.ts";

/** In the order of a roll-up column's `values`. */
export const ROLLUP_AGGREGATES = ["min", "mean", "max", "p95", "last"] as const;
export type RollupAggregate = (typeof ROLLUP_AGGREGATES)[number];

/** Significant decimal digits of a rolled-up figure (DESIGN section 4). */
export const ROLLUP_DIGITS = 4;

/** One series: `values` has an array for each of ROLLUP_AGGREGATES; NaN in all five where a bucket holds no sample. */
export type RollupColumn = { entity: string; metric: string; values: Float64Array[] };

/**
 * `times` are the starts of buckets in ms since 1970, rising strictly; every array of a column has one value a time.
 * `aggregates` is how many arrays a column has: the five of ROLLUP_AGGREGATES.
 */
export type Rollup = { times: readonly number[]; aggregates: number; columns: RollupColumn[] };

export const EMPTY_ROLLUP: Rollup = { times: [], aggregates: ROLLUP_AGGREGATES.length, columns: [] };

/**
 * Min, mean, max, p95 (type 7, as in quantile.ts) and last of every series in every bucket from `fromMs` to before
 * `toMs`, each rounded to ROLLUP_DIGITS; rounding keeps their order (min ≤ mean ≤ max, min ≤ p95 ≤ max). Samples
 * outside the range, buckets in which nothing has a sample and series without any are left out. RangeError where the
 * range or the bucket is empty.
 */
export function rollUp(frame: Frame, bucketMs: number, fromMs: number, toMs: number): Rollup {
  if (!(bucketMs > 0) || !(toMs > fromMs))
    throw new RangeError(`no buckets of ${bucketMs} ms from ${fromMs} to ${toMs}`);
  const buckets = bucketsOf(frame.times, bucketMs, fromMs, toMs);
  const scratch = new Float64Array(buckets.reduce((most, { first, end }) => Math.max(most, end - first), 0));
  // One block for all: many small arrays cost more than what is put into them.
  const width = buckets.length;
  const block = new Float64Array(frame.columns.length * ROLLUP_AGGREGATES.length * width).fill(Number.NaN);
  const columns: RollupColumn[] = [];
  let free = 0;
  for (const { entity, metric, values } of frame.columns) {
    const rolled = ROLLUP_AGGREGATES.map(() => block.subarray(free, (free += width)));
    let hasSamples = false;
    buckets.forEach((bucket, place) => {
      if (digest(values, bucket, scratch, rolled, place)) hasSamples = true;
    });
    if (hasSamples) columns.push({ entity, metric, values: rolled });
  }
  return withoutEmptyTimes(
    buckets.map(({ time }) => time),
    columns,
  );
}

/** Samples `first` to before `end` of the frame lie in the bucket that starts at `time`. */
type Bucket = { time: number; first: number; end: number };

function bucketsOf(times: readonly number[], bucketMs: number, fromMs: number, toMs: number): Bucket[] {
  const buckets: Bucket[] = [];
  let open: Bucket | undefined;
  times.forEach((at, index) => {
    if (at < fromMs || at >= toMs) return;
    const time = fromMs + Math.floor((at - fromMs) / bucketMs) * bucketMs;
    if (open?.time !== time) buckets.push((open = { time, first: index, end: index }));
    open.end = index + 1;
  });
  return buckets;
}

/** The figures of one bucket, written to `place` of `rolled`; false where there is no sample. */
function digest(
  values: Float64Array,
  { first, end }: Bucket,
  scratch: Float64Array,
  rolled: readonly Float64Array[],
  place: number,
): boolean {
  let count = 0;
  let min = Infinity;
  let max = -Infinity;
  for (let index = first; index < end; index++) {
    const value = values[index] ?? Number.NaN;
    if (Number.isNaN(value)) continue;
    scratch[count++] = value;
    if (value < min) min = value;
    if (value > max) max = value;
  }
  if (count === 0) return false;
  const last = scratch[count - 1] ?? max;
  const mean = meanOf(scratch, count);
  const p95 = min === max ? max : quantileInPlace(scratch, count, 0.95);
  const put = (aggregate: number, value: number): void => {
    const figures = rolled[aggregate];
    if (figures !== undefined) figures[place] = rounded(value);
  };
  put(0, min);
  put(1, mean);
  put(2, max);
  put(3, p95);
  put(4, last);
  return true;
}

/** Finite, too: the largest numbers would be rounded up to infinity. */
const rounded = (value: number): number =>
  Math.max(-Number.MAX_VALUE, Math.min(roundDigits(value, ROLLUP_DIGITS), Number.MAX_VALUE));

/** A frame's own times may belong to no series: such buckets are dropped. */
function withoutEmptyTimes(times: readonly number[], columns: RollupColumn[]): Rollup {
  const kept = times.map((_, place) => columns.some(({ values }) => !Number.isNaN(values[0]?.[place] ?? Number.NaN)));
  if (!kept.includes(false)) return { ...EMPTY_ROLLUP, times, columns };
  return {
    ...EMPTY_ROLLUP,
    times: times.filter((_, place) => kept[place]),
    columns: columns.map((column) => ({
      ...column,
      values: column.values.map((figures) => figures.filter((_, place) => kept[place])),
    })),
  };
}

/**
 * A row with the buckets of `fresh` put in: what `fresh` says of a bucket replaces all that `existing` said of it, in
 * every series, and its other buckets stay. Putting in the same again changes nothing. Columns keep their order, those
 * that are only in `fresh` follow; series that are left without figures are dropped.
 */
export function mergeRollup(existing: Rollup, fresh: Rollup): Rollup {
  const times = [...new Set([...existing.times, ...fresh.times])].toSorted((a, b) => a - b);
  const placeOf = new Map(times.map((time, place) => [time, place]));
  const replaced = new Set(fresh.times);
  const merged = new Map<string, RollupColumn>();
  const put = ({ times: own, columns }: Rollup, isWanted: (time: number) => boolean): void => {
    for (const { entity, metric, values } of columns) {
      const key = seriesKey(entity, metric);
      const target = merged.get(key) ?? {
        entity,
        metric,
        values: ROLLUP_AGGREGATES.map(() => new Float64Array(times.length).fill(Number.NaN)),
      };
      merged.set(key, target);
      own.forEach((time, from) => {
        const to = placeOf.get(time);
        if (to === undefined || !isWanted(time)) return;
        target.values.forEach((figures, index) => (figures[to] = values[index]?.[from] ?? Number.NaN));
      });
    }
  };
  put(existing, (time) => !replaced.has(time));
  put(fresh, () => true);
  const hasFigures = ({ values }: RollupColumn): boolean => values[0]?.some((value) => !Number.isNaN(value)) ?? false;
  return { ...EMPTY_ROLLUP, times, columns: [...merged.values()].filter(hasFigures) };
}
