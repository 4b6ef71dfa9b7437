// Samples of one series onto a regular grid, and where it has gaps.
import { SECOND_MS } from "./units.ts";

export const AGGREGATES = ["min", "max", "mean", "last", "p50", "p95", "p99", "sum", "rate"] as const;
export type Aggregate = (typeof AGGREGATES)[number];

/** Time in ms since 1970, and value. */
export type Point = readonly [timeMs: number, value: number];

export type Gap = { from: number; to: number };

export type AlignedSeries = {
  /** One a step: step i covers [from + i · step, from + (i + 1) · step). null: no sample in it. */
  values: (number | null)[];
  gaps: Gap[];
};

/** A series is interrupted when its usual interval has passed this many times without a sample. */
const GAP_INTERVALS = 3;

/**
 * The q-quantile (0…1) by linear interpolation between the closest ranks (type 7 of Hyndman and Fan 1996). NaN of
 * nothing.
 */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const rank = q * (sorted.length - 1);
  const low = sorted[Math.floor(rank)] ?? Number.NaN;
  const high = sorted[Math.ceil(rank)] ?? Number.NaN;
  return low + (high - low) * (rank - Math.floor(rank));
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

const reducers: Record<Exclude<Aggregate, "rate">, (values: readonly number[]) => number> = {
  min: (values) => values.reduce((least, value) => Math.min(least, value)),
  max: (values) => values.reduce((most, value) => Math.max(most, value)),
  mean: (values) => total(values) / values.length,
  last: (values) => values[values.length - 1] ?? Number.NaN,
  p50: (values) => quantile(values, 0.5),
  p95: (values) => quantile(values, 0.95),
  p99: (values) => quantile(values, 0.99),
  sum: total,
};

/**
 * Increase per second of a counter over the points, the first of which is the last one before the step. A counter that
 * fell was reset: what it shows then was counted since. null of fewer than two points.
 */
function rateOf(points: readonly Point[]): number | null {
  const first = points[0];
  const last = points[points.length - 1];
  if (first === undefined || last === undefined || last[0] <= first[0]) return null;
  let increase = 0;
  let previous = first[1];
  for (const [, value] of points.slice(1)) {
    increase += value >= previous ? value - previous : value;
    previous = value;
  }
  return (increase * SECOND_MS) / (last[0] - first[0]);
}

function medianInterval(points: readonly Point[]): number {
  const intervals = points.slice(1).map(([time], index) => time - (points[index]?.[0] ?? time));
  return intervals.length === 0 ? 0 : quantile(intervals, 0.5);
}

function gapsOf(points: readonly Point[], from: number, to: number, longest: number): Gap[] {
  const gaps: Gap[] = [];
  let since = from;
  for (const time of [...points.map(([at]) => at), to]) {
    if (time - since > longest) gaps.push({ from: since, to: time });
    since = time;
  }
  return gaps;
}

export type AlignInput = {
  /** Sorted by time, every time once. Those outside [from, to) are left out. */
  points: readonly Point[];
  from: number;
  to: number;
  stepMs: number;
  agg: Aggregate;
};

/**
 * The aggregate of every step from `from` to before `to`, and the gaps: stretches without a sample longer than three
 * usual (median) intervals and longer than a step, the edges of the range included. RangeError where the range or the
 * step is empty.
 */
export function alignSeries({ points, from, to, stepMs, agg }: AlignInput): AlignedSeries {
  if (!(stepMs > 0) || !(to > from)) throw new RangeError(`no steps of ${stepMs} ms from ${from} to ${to}`);
  const inside = points.filter(([time]) => time >= from && time < to);
  const longest = Math.max(GAP_INTERVALS * medianInterval(inside), stepMs);
  const values: (number | null)[] = [];
  let next = 0;
  for (let start = from; start < to; start += stepMs) {
    const first = next;
    while (next < inside.length && (inside[next]?.[0] ?? to) < start + stepMs) next += 1;
    if (next === first) values.push(null);
    else if (agg === "rate") {
      const before = inside[first - 1];
      const continuous = before !== undefined && (inside[first]?.[0] ?? 0) - before[0] <= longest;
      values.push(rateOf(inside.slice(continuous ? first - 1 : first, next)));
    } else values.push(reducers[agg](inside.slice(first, next).map(([, value]) => value)));
  }
  return { values, gaps: gapsOf(inside, from, to, longest) };
}
