// The latest values of a fleet. Most hosts have sent nothing new since they were last asked for: what was made of the same
// version of a host's state is not read and not written anew.
import type { Deps } from "../env.ts";
import { NOTHING_KNOWN } from "../model/telemetry/known.ts";
import { latestJson, type LatestOfHost } from "../model/telemetry/latest-json.ts";
import { filterOf } from "./chunk-reads.ts";

export type LatestQuery = {
  hostId: string | null;
  cluster: string | null;
  /** Names or patterns; null: all. */
  metrics: readonly string[] | null;
  after: string | null;
  limit: number;
};

/** Hosts by id, each with its latest values as JSON. */
export async function latestOfHosts(deps: Deps, { metrics, ...filter }: LatestQuery): Promise<LatestOfHost[]> {
  const isWanted = filterOf(metrics ?? ["*"]);
  const keyOf = (number: number, version: number): string => `${number} ${version} ${metrics?.join(",") ?? "*"}`;
  const hosts = await deps.store.telemetry.versions(filter);
  const pieces = new Map<number, { heardAt: number | null; latest: Uint8Array }>();
  for (const { number, version, heardAt } of hosts) {
    const latest = version === null ? undefined : deps.latestPieces.get(keyOf(number, version));
    if (latest !== undefined) pieces.set(number, { heardAt, latest });
  }
  const changed = hosts.filter(({ number, version }) => version !== null && !pieces.has(number));
  const read = changed.length === 0 ? [] : await deps.store.telemetry.latest(changed.map(({ number }) => number));
  for (const { number, version, heardAt, known } of read) {
    const latest = latestJson(known, isWanted);
    deps.latestPieces.set(keyOf(number, version), latest);
    pieces.set(number, { heardAt, latest });
  }
  return hosts.map(({ hostId, cluster, number, heardAt }) => ({
    hostId,
    cluster,
    ...(pieces.get(number) ?? { heardAt, latest: latestJson(NOTHING_KNOWN, isWanted) }),
  }));
}
