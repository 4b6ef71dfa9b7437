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

export type Place = { hostId: string; cluster: string };

/** A host by its id. */
export async function findHost(deps: Deps, said: string): Promise<Place> {
  const names = await deps.store.telemetry.hostNames(null);
  const found = names.find(({ hostId }) => hostId === said);
  if (found !== undefined) return found;
  throw unknown(
    "host",
    said,
    nearest(
      said,
      names.slice(0, NAMES_MAX).map(({ hostId }) => hostId),
    ),
  );
}

type NamedVm = Awaited<ReturnType<Deps["store"]["vmNames"]["find"]>>[number];

/** A VM by its uuid, or by its name where no other has it. `hostId` null: it is placed nowhere now. */
export async function findVm(deps: Deps, said: string): Promise<NamedVm> {
  const [found, ...others] = await deps.store.vmNames.find(said, 6);
  if (found === undefined) throw unknown("VM", said, nearest(said, await deps.store.vmNames.all(NAMES_MAX)));
  if (others.length === 0) return found;
  const all = [found, ...others].map(({ uuid, cluster, hostId }) => `${uuid} (${cluster}, ${hostId ?? "nowhere"})`);
  const message = `several VMs are named ${said}: give the uuid of one, ${all.join(" or ")}`;
  throw new AppError({ code: "invalid_request", issues: [{ path: "VM", message }] });
}

/** A host as the advisor sees it. */
export async function hostFacts(deps: Deps, said: string): Promise<SnapshotHost> {
  const { hostId, cluster } = await findHost(deps, said);
  const host = (await readFacts(deps, cluster)).hosts.find((one) => one.hostId === hostId);
  if (host === undefined) throw unknown("host", said, []);
  return host;
}

/** A VM as the advisor sees it, and its host; null: it is placed nowhere now. */
export async function vmFacts(deps: Deps, said: string): Promise<{ vm: SnapshotVm; host: SnapshotHost | null }> {
  const { uuid, cluster } = await findVm(deps, said);
  for (const host of (await readFacts(deps, cluster)).hosts) {
    const vm = host.vms.find((one) => one.uuid === uuid);
    if (vm !== undefined) return { vm, host };
  }
  const [stored] = await deps.store.hosts.vmsByUuid(cluster, [uuid]);
  if (stored === undefined) throw unknown("VM", said, []);
  return { vm: { ...stored.inventory, load: {} }, host: null };
}
