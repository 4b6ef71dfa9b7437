// The latest values of a fleet.
import type { Deps } from "../env.ts";
import { type Latest, latestOf } from "../model/telemetry/known.ts";
import { filterOf } from "./chunk-reads.ts";

export type LatestQuery = {
  hostId: string | null;
  cluster: string | null;
  /** Names or patterns; null: all. */
  metrics: readonly string[] | null;
  after: string | null;
  limit: number;
};

export type LatestOfHost = { hostId: string; cluster: string; heardAt: number | null; latest: Latest };

export async function latestValues(deps: Deps, { metrics, ...query }: LatestQuery): Promise<LatestOfHost[]> {
  const isWanted = filterOf(metrics ?? ["*"]);
  const rows = await deps.store.telemetry.latest(query);
  return rows.map(({ known, ...row }) => ({ ...row, latest: latestOf(known, (_, metric) => isWanted(metric)) }));
}
