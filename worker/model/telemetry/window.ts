// The last day of a host as sketches: one a series, kept up hour by hour, so that its quantiles cost no reading of the
// day's samples. WINDOW.md says how it is written.
import { HOUR_MS } from "../units.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { metricNamed, metricNumbered } from "./catalogue.ts";
import { type Column, type Frame, HOST, seriesKey, sliceFrame } from "./frame.ts";
import { countOf, merge, putSketch, type Sketch, sketchOf, subtract, takeSketch } from "./sketch.ts";

/** Closed hours that a window is meant to hold. */
export const WINDOW_HOURS = 24;

export type WindowSeries = { entity: string; metric: string; sketch: Sketch };

/**
 * Sketches of the catalogue's metrics, of a host and its VMs, over some hours. Hours are whole ones since 1970; `hours` has
 * how many samples came from each. Series without a sample in any of them are not there.
 */
export type Window = {
  readonly hours: ReadonlyMap<number, number>;
  /** By `seriesKey`. */
  readonly series: ReadonlyMap<string, WindowSeries>;
};

export const emptyWindow = (): Window => ({ hours: new Map(), series: new Map() });

/** Hours that are no longer among the last 24, of which `lastHour` is the newest: to be dropped. */
export const expiredHours = ({ hours }: Window, lastHour: number): number[] =>
  [...hours.keys()].filter((hour) => hour <= lastHour - WINDOW_HOURS);

/** A frame's samples of one hour that belong into a window. */
const columnsOf = (hour: number, frame: Frame): Column[] =>
  sliceFrame(frame, hour * HOUR_MS, (hour + 1) * HOUR_MS).columns.filter(
    ({ metric }) => metricNamed(metric) !== undefined,
  );

/**
 * `window` with the frame's samples of that hour. The same window where it has the hour already, or where the frame has
 * nothing of it.
 */
export function addHour(window: Window, hour: number, frame: Frame): Window {
  if (window.hours.has(hour)) return window;
  const series = new Map(window.series);
  let samples = 0;
  for (const { entity, metric, values } of columnsOf(hour, frame)) {
    const fresh = sketchOf(values);
    const count = countOf(fresh);
    if (count === 0) continue;
    samples += count;
    const key = seriesKey(entity, metric);
    const known = series.get(key);
    series.set(key, { entity, metric, sketch: known === undefined ? fresh : merge(known.sketch, fresh) });
  }
  return samples === 0 ? window : { hours: new Map(window.hours).set(hour, samples), series };
}

/**
 * `window` without the samples of that hour, which the frame must hold as it did when they were added; the same window
 * where it does not have the hour. null where the frame does not fit what was added (samples came late, or were deleted):
 * the window must then be made anew from its hours.
 */
export function dropHour(window: Window, hour: number, frame: Frame): Window | null {
  const added = window.hours.get(hour);
  if (added === undefined) return window;
  const series = new Map(window.series);
  let samples = 0;
  for (const { entity, metric, values } of columnsOf(hour, frame)) {
    const gone = sketchOf(values);
    const count = countOf(gone);
    if (count === 0) continue;
    samples += count;
    const key = seriesKey(entity, metric);
    const known = series.get(key);
    const rest = known === undefined ? null : subtracted(known.sketch, gone);
    if (rest === null) return null;
    if (rest.keys.length === 0) series.delete(key);
    else series.set(key, { entity, metric, sketch: rest });
  }
  if (samples !== added) return null;
  const hours = new Map(window.hours);
  hours.delete(hour);
  return { hours, series };
}

function subtracted(sketch: Sketch, gone: Sketch): Sketch | null {
  try {
    return subtract(sketch, gone);
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

/** First byte of a window. */
const VERSION = 1;

/** The same window gives the same bytes, in whatever order its hours came. */
export function writeWindow({ hours, series }: Window): Uint8Array {
  const out = new ByteWriter();
  out.byte(VERSION);
  out.varint(hours.size);
  let previous = -1;
  for (const [hour, samples] of [...hours].toSorted(([a], [b]) => a - b)) {
    out.varint(hour - previous - 1);
    out.varint(samples - 1);
    previous = hour;
  }
  const entities = Map.groupBy(series.values(), ({ entity }) => entity);
  out.varint(entities.size);
  for (const [entity, all] of [...entities].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    putEntity(out, entity);
    out.varint(all.length);
    let last = 0;
    for (const { number, sketch } of all.map(numbered).toSorted((a, b) => a.number - b.number)) {
      out.varint(number - last - 1);
      putSketch(out, sketch);
      last = number;
    }
  }
  return out.finish();
}

const numbered = ({ metric, sketch }: WindowSeries): { number: number; sketch: Sketch } => ({
  number: metricNamed(metric)?.number ?? 0,
  sketch,
});

/** Reads what `writeWindow` wrote. ChunkError where the bytes are not exactly one window. */
export function readWindow(bytes: Uint8Array): Window {
  const input = new ByteReader(bytes, 0);
  const version = input.byte("the version");
  if (version !== VERSION) throw input.fail(`version ${version} of a window is not known`);
  const hours = takeHours(input);
  const series = new Map<string, WindowSeries>();
  let previous: string | undefined;
  for (let left = input.count("the number of entities", 2); left > 0; left--) {
    const entity = takeEntity(input);
    if (previous !== undefined && entity <= previous) throw input.fail("entities do not rise");
    previous = entity;
    for (const { metric, sketch } of takeMetrics(input))
      series.set(seriesKey(entity, metric), { entity, metric, sketch });
  }
  input.end("a window");
  return { hours, series };
}

function takeHours(input: ByteReader): Map<number, number> {
  const hours = new Map<number, number>();
  let hour = -1;
  for (let left = input.count("the number of hours", 2); left > 0; left--) {
    hour += input.varint("an hour") + 1;
    hours.set(hour, input.varint("an hour's samples") + 1);
  }
  if (!Number.isSafeInteger(hour * HOUR_MS)) throw input.fail("an hour past the end of time");
  return hours;
}

function takeMetrics(input: ByteReader): { metric: string; sketch: Sketch }[] {
  const count = input.count("the number of an entity's metrics", 2);
  if (count === 0) throw input.fail("an entity without metrics");
  let number = 0;
  return Array.from({ length: count }, () => {
    number += input.varint("a metric") + 1;
    const metric = metricNumbered(number)?.name;
    if (metric === undefined) throw input.fail(`metric ${number} is not known`);
    const sketch = takeSketch(input);
    if (sketch.keys.length === 0) throw input.fail("a sketch of nothing");
    return { metric, sketch };
  });
}

const UUID_BYTES = 16;

/** Length, then a VM's uuid without its dashes; the host itself has length 0. */
function putEntity(out: ByteWriter, entity: string): void {
  const hex = entity.replaceAll("-", "");
  out.byte(hex.length / 2);
  for (let at = 0; at < hex.length; at += 2) out.byte(Number.parseInt(hex.slice(at, at + 2), 16));
}

function takeEntity(input: ByteReader): string {
  const length = input.byte("an entity");
  if (length === 0) return HOST;
  if (length !== UUID_BYTES) throw input.fail(`an entity of ${length} bytes`);
  const hex = Array.from(input.bytes(UUID_BYTES, "a uuid"), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
