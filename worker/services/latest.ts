// The latest values of a fleet.
import type { Deps } from "../env.ts";
import { type KnownOfHost, latestPageJson } from "../model/telemetry/latest-json.ts";
import { filterOf } from "./chunk-reads.ts";

export type LatestQuery = {
  hostId: string | null;
  cluster: string | null;
  after: string | null;
  limit: number;
};

export const latestValues = (deps: Deps, query: LatestQuery): Promise<KnownOfHost[]> =>
  deps.store.telemetry.latest(query);

/** A page of them as JSON. `metrics`: names or patterns; null: all. */
export const latestJson = (
  { items, next }: { items: readonly KnownOfHost[]; next: string | null },
  metrics: readonly string[] | null,
): Uint8Array<ArrayBuffer> => latestPageJson(items, filterOf(metrics ?? ["*"]), next);
