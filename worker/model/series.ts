// Samples onto a regular grid of steps, several series made one, and where a series has gaps.
import { meanOf, quantileInPlace } from "./quantile.ts";
import { firstAtOrAfter, type Frame, mergeFrames, sliceFrame } from "./telemetry/frame.ts";
import { EMPTY_ROLLUP, mergeRollup, type Rollup, ROLLUP_AGGREGATES, type RollupAggregate } from "./telemetry/rollup.ts";
import { SECOND_MS } from "./units.ts";

/** What a step says of the samples in it. */
export const AGGREGATES = ["min", "max", "mean", "last", "p50", "p95", "p99", "sum", "rate"] as const;
export type Aggregate = (typeof AGGREGATES)[number];

/** How several series are made one. */
export const ACROSS = ["sum", "mean", "min", "max", "p50", "p95", "p99"] as const satisfies readonly Aggregate[];
export type Across = (typeof ACROSS)[number];

/** Step i covers [from + i · step, from + (i + 1) · step) in ms since 1970; the last one ends at `to`. */
export type Grid = { from: number; to: number; stepMs: number };

export type Gap = { from: number; to: number };

/** A series is interrupted when its usual interval has passed this many times without a sample. */
const GAP_INTERVALS = 3;

/** Of the first `count` values, of which there is at least one, none NaN; their order is lost. */
type Reducer = (values: Float64Array, count: number) => number;

const folded =
  (fold: (so: number, value: number) => number): Reducer =>
  (values, count) => {
    let so = values[0] ?? Number.NaN;
    for (let index = 1; index < count; index++) so = fold(so, values[index] ?? so);
    return so;
  };
const quantileAt =
  (q: number): Reducer =>
  (values, count) =>
    quantileInPlace(values, count, q);
const total = folded((sum, value) => sum + value);

const REDUCERS: Record<Exclude<Aggregate, "rate">, Reducer> = {
  min: folded((least, value) => (value < least ? value : least)),
  max: folded((most, value) => (value > most ? value : most)),
  mean: meanOf,
  last: (values, count) => values[count - 1] ?? Number.NaN,
  p50: quantileAt(0.5),
  p95: quantileAt(0.95),
  p99: quantileAt(0.99),
  // A sum that overflows stays the largest number there is: infinity could not be told from "no sample" in JSON.
  sum: (values, count) => Math.max(-Number.MAX_VALUE, Math.min(total(values, count), Number.MAX_VALUE)),
};

/** Where steps begin, ms since 1970. RangeError where the range or the step is empty. */
export function stepTimes({ from, to, stepMs }: Grid): number[] {
  if (!(stepMs > 0) || !(to > from)) throw new RangeError(`no steps of ${stepMs} ms from ${from} to ${to}`);
  return Array.from({ length: Math.ceil((to - from) / stepMs) }, (_, step) => from + step * stepMs);
}

/** Samples `edges[i]` to before `edges[i + 1]` lie in step i. */
function edgesOf(times: readonly number[], grid: Grid): Int32Array {
  const borders = [...stepTimes(grid), grid.to];
  let index = 0;
  return Int32Array.from(borders, (border) => {
    while ((times[index] ?? border) < border) index += 1;
    return index;
  });
}

/**
 * The aggregate of every step, for columns of common times (rising; one value a time, NaN: no sample). NaN where a step
 * has no sample; samples outside the grid are left out. A rate is the increase per second of a counter since the last
 * sample before the step, or its first sample after a gap; a counter that fell was reset, and what it shows then was
 * counted since. RangeError where the range or the step is empty.
 */
export function alignColumns(
  times: readonly number[],
  columns: readonly Float64Array[],
  { agg, ...grid }: Grid & { agg: Aggregate },
): Float64Array[] {
  const edges = edgesOf(times, grid);
  const steps = edges.length - 1;
  const block = new Float64Array(columns.length * steps).fill(Number.NaN);
  const scratch = new Float64Array(times.length);
  return columns.map((values, place) => {
    const aligned = block.subarray(place * steps, (place + 1) * steps);
    if (agg === "rate") putRates(aligned, times, values, edges, longestWait(times, values, grid));
    else putReduced(aligned, values, edges, REDUCERS[agg], scratch);
    return aligned;
  });
}

function putReduced(
  aligned: Float64Array,
  values: Float64Array,
  edges: Int32Array,
  reduce: Reducer,
  scratch: Float64Array,
): void {
  for (let step = 0; step < aligned.length; step++) {
    const end = edges[step + 1] ?? 0;
    let count = 0;
    for (let index = edges[step] ?? 0; index < end; index++) {
      const value = values[index] ?? Number.NaN;
      if (!Number.isNaN(value)) scratch[count++] = value;
    }
    if (count > 0) aligned[step] = reduce(scratch, count);
  }
}

function putRates(
  aligned: Float64Array,
  times: readonly number[],
  values: Float64Array,
  edges: Int32Array,
  longestMs: number,
): void {
  let lastTime = -Infinity;
  let lastValue = 0;
  for (let step = 0; step < aligned.length; step++) {
    const end = edges[step + 1] ?? 0;
    let since = Number.NaN;
    let increase = 0;
    for (let index = edges[step] ?? 0; index < end; index++) {
      const value = values[index] ?? Number.NaN;
      if (Number.isNaN(value)) continue;
      const time = times[index] ?? 0;
      const isFirst = Number.isNaN(since);
      const continues = !isFirst || time - lastTime <= longestMs;
      if (isFirst) since = continues ? lastTime : time;
      if (continues) increase += value >= lastValue ? value - lastValue : value;
      lastTime = time;
      lastValue = value;
    }
    if (lastTime > since) aligned[step] = (increase * SECOND_MS) / (lastTime - since);
  }
}

/** The places of the samples that are within the grid. */
function placesInside(times: readonly number[], values: Float64Array, { from, to }: Grid): Int32Array {
  const places = new Int32Array(values.length);
  let count = 0;
  for (let index = firstAtOrAfter(times, from); index < values.length && (times[index] ?? to) < to; index++)
    if (!Number.isNaN(values[index] ?? Number.NaN)) places[count++] = index;
  return places.subarray(0, count);
}

/** Three usual (median) intervals between the samples of the grid, or a step where that is longer. */
function longestWait(times: readonly number[], values: Float64Array, grid: Grid): number {
  const places = placesInside(times, values, grid);
  const intervals = new Float64Array(Math.max(0, places.length - 1));
  for (let index = 0; index < intervals.length; index++)
    intervals[index] = (times[places[index + 1] ?? 0] ?? 0) - (times[places[index] ?? 0] ?? 0);
  const usual = intervals.length === 0 ? 0 : quantileInPlace(intervals, intervals.length, 0.5);
  return Math.max(GAP_INTERVALS * usual, grid.stepMs);
}

/**
 * Where a series has no sample for longer than three usual (median) intervals and longer than a step, the edges of the
 * grid included. Of a roll-up, `values` is any of its aggregates; of series made one, the steps and their values.
 */
export function gapsOf(times: readonly number[], values: Float64Array, grid: Grid): Gap[] {
  const longestMs = longestWait(times, values, grid);
  const gaps: Gap[] = [];
  let since = grid.from;
  const reach = (time: number): void => {
    if (time - since > longestMs) gaps.push({ from: since, to: time });
    since = time;
  };
  for (const place of placesInside(times, values, grid)) reach(times[place] ?? 0);
  reach(grid.to);
  return gaps;
}

/** What an aggregate is made of where only roll-ups are left; those not named cannot be made of them. */
const ROLLUP_SOURCES: Partial<Record<Aggregate, RollupAggregate>> = {
  min: "min",
  max: "max",
  mean: "mean",
  last: "last",
  p50: "mean",
  p95: "p95",
};

/** Whether roll-ups can answer for an aggregate at all. */
export const isInRollups = (agg: Aggregate): boolean => ROLLUP_SOURCES[agg] !== undefined;

/**
 * The aggregate of every step from roll-ups; a bucket belongs to the step in which it starts. Least of the least, most of
 * the most, last of the last; mean of the means, whatever number of samples each stands for; p95 of the p95s; p50 of the
 * means. The last three are approximate where a step has several buckets. RangeError for p99, sum and rate.
 */
export function alignRollup(rollup: Rollup, { agg, ...grid }: Grid & { agg: Aggregate }): Float64Array[] {
  const source = ROLLUP_SOURCES[agg];
  if (source === undefined) throw new RangeError(`roll-ups have no ${agg}`);
  const place = ROLLUP_AGGREGATES.indexOf(source);
  const columns = rollup.columns.map(
    ({ values }) => values[place] ?? new Float64Array(rollup.times.length).fill(Number.NaN),
  );
  return alignColumns(rollup.times, columns, { ...grid, agg });
}

/** Aligned series of several entities made one, step by step; a series without a value in a step is left out of it. */
export function combineAcross(rows: readonly Float64Array[], across: Across): Float64Array {
  const reduce = REDUCERS[across];
  const scratch = new Float64Array(rows.length);
  const combined = new Float64Array(rows[0]?.length ?? 0).fill(Number.NaN);
  for (let step = 0; step < combined.length; step++) {
    let count = 0;
    for (const row of rows) {
      const value = row[step] ?? Number.NaN;
      if (!Number.isNaN(value)) scratch[count++] = value;
    }
    if (count > 0) combined[step] = reduce(scratch, count);
  }
  return combined;
}

/** What one host said of a VM that was on it from `from` to before `to`, ms since 1970. */
export type Piece<Samples> = { from: number; to: number; samples: Samples };

/** Each piece up to where a later one begins: while a VM moves both hosts may report it, and the later has the word. */
const cut = <Samples>(pieces: readonly Piece<Samples>[]): Piece<Samples>[] =>
  pieces.map((piece, index) => ({
    ...piece,
    to: pieces.slice(index + 1).reduce((to, later) => Math.min(to, later.from), piece.to),
  }));

/** A VM's history over several hosts, in the order of its placements. */
export const joinPieces = (pieces: readonly Piece<Frame>[]): Frame =>
  mergeFrames(cut(pieces).map(({ from, to, samples }) => sliceFrame(samples, from, to)));

/** The same of roll-ups. A bucket belongs to the placement in which it starts. */
export const joinRollups = (pieces: readonly Piece<Rollup>[]): Rollup =>
  cut(pieces)
    .map(({ from, to, samples }) => sliceRollup(samples, from, to))
    .reduce(mergeRollup, EMPTY_ROLLUP);

function sliceRollup({ times, aggregates, columns }: Rollup, from: number, to: number): Rollup {
  const isInside = (_: number, place: number): boolean => {
    const time = times[place] ?? to;
    return time >= from && time < to;
  };
  return {
    times: times.filter(isInside),
    aggregates,
    columns: columns.map((column) => ({ ...column, values: column.values.map((of) => of.filter(isInside)) })),
  };
}

/** As JSON has it: null where there is no value. */
export const withNulls = (values: Float64Array): (number | null)[] =>
  Array.from(values, (value) => (Number.isNaN(value) ? null : value));
