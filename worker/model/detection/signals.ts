// What is judged of a host: each metric as samples, average and p95 in the scale of its threshold.
import type { HostLoad, Recent, SnapshotHost, VmLoad } from "../cluster.ts";
import type { DetectionCause, DetectionParameters } from "./types.ts";

/** A host's label: payload rate of the NIC that its VMs use, in bytes a second. */
export const NIC_LABEL = "nic-bytes-per-second";
/** A VM's label: what its service may take, in seconds. */
export const LATENCY_SLO_LABEL = "latency-slo-seconds";

export type Signal = {
  metric: string;
  /** As people read it. */
  name: string;
  kind: DetectionCause["kind"];
  threshold: number;
  /** Oldest first, evenly spaced; absent: none, or too old. */
  samples?: (number | null)[];
  stepMs?: number;
  average?: number;
  p95?: number;
  show: "percent" | "rate" | "seconds";
  vmUuid?: string;
};

/** What of a load is not older than `staleMs` at the time `at`. */
export function freshOf<L extends HostLoad | VmLoad>(
  load: L,
  at: number,
  staleMs: number,
): { recent?: Recent; load?: L } {
  const isFresh = (time: number | undefined): boolean => time !== undefined && at - time <= staleMs;
  return {
    ...(load.recent !== undefined && isFresh(load.recent.at) ? { recent: load.recent } : {}),
    ...(isFresh(load.at) ? { load } : {}),
  };
}

/** What thresholds exist for on this host; the capacity that a share needs must be known. */
export function signalsOf(host: SnapshotHost, at: number, parameters: DetectionParameters): Signal[] {
  const fresh = freshOf(host.load, at, parameters.staleMs);
  const load: HostLoad = fresh.load ?? {};
  const share = (value: number | undefined, capacity: number): number | undefined =>
    value === undefined ? undefined : value / capacity;
  const signal = (
    metric: string,
    name: string,
    rest: Pick<Signal, "kind" | "threshold" | "show">,
    capacity: number,
    average?: number,
    p95?: number,
  ): Signal => ({
    metric,
    name,
    ...rest,
    ...seriesOf(fresh.recent, [metric], capacity),
    ...defined("average", share(average, capacity)),
    ...defined("p95", share(p95, capacity)),
  });
  const shareOf = (threshold: number) => ({ kind: "k-of-n", threshold, show: "percent" }) as const;
  const pressure = { kind: "pressure", threshold: parameters.pressureRatioHot, show: "percent" } as const;
  const swap = { kind: "swap", threshold: parameters.swapInBytesPerSecondHot, show: "rate" } as const;
  const { cores } = host.cpu;
  return [
    signal("cpu_used_cores", "CPU", shareOf(parameters.cpuRatioHot), cores, load.cpuUsedCores, load.cpuUsedCoresP95),
    signal("memory_used_bytes", "memory", shareOf(parameters.memoryRatioHot), host.memoryBytes, load.memoryUsedBytes),
    ...networkSignals(host, load, parameters, signal),
    ...diskSignals(fresh.recent, load, parameters),
    signal("cpu_pressure_ratio", "CPU pressure", pressure, 1, load.cpuPressureRatio),
    signal("memory_pressure_ratio", "memory pressure", pressure, 1, load.memoryPressureRatio),
    signal("swap_in_bytes_per_second", "swapping in", swap, 1, load.swapInBytesPerSecond),
  ];
}

type SignalOf = (
  metric: string,
  name: string,
  rest: Pick<Signal, "kind" | "threshold" | "show">,
  capacity: number,
  average?: number,
) => Signal;

/** A NIC sends and receives at its rate at once: each way is judged alone. */
function networkSignals(
  host: SnapshotHost,
  load: HostLoad,
  { nicBytesPerSecond, networkRatioHot }: DetectionParameters,
  signal: SignalOf,
): Signal[] {
  const rate = positiveLabel(host.labels?.[NIC_LABEL]) ?? nicBytesPerSecond;
  if (rate === undefined) return [];
  const rest = { kind: "k-of-n", threshold: networkRatioHot, show: "percent" } as const;
  return [
    signal("network_receive_bytes_per_second", "receiving", rest, rate, load.networkReceiveBytesPerSecond),
    signal("network_transmit_bytes_per_second", "sending", rest, rate, load.networkTransmitBytesPerSecond),
  ];
}

function diskSignals(
  recent: Recent | undefined,
  load: HostLoad,
  { diskBytesPerSecondHot: threshold }: DetectionParameters,
): Signal[] {
  if (threshold === undefined) return [];
  const metrics = ["disk_read_bytes_per_second", "disk_write_bytes_per_second"];
  return [
    {
      metric: metrics.join(" + "),
      name: "disk",
      kind: "k-of-n",
      threshold,
      show: "rate",
      ...seriesOf(recent, metrics, 1),
      ...defined("average", load.diskBytesPerSecond),
    },
  ];
}

/** The sum of some series over a capacity; a gap in one is a gap in all. */
export function seriesOf(
  recent: Recent | undefined,
  metrics: readonly string[],
  capacity: number,
): Pick<Signal, "samples" | "stepMs"> {
  const parts = metrics.flatMap((metric) => (recent?.series[metric] === undefined ? [] : [recent.series[metric]]));
  const [first] = parts;
  if (recent === undefined || first === undefined || parts.length < metrics.length) return {};
  const samples = first.map((_, index) => {
    let sum = 0;
    for (const part of parts) {
      const value = part.at(index - first.length);
      if (value === null || value === undefined || !Number.isFinite(value)) return null;
      sum += value / capacity;
    }
    return sum;
  });
  return { samples, stepMs: recent.stepMs };
}

/** A label that is a positive number; anything else is as if it were absent. */
export function positiveLabel(text: string | undefined): number | undefined {
  const value = Number(text ?? "");
  return Number.isFinite(value) && value > 0 ? value : undefined;
}

export function defined<K extends string>(key: K, value: number | undefined): { [P in K]?: number } {
  return value === undefined || !Number.isFinite(value) ? {} : ({ [key]: value } as { [P in K]?: number });
}
