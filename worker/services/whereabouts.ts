// The VM of a run as hosts see it that have no part in the run.
import type { Deps } from "../env.ts";
import type { MigrationRun } from "../model/run.ts";
import type { Sighting } from "../model/truth.ts";

/** Null: no other host has reported it last. */
export async function sightingElsewhere(deps: Deps, run: MigrationRun): Promise<Sighting | null> {
  const [vm] = await deps.store.hosts.vmsByUuid(run.cluster, [run.vmUuid]);
  const hostId = vm?.hostId ?? null;
  if (hostId === null || hostId === run.fromHostId || hostId === run.toHostId) return null;
  const seen = await deps.store.hosts.liveness(hostId);
  return { hostId, vmState: seen?.vmStates?.[run.vmUuid] ?? null, vmStatesAt: seen?.vmStatesAt ?? null };
}
