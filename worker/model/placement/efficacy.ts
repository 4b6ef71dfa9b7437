// How good a placement is, before and after. Hosts whose load is unknown take no part.
import type { Snapshot } from "../cluster.ts";
import { cpuRatio, knownHosts } from "./state.ts";
import type { Efficacy, PlanParameters } from "./types.ts";

/** Population standard deviation; 0 of nothing. */
function standardDeviation(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return Math.sqrt(variance);
}

/** The indicators of a placement. CPU ratios are those once running migrations have ended. */
export function efficacyOf(snapshot: Snapshot, parameters: PlanParameters): Efficacy {
  const known = knownHosts(snapshot);
  const ratios = known.map((host) => cpuRatio(snapshot, host));
  const evacuated = new Set(parameters.hostIds);
  return {
    cpuImbalance: standardDeviation(ratios),
    cpuRatioMax: Math.max(0, ...ratios),
    hotHosts: ratios.filter((ratio) => ratio > parameters.hotRatio).length,
    emptyHosts: known.filter((host) => host.vms.length === 0).length,
    toEvacuate: snapshot.hosts
      .filter((host) => evacuated.has(host.hostId))
      .reduce((sum, host) => sum + host.vms.length, 0),
  };
}

/** The known host with the highest CPU ratio, equals by order; null where no load is known. */
export function hottestHost(snapshot: Snapshot): { hostId: string; ratio: number } | null {
  const ratios = knownHosts(snapshot).map((host) => ({ hostId: host.hostId, ratio: cpuRatio(snapshot, host) }));
  return ratios.toSorted((a, b) => b.ratio - a.ratio)[0] ?? null;
}
