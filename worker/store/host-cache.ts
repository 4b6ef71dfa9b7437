// What this isolate knows of hosts whose telemetry it wrote last, so that a write reads nothing. It may be stale: the version of
// a write then fails, and it is read anew.
import type { HostTelemetry } from "../model/telemetry/stored.ts";
import { createKept } from "./kept.ts";

/** A part of an isolate's 128 MB. */
const BYTES_MAX = 32 * 1024 * 1024;
/** Names, places and readings of a series, shapes of arrivals included; as measured, rounded up. */
const SERIES_BYTES = 400;
/** A counter, and the moments of its group. */
const COUNTER_BYTES = 300;

const bytesOf = ({ known, ring, counters }: HostTelemetry): number =>
  2000 +
  known.series.length * SERIES_BYTES +
  // Lines are much alike.
  ring.length * (ring.at(-1)?.chars ?? 0) * 2 +
  [...counters.groups.values()].reduce((sum, { members }) => sum + members.length, 0) * COUNTER_BYTES;

export type HostCache = {
  get: (hostId: string) => HostTelemetry | undefined;
  /** The least recently used ones go when there are too many. */
  set: (host: HostTelemetry) => void;
  drop: (hostId: string) => void;
};

export function createHostCache(bytesMax = BYTES_MAX): HostCache {
  const { get, set, drop } = createKept(bytesMax, bytesOf);
  return { get, set: (host) => set(host.hostId, host), drop };
}
