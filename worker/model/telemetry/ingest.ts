// From a batch of telemetry to frames to be stored and readings to be kept at hand. What is wrong is refused one by one,
// with its reason; everything else is taken.
import { z } from "zod";
import { HOUR_MS, MINUTE_MS } from "../units.ts";
import { vmUuid } from "../wire/common.ts";
import { type DirtyCurveReport, dirtyCurveReport, type TelemetryBatch } from "../wire/telemetry.ts";
import { isMetricName, type Metric, metricBounds } from "./catalogue.ts";
import { hourOf, PART_BYTES_MAX } from "./chunk-id.ts";
import { type Column, type Frame, HOST, packFrames } from "./chunk.ts";
import type { LatestUpdate } from "./latest.ts";

/** How long raw samples are kept, and as late as this they are accepted. */
export const RAW_RETENTION_MS = 48 * HOUR_MS;
/** A sample may be this far ahead of Drover's clock. */
export const FUTURE_MS = 5 * MINUTE_MS;
/** What is older than this is stored, but touches neither latest values nor averages. */
export const RECENT_MS = HOUR_MS;
/** Refusals that are told one by one; the rest are counted. */
export const REFUSED_MAX = 50;

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
  /** Each within PART_BYTES_MAX, in the order in which they must be appended. */
  frames: { hour: number; frame: Uint8Array }[];
  /** Samples in the frames. */
  accepted: number;
  /** The first REFUSED_MAX of them. */
  refused: RefusedSample[];
  /** All of them. A refused time counts once, however many series have a sample at it. */
  refusedCount: number;
  latestUpdate: LatestUpdate;
};

type Refuse = (series: string, reason: string, index?: number) => void;

/** Answers are kept in the ring of batches: no name is repeated at full length or in other than printable ASCII. */
const LABEL_MAX = 200;
const printable = (text: string): string => text.slice(0, LABEL_MAX).replaceAll(/[^\x20-\x7e]/g, "?");

function refusals(): { list: RefusedSample[]; count: () => number; refuse: Refuse } {
  const list: RefusedSample[] = [];
  let count = 0;
  const refuse: Refuse = (series, reason, index) => {
    count += 1;
    if (list.length >= REFUSED_MAX) return;
    list.push({ series: printable(series), reason: printable(reason), ...(index === undefined ? {} : { index }) });
  };
  return { list, count: () => count, refuse };
}

/** The times to be stored, sorted and each once, and for every place in the batch its row among them; -1: refused. */
type Grid = { times: number[]; rows: number[] };

function gridOf(times: readonly number[], now: number, rawRetentionMs: number, refuse: Refuse): Grid {
  const usable = times.map((time, index) => {
    if (time > now + FUTURE_MS) refuse("times", `${time} is over 5 min in the future: check the host's clock`, index);
    else if (time < now - rawRetentionMs)
      refuse("times", `${time} is older than raw retention, ${rawRetentionMs / HOUR_MS} h`, index);
    else return true;
    return false;
  });
  const kept = [...new Set(times.filter((_, index) => usable[index]))].toSorted((a, b) => a - b);
  const row = new Map(kept.map((time, index) => [time, index]));
  return { times: kept, rows: times.map((time, index) => (usable[index] ? (row.get(time) ?? -1) : -1)) };
}

function whyNot(value: unknown, bounds: Metric | undefined): string | null {
  if (typeof value !== "number" || !Number.isFinite(value)) return "neither a finite number nor null";
  if (bounds === undefined) return null;
  if (value < bounds.min) return `${value} is below ${bounds.min}, the least that ${bounds.name} can be`;
  return value > bounds.max ? `${value} is above ${bounds.max}, the most that ${bounds.name} can be` : null;
}

/** The column of one series on the grid, or null where nothing of it can be stored. */
function columnOf(grid: Grid, label: string, entity: string, metric: string, values: unknown, refuse: Refuse) {
  const series = `${label}.${metric}`;
  if (!isMetricName(metric)) {
    refuse(series, "a metric name is a letter or one underscore, then letters, digits, _ and :, at most 128 in all");
    return null;
  }
  if (!Array.isArray(values) || values.length !== grid.rows.length) {
    refuse(series, `must be an array of ${grid.rows.length} values, one for each of times`);
    return null;
  }
  const bounds = metricBounds(metric);
  const column: Column = { entity, metric, values: grid.times.map(() => null) };
  values.forEach((value: unknown, index) => {
    const row = grid.rows[index] ?? -1;
    // null says that there is no sample; what a refused time has was refused with it.
    if (value === null || row === -1) return;
    const reason = whyNot(value, bounds);
    if (reason !== null) refuse(series, reason, index);
    // The last of several samples at one time wins.
    else if (typeof value === "number") column.values[row] = value;
  });
  return column.values.some((value) => value !== null) ? column : null;
}

const isUuid = (text: string): boolean => vmUuid.safeParse(text).success;

function columnsOf(batch: TelemetryBatch, grid: Grid, refuse: Refuse): Column[] {
  const sources = [{ label: "host_series", entity: HOST, series: batch.host_series ?? {} }];
  for (const [uuid, series] of Object.entries(batch.vm_series ?? {})) {
    const label = `vm_series.${uuid}`;
    if (isUuid(uuid)) sources.push({ label, entity: uuid, series });
    else refuse(label, "a VM is named by its lower-case UUID");
  }
  return sources.flatMap(({ label, entity, series }) =>
    Object.entries(series).flatMap(([metric, values]) => columnOf(grid, label, entity, metric, values, refuse) ?? []),
  );
}

/** The samples from the `from`th to before the `to`th time, without the series that have none there. */
function sliceFrame({ times, columns }: Frame, from: number, to: number): Frame {
  return {
    times: times.slice(from, to),
    columns: columns
      .map((column) => ({ ...column, values: column.values.slice(from, to) }))
      .filter(({ values }) => values.some((value) => value !== null)),
  };
}

function framesByHour(frame: Frame): Accepted["frames"] {
  const frames: Accepted["frames"] = [];
  let from = 0;
  while (from < frame.times.length) {
    const hour = hourOf(frame.times[from] ?? 0);
    const after = frame.times.findIndex((time, index) => index > from && hourOf(time) !== hour);
    const to = after === -1 ? frame.times.length : after;
    const slice = sliceFrame(frame, from, to);
    if (slice.columns.length > 0)
      for (const packed of packFrames(slice, PART_BYTES_MAX)) frames.push({ hour, frame: packed });
    from = to;
  }
  return frames;
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

function curvesOf(batch: TelemetryBatch, now: number, refuse: Refuse): Map<string, DirtyCurveReport> {
  const curves = new Map<string, DirtyCurveReport>();
  for (const [uuid, body] of Object.entries(batch.vm_dirty_curves ?? {})) {
    const series = `vm_dirty_curves.${uuid}`;
    const parsed = dirtyCurveReport.safeParse(body);
    if (!isUuid(uuid)) refuse(series, "a VM is named by its lower-case UUID");
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
  const { list, count, refuse } = refusals();
  const grid = gridOf(batch.times, now, rawRetentionMs, refuse);
  const frame: Frame = { times: grid.times, columns: columnsOf(batch, grid, refuse) };
  const curves = curvesOf(batch, now, refuse);
  const recent = frame.times.findIndex((time) => time >= now - RECENT_MS);
  return {
    frames: framesByHour(frame),
    accepted: frame.columns.reduce((sum, { values }) => sum + values.filter((value) => value !== null).length, 0),
    refused: list,
    refusedCount: count(),
    latestUpdate: {
      frame: recent === -1 ? { times: [], columns: [] } : sliceFrame(frame, recent, frame.times.length),
      curves,
    },
  };
}
