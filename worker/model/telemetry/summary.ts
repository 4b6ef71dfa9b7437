// What hours have been, for the advisor: a few quantiles of a host and its VMs.
import { z } from "zod";
import { HOUR_MS } from "../units.ts";
import { timestampMs, vmUuid } from "../wire/common.ts";
import { type Frame, HOST, seriesKey, sliceFrame } from "./frame.ts";
import { roundDigits } from "./rounding.ts";
import { EMPTY_SKETCH, merge, quantileOf, type Sketch, sketchOf } from "./sketch.ts";
import type { Window } from "./window.ts";

/** Of a VM: what constraints and cost models read. */
export const VM_SUMMARY_METRICS = [
  "cpu_used_cores",
  "memory_used_bytes",
  "network_receive_bytes_per_second",
  "network_transmit_bytes_per_second",
  "memory_dirty_bytes_per_second",
  "memory_working_set_bytes",
  "memory_nonzero_bytes",
] as const;

/** Of the host itself. */
export const HOST_SUMMARY_METRICS = [
  "cpu_used_cores",
  "memory_used_bytes",
  "network_receive_bytes_per_second",
  "network_transmit_bytes_per_second",
  "cpu_pressure_ratio",
  "memory_pressure_ratio",
  "power_watts",
] as const;

/** Significant decimal digits of a figure: with them 20 VMs stay under 8 KiB of JSON. */
const DIGITS = 4;

const figure = z.number().nullable();
/** p50 and p95 of the last closed hour, p50 and p95 of 24 h. null: no sample in that time. */
const figures = z.tuple([figure, figure, figure, figure]);
const row = z.array(figures.nullable());

/**
 * Quantiles of the last closed hour and of the last 24 closed hours, at the nearest rank. Each is within 1 % of the exact
 * one (SKETCH_ERROR_RATIO), then rounded to four significant digits (0.05 %).
 */
export const summarySchema = z
  .strictObject({
    /** End of the last hour in it, ms since 1970. */
    at: timestampMs,
    /** How many of the 24 hours have samples. */
    hours: z.int().min(0),
    /** What places in rows stand for; null, or a row that ends before, is what is not known. */
    metrics: z.array(z.string()),
    host: row,
    vms: z.record(vmUuid, row),
  })
  .meta({ id: "Summary" });
export type Summary = z.infer<typeof summarySchema>;

/** What is asked of one series. */
type Sketched = (entity: string, metric: string) => Sketch;

/**
 * The summary of a host whose last closed hour is `lastHour` (in whole hours since 1970), and `frame` its samples. `vms`
 * are those that run on it. `elsewhere`: windows of the hosts on which some of them were within the 24 h, so that a VM's day
 * follows it; what both hosts said of a VM while it moved counts twice.
 */
export function summaryOf(
  window: Window,
  lastHour: number,
  frame: Frame,
  vms: readonly string[],
  elsewhere: readonly Window[] = [],
): Summary {
  const hour = sliceFrame(frame, lastHour * HOUR_MS, (lastHour + 1) * HOUR_MS);
  const columns = new Map(hour.columns.map(({ entity, metric, values }) => [seriesKey(entity, metric), values]));
  const ofHour: Sketched = (entity, metric) => sketchOf(columns.get(seriesKey(entity, metric)) ?? new Float64Array());
  const ofDay: Sketched = (entity, metric) =>
    (entity === HOST ? [window] : [window, ...elsewhere])
      .map(({ series }) => series.get(seriesKey(entity, metric))?.sketch ?? EMPTY_SKETCH)
      .reduce(merge);
  const metrics = [...new Set([...VM_SUMMARY_METRICS, ...HOST_SUMMARY_METRICS])];
  const rowOf = (entity: string, wanted: readonly string[]): Summary["host"] => {
    const all = metrics.map((metric) => {
      if (!wanted.includes(metric)) return null;
      const found = [...quantilesOf(ofHour(entity, metric)), ...quantilesOf(ofDay(entity, metric))] as const;
      return found.every((value) => value === null) ? null : ([...found] satisfies z.infer<typeof figures>);
    });
    return all.slice(0, all.findLastIndex((known) => known !== null) + 1);
  };
  const rows = vms.toSorted().map((uuid) => [uuid, rowOf(uuid, VM_SUMMARY_METRICS)] as const);
  return {
    at: (lastHour + 1) * HOUR_MS,
    hours: window.hours.size,
    metrics,
    host: rowOf(HOST, HOST_SUMMARY_METRICS),
    vms: Object.fromEntries(rows.filter(([, known]) => known.length > 0)),
  };
}

function quantilesOf(sketch: Sketch): [number | null, number | null] {
  const at = (q: number): number | null => {
    const value = quantileOf(sketch, q);
    return value === null ? null : roundDigits(value, DIGITS);
  };
  return [at(0.5), at(0.95)];
}

export type SummaryFigures = {
  p50Hour: number | null;
  p95Hour: number | null;
  p50Day: number | null;
  p95Day: number | null;
};

/** What a summary says of a series of the host (HOST) or of a VM; null: nothing. */
export function summaryFigures(summary: Summary, entity: string, metric: string): SummaryFigures | null {
  const known = entity === HOST ? summary.host : Object.hasOwn(summary.vms, entity) ? summary.vms[entity] : undefined;
  const found = known?.[summary.metrics.indexOf(metric)];
  if (!found) return null;
  const [p50Hour, p95Hour, p50Day, p95Day] = found;
  return { p50Hour, p95Hour, p50Day, p95Day };
}
