// Hosts for tests of detection: what matters to a test is stated, the rest is an ordinary host.
import type { HostLoad, SnapshotHost, VmLoad } from "../../../worker/model/cluster.ts";
import { detectHotspots } from "../../../worker/model/detection/hotspots.ts";
import { type Detection, detectionParameters } from "../../../worker/model/detection/types.ts";
import { GIB, MINUTE_MS } from "../../../worker/model/units.ts";
import { AT, world } from "../../support/world.ts";

export const CORES = 16;
export const MEMORY_BYTES = 64 * GIB;

export type Said = {
  /** Shares of the host's cores, a minute apart, the last now. */
  cpu?: (number | null)[];
  /** Newest samples of other metrics, in their units. */
  series?: Record<string, (number | null)[]>;
  load?: HostLoad;
  recentAgeMs?: number;
  silentMs?: number | null;
  labels?: Record<string, string>;
  vm?: { load: VmLoad; labels?: Record<string, string> };
};

export function hostOf({ cpu, series = {}, load = {}, recentAgeMs = 0, silentMs, labels, vm }: Said): SnapshotHost {
  const [host] = world({
    hosts: {
      a: {
        cores: CORES,
        memoryBytes: MEMORY_BYTES,
        ...(silentMs === undefined ? {} : { silentMs }),
        ...(labels === undefined ? {} : { labels }),
      },
    },
    vms: vm === undefined ? {} : { shop: { on: "a", vcpus: 4, ...vm } },
  }).hosts;
  if (host === undefined) throw new Error("no host");
  const all = { ...series, ...(cpu === undefined ? {} : { cpu_used_cores: cpu.map((v) => v && v * CORES) }) };
  const recent = { at: AT - recentAgeMs, stepMs: MINUTE_MS, series: all };
  return { ...host, load: { at: AT, ...load, ...(Object.keys(all).length === 0 ? {} : { recent }) } };
}

export function detect(said: Said, parameters: Record<string, unknown> = {}): Detection {
  const [found] = detectHotspots([hostOf(said)], detectionParameters.parse(parameters), AT);
  if (found === undefined) throw new Error("nothing detected");
  return found;
}

export const flat = (value: number, count = 30): number[] => Array.from({ length: count }, () => value);
