// Hosts, VMs and clusters as people name them; what is not found is answered with what was meant.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { nearest } from "../model/chat/near.ts";
import type { Snapshot, SnapshotHost, SnapshotVm } from "../model/cluster.ts";
import { readFacts } from "./snapshots.ts";

const NAMES_MAX = 5000;

const unknown = (what: "host" | "VM" | "cluster", said: string, near: readonly string[]): AppError => {
  const meant = near.length > 0 ? `Did you mean ${near.join(" or ")}?` : "See hosts.";
  return new AppError({
    code: "invalid_request",
    issues: [{ path: what, message: `no ${what} ${said} is known. ${meant}` }],
  });
};

async function clustersOf(deps: Deps): Promise<string[]> {
  return [...new Set((await deps.store.telemetry.hostNames(null)).map(({ cluster }) => cluster))].toSorted();
}

/** The cluster that is named, or the only one there is. */
export async function oneCluster(deps: Deps, said: string | null): Promise<string> {
  const clusters = await clustersOf(deps);
  if (said !== null) {
    if (!clusters.includes(said)) throw unknown("cluster", said, nearest(said, clusters));
    return said;
  }
  const [only, ...others] = clusters;
  if (only !== undefined && others.length === 0) return only;
  const message = only === undefined ? "no hosts are known yet" : `name one: ${clusters.slice(0, 20).join(", ")}`;
  throw new AppError({ code: "invalid_request", issues: [{ path: "cluster", message }] });
}

/** What is known of one cluster, or of all. */
export async function snapshotsOf(deps: Deps, cluster: string | null): Promise<Snapshot[]> {
  const clusters = cluster === null ? await clustersOf(deps) : [await oneCluster(deps, cluster)];
  const snapshots: Snapshot[] = [];
  for (const name of clusters) snapshots.push(await readFacts(deps, name));
  return snapshots;
}

export async function findHost(deps: Deps, said: string): Promise<{ host: SnapshotHost; snapshot: Snapshot }> {
  const known = await deps.store.hosts.byId(said);
  if (known === null) {
    const names = await deps.store.telemetry.hostNames(null);
    throw unknown(
      "host",
      said,
      nearest(
        said,
        names.slice(0, NAMES_MAX).map(({ hostId }) => hostId),
      ),
    );
  }
  const snapshot = await readFacts(deps, known.cluster);
  const host = snapshot.hosts.find(({ hostId }) => hostId === said);
  if (host === undefined) throw unknown("host", said, []);
  return { host, snapshot };
}

/** A VM by its uuid, or by its name where no other has it. `host` null: it is placed nowhere now. */
export async function findVm(deps: Deps, said: string): Promise<{ vm: SnapshotVm; host: SnapshotHost | null }> {
  const [found, ...others] = await deps.store.vmNames.find(said, 6);
  if (found === undefined) throw unknown("VM", said, nearest(said, await deps.store.vmNames.all(NAMES_MAX)));
  if (others.length > 0) {
    const all = [found, ...others].map(({ uuid, cluster, hostId }) => `${uuid} (${cluster}, ${hostId ?? "nowhere"})`);
    const message = `several VMs are named ${said}: give the uuid of one, ${all.join(" or ")}`;
    throw new AppError({ code: "invalid_request", issues: [{ path: "VM", message }] });
  }
  const snapshot = await readFacts(deps, found.cluster);
  for (const host of snapshot.hosts) {
    const vm = host.vms.find(({ uuid }) => uuid === found.uuid);
    if (vm !== undefined) return { vm, host };
  }
  const [stored] = await deps.store.hosts.vmsByUuid(found.cluster, [found.uuid]);
  if (stored === undefined) throw unknown("VM", said, []);
  return { vm: { ...stored.inventory, load: {} }, host: null };
}
