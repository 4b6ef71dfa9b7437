// What the advisor reads of a host and its VMs, from what is known right now and from what hours have been.
import type { HostLoad, VmLoad } from "../cluster.ts";
import { DAY_MS, HOUR_MS } from "../units.ts";
import { vmUuid } from "../wire/common.ts";
import { HOST } from "./frame.ts";
import type { Known } from "./known.ts";
import { type Summary, summaryFigures } from "./summary.ts";

/** A figure this much older than the newest one of the same host or VM says nothing of it any more. */
const LOAD_AGE_MS = HOUR_MS;
/** Quantiles of a day that ended longer ago than this say nothing of today. */
const SUMMARY_AGE_MS = DAY_MS;

/** All that one host says of itself and of VMs. */
export type Told = { known: Known; summary: Summary | null };

type Figure = (metric: string) => number | undefined;

type Figures = {
  at: number | undefined;
  latest: Figure;
  average: Figure;
  /** Metrics of a family, `family:member`, by their members, that have an average. */
  family: (name: string) => [member: string, average: number][];
};

const NO_PLACES: ReadonlyMap<string, number> = new Map();

/** Places of the series that have a sample, by entity and metric. */
function placesOf({ series, times }: Known): Map<string, Map<string, number>> {
  const places = new Map<string, Map<string, number>>();
  series.forEach(({ entity, metric }, place) => {
    if ((times[place] ?? 0) === 0) return;
    const of = places.get(entity);
    if (of === undefined) places.set(entity, new Map([[metric, place]]));
    else of.set(metric, place);
  });
  return places;
}

/** Figures of one entity that are of about the same time. */
function figuresOf({ times, values, averages }: Known, places: ReadonlyMap<string, number>): Figures {
  let newest = 0;
  for (const place of places.values()) newest = Math.max(newest, times[place] ?? 0);
  const isNow = (place: number): boolean => newest - (times[place] ?? 0) <= LOAD_AGE_MS;
  const pick = (metric: string, from: Float64Array | Float32Array): number | undefined => {
    const place = places.get(metric);
    return place === undefined || !isNow(place) ? undefined : from[place];
  };
  return {
    at: places.size === 0 ? undefined : newest,
    latest: (metric) => pick(metric, values),
    average: (metric) => pick(metric, averages),
    family: (name) =>
      Array.from(places).flatMap(([metric, place]): [string, number][] =>
        metric.startsWith(`${name}:`) && isNow(place) ? [[metric.slice(name.length + 1), averages[place] ?? 0]] : [],
      ),
  };
}

/** p95 of 24 h, of the last hour where there are no 24 h. */
const p95Of =
  ({ summary }: Told, entity: string, now: number): Figure =>
  (metric) => {
    if (summary === null || now - summary.at > SUMMARY_AGE_MS) return undefined;
    const found = summaryFigures(summary, entity, metric);
    return found?.p95Day ?? found?.p95Hour ?? undefined;
  };

/** Of two directions, which is known only where both are. */
function both(figure: Figure, one: string, other: string): number | undefined {
  const [first, second] = [figure(one), figure(other)];
  return first === undefined || second === undefined ? undefined : first + second;
}

const NETWORK = ["network_receive_bytes_per_second", "network_transmit_bytes_per_second"] as const;
const DISK = ["disk_read_bytes_per_second", "disk_write_bytes_per_second"] as const;

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Without the figures that are not known. */
function withoutUnknown<T extends Record<string, unknown>>(load: T): Defined<T> {
  const known: Record<string, unknown> = {};
  for (const field in load) if (load[field] !== undefined) known[field] = load[field];
  return known as Defined<T>;
}

/**
 * What the advisor reads of a host: averages for what fluctuates, the latest value for what is held. `isSettled`: its VMs
 * have long been the same. The p95 of the network is the sum of those of both directions, which is seldom less.
 */
export function hostLoad(told: Told, isSettled: boolean, now: number): HostLoad {
  const { at, latest, average: smoothed } = figuresOf(told.known, placesOf(told.known).get(HOST) ?? NO_PLACES);
  // An average still has the VMs that have just left in it, and not those that have just come.
  const average = isSettled ? smoothed : latest;
  const p95 = p95Of(told, HOST, now);
  return withoutUnknown({
    cpuUsedCores: average("cpu_used_cores"),
    memoryUsedBytes: latest("memory_used_bytes"),
    networkReceiveBytesPerSecond: average("network_receive_bytes_per_second"),
    networkTransmitBytesPerSecond: average("network_transmit_bytes_per_second"),
    diskBytesPerSecond: both(average, ...DISK),
    swapInBytesPerSecond: average("swap_in_bytes_per_second"),
    cpuPressureRatio: average("cpu_pressure_ratio"),
    memoryPressureRatio: average("memory_pressure_ratio"),
    powerWatts: average("power_watts"),
    temperatureCelsius: latest("temperature_celsius"),
    // Faults of the hardware are none of the VMs' doing.
    eccCorrectedPerSecond: smoothed("ecc_corrected_errors_per_second"),
    eccUncorrectedPerSecond: smoothed("ecc_uncorrected_errors_per_second"),
    diskFailedRatio: latest("disk_failed_ratio"),
    cpuUsedCoresP95: p95("cpu_used_cores"),
    networkBytesPerSecondP95: both(p95, ...NETWORK),
    at,
  });
}

/** `peer_bytes_per_second:<uuid without dashes>` by uuid; undefined: none. */
function peersOf(family: Figures["family"]): Record<string, number> | undefined {
  const peers = family("peer_bytes_per_second").flatMap(([member, average]): [string, number][] => {
    const uuid = member.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    return vmUuid.safeParse(uuid).success ? [[uuid, average]] : [];
  });
  return peers.length === 0 ? undefined : Object.fromEntries(peers);
}

function vmLoad(told: Told, uuid: string, places: ReadonlyMap<string, number>, now: number): VmLoad {
  const { at, latest, average, family } = figuresOf(told.known, places);
  const p95 = p95Of(told, uuid, now);
  const curve = told.known.curves.get(uuid);
  return withoutUnknown({
    cpuUsedCores: average("cpu_used_cores"),
    memoryUsedBytes: latest("memory_used_bytes"),
    memoryNonzeroBytes: latest("memory_nonzero_bytes"),
    memoryDirtyBytesPerSecond: latest("memory_dirty_bytes_per_second"),
    memoryWorkingSetBytes: latest("memory_working_set_bytes"),
    networkBytesPerSecond: both(average, ...NETWORK),
    diskBytesPerSecond: both(average, ...DISK),
    swapInBytesPerSecond: average("swap_in_bytes_per_second"),
    cpuStealRatio: average("cpu_steal_ratio"),
    latencySeconds: average("latency_seconds"),
    requestsPerSecond: average("requests_per_second"),
    cpuUsedCoresP95: p95("cpu_used_cores"),
    memoryUsedBytesP95: p95("memory_used_bytes"),
    networkBytesPerSecondP95: both(p95, ...NETWORK),
    peerBytesPerSecond: peersOf(family),
    dirtyCurve: curve && { at: curve.at, points: curve.points.map(([windowMs, bytes]) => ({ windowMs, bytes })) },
    at,
  });
}

/** The loads of all VMs of which one host says something, by uuid. */
export function vmLoads(told: Told, now: number): Map<string, VmLoad> {
  const places = placesOf(told.known);
  const uuids = new Set([...places.keys(), ...told.known.curves.keys(), ...Object.keys(told.summary?.vms ?? {})]);
  uuids.delete(HOST);
  return new Map(Array.from(uuids, (uuid) => [uuid, vmLoad(told, uuid, places.get(uuid) ?? NO_PLACES, now)]));
}

/**
 * What the advisor reads of a VM that may have been on several hosts: what its present host says, and where that says nothing
 * yet, what the host said that knew it last.
 */
export function vmLoadOver(present: VmLoad | undefined, others: readonly VmLoad[]): VmLoad {
  const former = others.reduce<VmLoad | undefined>(
    (last, load) => (last === undefined || (load.at ?? 0) >= (last.at ?? 0) ? load : last),
    undefined,
  );
  return { ...former, ...present };
}
