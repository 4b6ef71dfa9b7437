// From a batch of telemetry to samples to be stored and curves to be kept at hand. What is wrong is refused one by one,
// with its reason; everything else is taken.
import { z } from "zod";
import { HOUR_MS, MINUTE_MS } from "../units.ts";
import { vmUuid } from "../wire/common.ts";
import { type DirtyCurveReport, dirtyCurveReport, type TelemetryBatch } from "../wire/telemetry.ts";
import { isMetricName, type Metric, metricBounds } from "./catalogue.ts";
import { type Column, type Frame, HOST } from "./frame.ts";

/** A sample may be this far ahead of Drover's clock. */
export const FUTURE_MS = 5 * MINUTE_MS;
/** What is older than this is stored, but touches neither latest values nor averages. */
export const RECENT_MS = HOUR_MS;
/** Refusals that are told one by one; the rest are counted. */
export const REFUSED_MAX = 50;
/** A time before this (1973 in milliseconds) can only be seconds. */
const SECONDS_MAX = 1e11;

/** One refusal: where in the batch (`host_series.<metric>`, `vm_series.<uuid>.<metric>`, `times`, …), and why. */
export const refusedSample = z
  .strictObject({
    series: z.string(),
    reason: z.string(),
    /** Place in `times`, where only that sample is refused. */
    index: z.int().min(0).optional(),
  })
  .meta({ id: "RefusedSample" });
export type RefusedSample = z.infer<typeof refusedSample>;

export type Accepted = {
  /** What is stored; no column of it is all gaps. */
  frame: Frame;
  /** Samples in the frame. */
  accepted: number;
  curves: Map<string, DirtyCurveReport>;
  /** The first REFUSED_MAX of them. */
  refused: RefusedSample[];
  /** All of them. A refused time counts once, however many series have a sample at it. */
  refusedCount: number;
};

export type Refusals = {
  list: RefusedSample[];
  count: () => number;
  refuse: (series: string, reason: string, index?: number) => void;
};

/** Answers are kept in the ring of batches: no name is repeated at full length or in other than printable ASCII. */
const LABEL_MAX = 200;
const printable = (text: string): string => text.slice(0, LABEL_MAX).replaceAll(/[^\x20-\x7e]/g, "?");

/** Collects refusals: the first ones with their reasons, the rest by number. */
export function refusals(): Refusals {
  const list: RefusedSample[] = [];
  let count = 0;
  return {
    list,
    count: () => count,
    refuse: (series, reason, index) => {
      count += 1;
      if (list.length >= REFUSED_MAX) return;
      list.push({ series: printable(series), reason: printable(reason), ...(index === undefined ? {} : { index }) });
    },
  };
}

/** Why samples of this time are not taken at `now`; null: they are. */
export function timeProblem(time: number, now: number, rawRetentionMs: number): string | null {
  if (time > now + FUTURE_MS) return `${time} is over 5 min in the future: check the host's clock`;
  if (time >= now - rawRetentionMs) return null;
  if (time < SECONDS_MAX) return `${time} looks like seconds since 1970; milliseconds are meant`;
  return `${time} is older than raw retention, ${rawRetentionMs / HOUR_MS} h`;
}

/** The times to be stored, sorted and each once; `rows`: for every place in the batch its row among them, -1: refused. */
type Grid = { times: number[]; rows: Int32Array; isPlain: boolean };

function gridOf(times: readonly number[], now: number, rawRetentionMs: number, { refuse }: Refusals): Grid {
  let isPlain = true;
  const usable = times.map((time, index) => {
    const problem = timeProblem(time, now, rawRetentionMs);
    if (problem !== null) refuse("times", problem, index);
    if (problem !== null || (index > 0 && time <= (times[index - 1] ?? 0))) isPlain = false;
    return problem === null;
  });
  if (isPlain) return { times: [...times], rows: Int32Array.from(times.keys()), isPlain };
  const kept = [...new Set(times.filter((_, index) => usable[index]))].toSorted((a, b) => a - b);
  const row = new Map(kept.map((time, index) => [time, index]));
  return { times: kept, rows: Int32Array.from(times, (time, i) => (usable[i] ? (row.get(time) ?? -1) : -1)), isPlain };
}

/** Why a metric cannot have this value; null: it can. */
export function valueProblem(value: unknown, bounds: Metric | undefined): string | null {
  if (typeof value !== "number" || !Number.isFinite(value)) return "neither a finite number nor null";
  if (bounds === undefined) return null;
  if (value < bounds.min) return `${value} is below ${bounds.min}, the least that ${bounds.name} can be`;
  return value > bounds.max ? `${value} is above ${bounds.max}, the most that ${bounds.name} can be` : null;
}

/** What is needed to judge a name, remembered: hosts send the same names for ever. */
const verdicts = new Map<string, { isName: boolean; bounds: Metric | undefined }>();
const VERDICTS_MAX = 5000;

function verdictOn(metric: string): { isName: boolean; bounds: Metric | undefined } {
  const known = verdicts.get(metric);
  if (known !== undefined) return known;
  const verdict = { isName: isMetricName(metric), bounds: metricBounds(metric) };
  if (verdicts.size >= VERDICTS_MAX) verdicts.clear();
  verdicts.set(metric, verdict);
  return verdict;
}

type Taken = { columns: Column[]; accepted: number };

/** Adds the column of one series on the grid, if anything of it can be stored. */
function takeSeries(taken: Taken, grid: Grid, source: Source, metric: string, values: unknown, refuse: Refuse): void {
  const { isName, bounds } = verdictOn(metric);
  const series = (): string => `${source.label}.${metric}`;
  if (!isName)
    return refuse(series(), "a metric name is a letter or one underscore, then letters, digits, _ and :, at most 128");
  if (!Array.isArray(values) || values.length !== grid.rows.length)
    return refuse(series(), `must be an array of ${grid.rows.length} values, one for each of times`);
  const column = new Float64Array(grid.times.length).fill(Number.NaN);
  const count = takeValues(column, grid, values, bounds, (reason, index) => refuse(series(), reason, index));
  if (count === 0) return;
  taken.accepted += count;
  taken.columns.push({ entity: source.entity, metric, values: column });
}

/** Puts values into their rows of a column; how many samples it has then. */
function takeValues(
  column: Float64Array,
  { rows, isPlain }: Grid,
  values: readonly unknown[],
  bounds: Metric | undefined,
  refuse: (reason: string, index: number) => void,
): number {
  const { min, max } = bounds ?? ANY_NUMBER;
  let count = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index];
    const row = rows[index] ?? -1;
    // null says that there is no sample; what a refused time has was refused with it.
    if (value === null || row === -1) continue;
    if (typeof value === "number" && value >= min && value <= max) {
      // The last of several samples at one time wins.
      if (isPlain || Number.isNaN(column[row])) count += 1;
      column[row] = value;
    } else refuse(valueProblem(value, bounds) ?? "out of range", index);
  }
  return count;
}

const ANY_NUMBER = { min: -Number.MAX_VALUE, max: Number.MAX_VALUE };

type Refuse = Refusals["refuse"];
type Source = { label: string; entity: string };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function takeAll(batch: TelemetryBatch, grid: Grid, { refuse }: Refusals): Taken {
  const taken: Taken = { columns: [], accepted: 0 };
  const host = { label: "host_series", entity: HOST };
  for (const metric in batch.host_series) takeSeries(taken, grid, host, metric, batch.host_series[metric], refuse);
  for (const uuid in batch.vm_series) {
    const source = { label: `vm_series.${uuid}`, entity: uuid };
    if (!UUID.test(uuid)) {
      refuse(source.label, "a VM is named by its lower-case UUID");
      continue;
    }
    const series = batch.vm_series[uuid];
    if (!isObject(series)) {
      refuse(source.label, "must be an object of metrics");
      continue;
    }
    for (const metric in series) takeSeries(taken, grid, source, metric, series[metric], refuse);
  }
  return taken;
}

function curveProblem(report: DirtyCurveReport, now: number): string | null {
  if (report.at > now + FUTURE_MS) return `taken at ${report.at}, over 5 min in the future: check the host's clock`;
  if (report.at < now - RECENT_MS) return `taken at ${report.at}, over 1 h ago: only the last curve is kept`;
  const disorder = report.points.findIndex(([windowMs, bytes], index) => {
    const before = report.points[index - 1];
    return before !== undefined && (windowMs <= before[0] || bytes < before[1]);
  });
  return disorder === -1 ? null : `point ${disorder}: windows must rise, and bytes must not fall with them`;
}

function curvesOf(batch: TelemetryBatch, now: number, { refuse }: Refusals): Map<string, DirtyCurveReport> {
  const curves = new Map<string, DirtyCurveReport>();
  for (const [uuid, body] of Object.entries(batch.vm_dirty_curves ?? {})) {
    const series = `vm_dirty_curves.${uuid}`;
    const parsed = dirtyCurveReport.safeParse(body);
    if (!vmUuid.safeParse(uuid).success) refuse(series, "a VM is named by its lower-case UUID");
    else if (!parsed.success) refuse(series, z.prettifyError(parsed.error));
    else {
      const problem = curveProblem(parsed.data, now);
      if (problem === null) curves.set(uuid, parsed.data);
      else refuse(series, problem);
    }
  }
  return curves;
}

/**
 * What of a batch is stored. `now` is Drover's clock; samples older than `rawRetentionMs` before it or over 5 min after
 * it are refused. Times may come unsorted and twice.
 */
export function acceptBatch(batch: TelemetryBatch, now: number, rawRetentionMs: number): Accepted {
  const refused = refusals();
  const grid = gridOf(batch.times, now, rawRetentionMs, refused);
  const { columns, accepted } = takeAll(batch, grid, refused);
  const curves = curvesOf(batch, now, refused);
  return {
    frame: { times: grid.times, columns },
    accepted,
    curves,
    refused: refused.list,
    refusedCount: refused.count(),
  };
}
