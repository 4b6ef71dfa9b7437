// What is known of a host and its VMs right now: latest values, moving averages, dirty curves. Kept in the host's state row,
// so it has a size limit, and read by the advisor.
import { z } from "zod";
import { DAY_MS, MINUTE_MS } from "../units.ts";
import { timestampMs, vmUuid } from "../wire/common.ts";
import { type DirtyCurveReport, dirtyCurveReport } from "../wire/telemetry.ts";
import { metricNamed } from "./catalogue.ts";
import { type Frame, HOST } from "./frame.ts";
import { roundDigits } from "./rounding.ts";

/** After this time an old value weighs half in the moving average. */
export const EWMA_HALF_LIFE_MS = 5 * MINUTE_MS;
/** A reading or curve not renewed for this long is forgotten, and a VM that has none left with it. */
export const FORGET_MS = DAY_MS;

// A row of D1 holds 2 MB, the batch ring and run states included. What is over these limits is stored as samples all the
// same, it is only not kept at hand.
const CATALOGUE_SERIES_MAX = 12_000;
const OTHER_SERIES_MAX = 4000;
/** A point has up to 45 characters, what else there is of a curve up to 150: 360 kB at most. */
const CURVE_POINTS_MAX = 8000;
const CURVE_POINTS_BESIDES = 4;

/** Averages are estimates, for which the digits of a float32 are enough. */
const AVERAGE_MAX = 3.4028234663852886e38;

export type SeriesName = { entity: string; metric: string };

/**
 * Latest values by place: series i has the value `values[i]` of `times[i]` (ms since 1970) and the average `averages[i]`; time 0:
 * nothing was read yet.
 */
export type Known = {
  series: readonly SeriesName[];
  times: Float64Array;
  values: Float64Array;
  averages: Float32Array;
  /** By VM. */
  curves: ReadonlyMap<string, DirtyCurveReport>;
};

/** What a `Known` is written into, if it is of as many series. Who takes it writes over what is in it. */
export type Room = Pick<Known, "times" | "values" | "averages">;

export const NOTHING_KNOWN: Known = {
  series: [],
  times: new Float64Array(),
  values: new Float64Array(),
  averages: new Float32Array(),
  curves: new Map(),
};

/** Lists of metrics, and for each entity the place of its list: VMs of a host have the same ones. */
const layoutSchema = z.tuple([z.array(z.array(z.string())), z.array(z.tuple([z.string(), z.int().min(0)]))]);

/** The series in their order, by runs of one entity. */
export function formatLayout(series: readonly SeriesName[]): string {
  const runs: { entity: string; metrics: string[] }[] = [];
  for (const { entity, metric } of series) {
    const open = runs.at(-1);
    if (open?.entity === entity) open.metrics.push(metric);
    else runs.push({ entity, metrics: [metric] });
  }
  const lists = new Map<string, number>();
  const places = runs.map(({ entity, metrics }): [string, number] => {
    const list = JSON.stringify(metrics);
    const place = lists.get(list) ?? lists.size;
    lists.set(list, place);
    return [entity, place];
  });
  return `[[${[...lists.keys()].join(",")}],${JSON.stringify(places)}]`;
}

/** RangeError for a list that is not there. */
export function parseLayout(text: string): SeriesName[] {
  const [lists, runs] = layoutSchema.parse(JSON.parse(text));
  return runs.flatMap(([entity, place]) => {
    const metrics = lists[place];
    if (metrics === undefined) throw new RangeError(`no list ${place} of metrics in a layout`);
    return metrics.map((metric) => ({ entity, metric }));
  });
}

/** Values as float64, averages as float32, then one time where all have the same and one a series where not, as float64. */
export function formatReadings({ times, values, averages }: Known): Uint8Array<ArrayBuffer> {
  const count = times.length;
  const isSame = times.every((time) => time === times[0]);
  const out = new Uint8Array(count * 12 + (isSame ? Math.min(count, 1) : count) * 8);
  out.set(bytesOf(values));
  out.set(bytesOf(averages), count * 8);
  out.set(bytesOf(isSame ? times.subarray(0, 1) : times), count * 12);
  return out;
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Float64Array | Float32Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** RangeError where the bytes are not of that many series. */
export function parseReadings(bytes: Uint8Array, count: number): Pick<Known, "times" | "values" | "averages"> {
  const timeBytes = bytes.length - count * 12;
  if (timeBytes !== count * 8 && timeBytes !== Math.min(count, 1) * 8)
    throw new RangeError(`${bytes.length} bytes of readings for ${count} series`);
  const part = (from: number, to: number): ArrayBuffer => bytes.slice(from, to).buffer as ArrayBuffer;
  const stored = new Float64Array(part(count * 12, bytes.length));
  return {
    values: new Float64Array(part(0, count * 8)),
    averages: new Float32Array(part(count * 8, count * 12)),
    times: stored.length === count ? stored : new Float64Array(count).fill(stored[0] ?? 0),
  };
}

export const curvesSchema = z.record(vmUuid, dirtyCurveReport);

/** Where the columns of frames of one shape stand among the series; -1: not kept at hand. */
export type Places = Int32Array;

/**
 * `known` with room for these columns, without the series that were not renewed for 24 h, and their places in it. The same
 * `known` where it has just these series already.
 */
export function placeColumns(
  known: Known,
  columns: readonly SeriesName[],
  now: number,
): { known: Known; places: Places } {
  const kept = [...known.series.keys()].filter((place) => now - (known.times[place] ?? 0) <= FORGET_MS);
  const series = kept.map((place) => known.series[place] ?? { entity: HOST, metric: "" });
  const placeOf = new Map<string, Map<string, number>>();
  const placesOf = (entity: string): Map<string, number> => {
    const of = placeOf.get(entity) ?? new Map<string, number>();
    placeOf.set(entity, of);
    return of;
  };
  series.forEach(({ entity, metric }, place) => placesOf(entity).set(metric, place));
  const isInCatalogue = (metric: string): boolean => metricNamed(metric) !== undefined;
  let catalogue = series.filter(({ metric }) => isInCatalogue(metric)).length;
  let others = series.length - catalogue;
  const places = Int32Array.from(columns, ({ entity, metric }) => {
    const of = placesOf(entity);
    const place = of.get(metric);
    if (place !== undefined) return place;
    if (isInCatalogue(metric) ? catalogue >= CATALOGUE_SERIES_MAX : others >= OTHER_SERIES_MAX) return -1;
    if (isInCatalogue(metric)) catalogue += 1;
    else others += 1;
    of.set(metric, series.length);
    series.push({ entity, metric });
    return series.length - 1;
  });
  if (series.length === known.series.length && kept.length === series.length) return { known, places };
  const move = <A extends Float64Array | Float32Array>(old: A, to: A): A => {
    kept.forEach((from, place) => (to[place] = old[from] ?? 0));
    return to;
  };
  return {
    known: {
      series,
      times: move(known.times, new Float64Array(series.length)),
      values: move(known.values, new Float64Array(series.length)),
      averages: move(known.averages, new Float32Array(series.length)),
      curves: known.curves,
    },
    places,
  };
}

/** Whether a series was not renewed for 24 h; one of which nothing was read yet may still wait for its first sample. */
export const hasForgotten = ({ times }: Known, now: number): boolean =>
  times.some((time) => time > 0 && now - time > FORGET_MS);

/**
 * `known` brought up to date with the samples of a frame from `from` (a place in its times) on. The average follows
 * `a ← v + (a - v) · 2^(-Δt / half-life)`, so that uneven intervals weigh by their length. What is older than what is there is
 * ignored; a sample of the same time corrects the value. Made in `room`, where there is one.
 */
export function advance(known: Known, frame: Frame, places: Places, from: number, room: Room | null = null): Known {
  const { times, values, averages } = copyOf(known, room);
  // Series are sampled together: the weight of an interval is asked for again and again.
  let interval = -1;
  let weight = 0;
  frame.columns.forEach((column, index) => {
    const place = places[index] ?? -1;
    if (place === -1) return;
    let knownTime = times[place] ?? 0;
    let average = averages[place] ?? 0;
    for (let row = from; row < frame.times.length; row++) {
      const value = column.values[row] ?? Number.NaN;
      const time = frame.times[row] ?? 0;
      if (Number.isNaN(value) || time < knownTime) continue;
      values[place] = value;
      if (time === knownTime) continue;
      if (knownTime === 0) average = storable(value);
      else {
        if (time - knownTime !== interval) {
          interval = time - knownTime;
          weight = 2 ** (-interval / EWMA_HALF_LIFE_MS);
        }
        // As a weighted sum, because a difference of two finite numbers may overflow.
        average = storable(value * (1 - weight) + average * weight);
      }
      knownTime = time;
    }
    times[place] = knownTime;
    averages[place] = average;
  });
  return { ...known, times, values, averages };
}

function copyOf({ times, values, averages }: Room, room: Room | null): Room {
  if (room?.times.length !== times.length)
    return { times: times.slice(), values: values.slice(), averages: averages.slice() };
  room.times.set(times);
  room.values.set(values);
  room.averages.set(averages);
  return room;
}

/** An average as it is stored, after every sample: into which batches samples are split then makes no difference. */
const storable = (average: number): number =>
  Math.fround(average > AVERAGE_MAX ? AVERAGE_MAX : average < -AVERAGE_MAX ? -AVERAGE_MAX : average);

/**
 * Curves brought up to date: the newest of each VM, those not renewed for 24 h forgotten; one for which there is no room is left
 * out. The same map where nothing is reported or forgotten.
 */
export function advanceCurves(
  known: ReadonlyMap<string, DirtyCurveReport>,
  reported: ReadonlyMap<string, DirtyCurveReport>,
  now: number,
): ReadonlyMap<string, DirtyCurveReport> {
  const isOld = ({ at }: DirtyCurveReport): boolean => now - at > FORGET_MS;
  if (reported.size === 0 && ![...known.values()].some(isOld)) return known;
  const all = new Map([...known].filter(([, curve]) => !isOld(curve)));
  for (const [uuid, curve] of reported) if (!isOld(curve) && curve.at >= (all.get(uuid)?.at ?? 0)) all.set(uuid, curve);
  let room = CURVE_POINTS_MAX;
  return new Map([...all].filter(([, { points }]) => (room -= points.length + CURVE_POINTS_BESIDES) >= 0));
}

/** Time in ms since 1970, value, and exponentially weighted moving average at that time. */
const reading = z.tuple([timestampMs, z.number(), z.number()]);
export type Reading = z.infer<typeof reading>;
const readings = z.record(z.string(), reading);

export const latestSchema = z
  .strictObject({
    host: readings,
    vms: z.record(vmUuid, z.strictObject({ metrics: readings, curve: dirtyCurveReport.optional() })),
  })
  .meta({ id: "Latest" });
/** What is known, by name. */
export type Latest = z.infer<typeof latestSchema>;

/** Averages are estimates: six digits of them say it all. */
export const sixDigits = (value: number): number => roundDigits(value, 6);

/** By name, as the API says it. `wanted` says which series. */
export function latestOf(known: Known, wanted: (entity: string, metric: string) => boolean): Latest {
  const latest: Latest = { host: {}, vms: {} };
  known.series.forEach(({ entity, metric }, place) => {
    const time = known.times[place] ?? 0;
    if (time === 0 || !wanted(entity, metric)) return;
    const metrics = entity === HOST ? latest.host : (latest.vms[entity] ??= { metrics: {} }).metrics;
    metrics[metric] = [time, known.values[place] ?? 0, sixDigits(known.averages[place] ?? 0)];
  });
  for (const [uuid, curve] of known.curves)
    if (wanted(uuid, "memory_dirty_bytes_per_second")) (latest.vms[uuid] ??= { metrics: {} }).curve = curve;
  return latest;
}
