// What is known of a host and its VMs right now: latest values, moving averages, dirty curves. Kept as JSON in the host's
// state row, so it has a size limit, and read by the advisor.
import { z } from "zod";
import type { HostLoad, VmLoad } from "../cluster.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../units.ts";
import { timestampMs, vmUuid } from "../wire/common.ts";
import { type DirtyCurveReport, dirtyCurveReport } from "../wire/telemetry.ts";
import { metricNamed } from "./catalogue.ts";
import { type Frame, HOST } from "./chunk.ts";

/** After this time an old value weighs half in the moving average. */
export const EWMA_HALF_LIFE_MS = 5 * MINUTE_MS;
/** A reading or curve not renewed for this long is forgotten, and a VM that has none left with it. */
export const FORGET_MS = DAY_MS;
/** A figure this much older than the newest one of the same host or VM says nothing of it any more. */
const LOAD_AGE_MS = HOUR_MS;

// A row of D1 holds 2 MB, the batch ring and run states included. A host within these limits has 800 VMs with 12
// metrics and a curve of five points each; what is over them is stored as samples all the same, it is only not kept at hand.
const CATALOGUE_BYTES_MAX = 1_000_000;
const OTHERS_BYTES_MAX = 300_000;
/** Time, value, average and punctuation of a reading as JSON; the name comes on top. */
const READING_BYTES = 56;
const POINT_BYTES = 42;

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
export type Latest = z.infer<typeof latestSchema>;

export const NOTHING_KNOWN: Latest = { host: {}, vms: {} };

/** Readings of one batch, recent ones only, and the curves that came with it. */
export type LatestUpdate = { frame: Frame; curves: Map<string, DirtyCurveReport> };

/** Averages are estimates; what they do not need is not stored. */
const sixDigits = (value: number): number => Number(value.toPrecision(6));

/**
 * The average follows `a ← v + (a - v) · 2^(-Δt / half-life)`, so that uneven intervals weigh by their length. An older
 * sample changes nothing; one of the same time corrects the value.
 */
function advance(known: Reading | undefined, time: number, value: number): Reading {
  if (known === undefined) return [time, value, sixDigits(value)];
  const [knownTime, , average] = known;
  if (time < knownTime) return known;
  if (time === knownTime) return [time, value, average];
  const weight = 2 ** (-(time - knownTime) / EWMA_HALF_LIFE_MS);
  // As a weighted sum, because a difference of two finite numbers may overflow.
  return [time, value, sixDigits(value * (1 - weight) + average * weight)];
}

type Known = { metrics: Map<string, Reading>; curve?: DirtyCurveReport };

function stillKnown(latest: Latest, now: number): Map<string, Known> {
  const fresh = (metrics: Record<string, Reading>): Map<string, Reading> =>
    new Map(Object.entries(metrics).filter(([, [time]]) => now - time <= FORGET_MS));
  const known = new Map<string, Known>([[HOST, { metrics: fresh(latest.host) }]]);
  for (const [uuid, { metrics, curve }] of Object.entries(latest.vms))
    known.set(uuid, {
      metrics: fresh(metrics),
      ...(curve !== undefined && now - curve.at <= FORGET_MS ? { curve } : {}),
    });
  return known;
}

/** Says of every figure whether there is still room for it. */
function rowBudget(): (metric: string, bytes: number) => boolean {
  let catalogue = 0;
  let others = 0;
  return (metric, bytes) => {
    if (metricNamed(metric) === undefined) {
      others += bytes;
      return others <= OTHERS_BYTES_MAX;
    }
    catalogue += bytes;
    return catalogue <= CATALOGUE_BYTES_MAX;
  };
}

function toLatest(known: Map<string, Known>): Latest {
  const fits = rowBudget();
  const kept = (metrics: Map<string, Reading>): Record<string, Reading> =>
    Object.fromEntries([...metrics].filter(([name]) => fits(name, name.length + READING_BYTES)));
  const { [HOST]: host, ...vms } = Object.fromEntries(
    [...known].map(([entity, { metrics, curve }]) => {
      const curveKept = curve !== undefined && fits("memory_dirty_bytes_per_second", curve.points.length * POINT_BYTES);
      return [entity, { metrics: kept(metrics), ...(curveKept ? { curve } : {}) }];
    }),
  );
  const alive = Object.entries(vms).filter(
    ([, { metrics, curve }]) => curve !== undefined || Object.keys(metrics).length > 0,
  );
  return { host: host?.metrics ?? {}, vms: Object.fromEntries(alive) };
}

/** `latest` brought up to date. What is older than what is there is ignored, what was not renewed for 24 h forgotten. */
export function updateLatest(latest: Latest, { frame, curves }: LatestUpdate, now: number): Latest {
  const known = stillKnown(latest, now);
  const entity = (id: string): Known => {
    const found = known.get(id) ?? { metrics: new Map<string, Reading>() };
    known.set(id, found);
    return found;
  };
  for (const { entity: id, metric, values } of frame.columns) {
    const { metrics } = entity(id);
    values.forEach((value, index) => {
      if (value !== null) metrics.set(metric, advance(metrics.get(metric), frame.times[index] ?? 0, value));
    });
  }
  for (const [uuid, curve] of curves) {
    const vm = entity(uuid);
    if (vm.curve === undefined || curve.at >= vm.curve.at) vm.curve = curve;
  }
  return toLatest(known);
}

/** Picks figures of one entity that are of about the same time. */
function figures(metrics: Record<string, Reading>): {
  at: number | undefined;
  latest: (metric: string) => number | undefined;
  average: (metric: string) => number | undefined;
} {
  const byName = new Map(Object.entries(metrics));
  const newest = Math.max(...Array.from(byName.values(), ([time]) => time));
  const pick = (metric: string, place: 1 | 2): number | undefined => {
    const found = byName.get(metric);
    return found === undefined || newest - found[0] > LOAD_AGE_MS ? undefined : found[place];
  };
  return {
    at: byName.size === 0 ? undefined : newest,
    latest: (metric) => pick(metric, 1),
    average: (metric) => pick(metric, 2),
  };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the figures that are not known. */
function withoutUnknown<T extends Record<string, unknown>>(load: T): Defined<T> {
  return Object.fromEntries(Object.entries(load).filter(([, value]) => value !== undefined)) as Defined<T>;
}

/** What the advisor reads of a host: averages for what fluctuates, the latest value for what is held. */
export function hostLoad(latest: Latest, isSettled: boolean): HostLoad {
  const { at, latest: value, average: smoothed } = figures(latest.host);
  // An average still has the VMs that have just left in it, and not those that have just come.
  const average = isSettled ? smoothed : value;
  return withoutUnknown({
    cpuUsedCores: average("cpu_used_cores"),
    memoryUsedBytes: value("memory_used_bytes"),
    networkReceiveBytesPerSecond: average("network_receive_bytes_per_second"),
    networkTransmitBytesPerSecond: average("network_transmit_bytes_per_second"),
    at,
  });
}

/**
 * What the advisor reads of a VM that may have been on several hosts: what its present host says, and where that says nothing
 * yet, what the host said that knew it last.
 */
export function vmLoadOver(present: Latest, others: readonly Latest[], uuid: string): VmLoad {
  const former = others.map((latest) => vmLoad(latest, uuid)).toSorted((a, b) => (a.at ?? 0) - (b.at ?? 0));
  return Object.assign({}, former.at(-1), vmLoad(present, uuid));
}

/** What the advisor reads of a VM; empty where nothing is known of it. */
export function vmLoad(latest: Latest, uuid: string): VmLoad {
  const vm = Object.hasOwn(latest.vms, uuid) ? latest.vms[uuid] : undefined;
  if (vm === undefined) return {};
  const { at, latest: value, average } = figures(vm.metrics);
  const received = average("network_receive_bytes_per_second");
  const sent = average("network_transmit_bytes_per_second");
  const { curve } = vm;
  return withoutUnknown({
    cpuUsedCores: average("cpu_used_cores"),
    memoryUsedBytes: value("memory_used_bytes"),
    memoryNonzeroBytes: value("memory_nonzero_bytes"),
    memoryDirtyBytesPerSecond: value("memory_dirty_bytes_per_second"),
    memoryWorkingSetBytes: value("memory_working_set_bytes"),
    networkBytesPerSecond: received === undefined || sent === undefined ? undefined : received + sent,
    dirtyCurve: curve && { at: curve.at, points: curve.points.map(([windowMs, bytes]) => ({ windowMs, bytes })) },
    at,
  });
}
