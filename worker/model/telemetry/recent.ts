// The newest samples of a host or VM for detection, and of whom they are worth reading.
import type { Recent, SnapshotHost } from "../cluster.ts";
import { alignColumns } from "../series.ts";
import { MINUTE_MS } from "../units.ts";
import { type Column, type Frame, sliceFrame } from "./frame.ts";
import { roundDigits } from "./rounding.ts";

export const RECENT_STEPS = 30;
export const RECENT_STEP_MS = MINUTE_MS;

/** Of a host: what hotspots are found by. */
export const HOST_RECENT_METRICS = [
  "cpu_used_cores",
  "memory_used_bytes",
  "network_receive_bytes_per_second",
  "network_transmit_bytes_per_second",
  "disk_read_bytes_per_second",
  "disk_write_bytes_per_second",
  "cpu_pressure_ratio",
  "memory_pressure_ratio",
  "swap_in_bytes_per_second",
] as const;

export const VM_RECENT_METRICS = ["cpu_used_cores", "memory_used_bytes", "latency_seconds"] as const;

/** Significant decimal digits: a snapshot is kept with its plan. */
const DIGITS = 4;

/** The last place at which some column has a value; -1: none has one. */
function newestPlace(columns: readonly Column[]): number {
  return columns.reduce(
    (newest, { values }) =>
      Math.max(
        newest,
        values.findLastIndex((value) => !Number.isNaN(value)),
      ),
    -1,
  );
}

const rounded = (value: number): number | null => (Number.isNaN(value) ? null : roundDigits(value, DIGITS));

/**
 * The newest samples of an entity: means of steps of a minute, of which the last one ends with the newest sample; up to 30,
 * those before the first sample left out. Only what was sampled after `since` counts. Undefined: there is nothing.
 */
export function recentOf(frame: Frame, entity: string, since: number): Recent | undefined {
  const { times, columns } = sliceFrame(frame, since + 1, Infinity);
  const own = columns.filter((column) => column.entity === entity);
  const at = times[newestPlace(own)];
  if (at === undefined) return undefined;
  const grid = { from: at + 1 - RECENT_STEPS * RECENT_STEP_MS, to: at + 1, stepMs: RECENT_STEP_MS };
  const aligned = alignColumns(
    times,
    own.map(({ values }) => values),
    { ...grid, agg: "mean" },
  );
  const first = Math.min(
    ...aligned.map((values) => values.findIndex((value) => !Number.isNaN(value))).filter((place) => place !== -1),
  );
  const series = own.flatMap(({ metric }, place): [string, (number | null)[]][] => {
    const values = aligned[place];
    if (values === undefined || values.every(Number.isNaN)) return [];
    return [[metric, Array.from(values.subarray(first), rounded)]];
  });
  return { at, stepMs: RECENT_STEP_MS, series: Object.fromEntries(series) };
}

/** A host at this share of what it has, or above it, may be hot: its VMs are looked at. */
export const NEAR_HOT_RATIO = 0.6;

/**
 * How much a host uses of what it has most used: CPU, memory, either direction of its network where the rate of its NIC is
 * known, or the share of time in which something waited. 0 where nothing is known.
 */
export function heatOf({ cpu, memoryBytes, migration, load }: SnapshotHost): number {
  const of = (used: number | undefined, all: number | undefined): number =>
    used === undefined || all === undefined ? 0 : used / all;
  return Math.max(
    of(load.cpuUsedCores, cpu.cores),
    of(load.memoryUsedBytes, memoryBytes),
    of(load.networkReceiveBytesPerSecond, migration?.bytesPerSecond),
    of(load.networkTransmitBytesPerSecond, migration?.bytesPerSecond),
    load.cpuPressureRatio ?? 0,
    load.memoryPressureRatio ?? 0,
  );
}

/** Up to `most` hosts that have been heard, the hottest first, those below `heatMin` left out. */
export function hottest(hosts: readonly SnapshotHost[], most: number, heatMin: number): SnapshotHost[] {
  return hosts
    .filter(({ heardAt }) => heardAt !== undefined)
    .map((host) => ({ host, heat: heatOf(host) }))
    .filter(({ heat }) => heat >= heatMin)
    .toSorted((a, b) => b.heat - a.heat)
    .slice(0, most)
    .map(({ host }) => host);
}
