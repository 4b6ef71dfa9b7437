// Whom a query is about: hosts or VMs, and where and when each was seen.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { metricPattern } from "../model/telemetry/catalogue.ts";
import { HOST } from "../model/telemetry/frame.ts";

export type SubjectQuery = {
  /** Host ids, or patterns with `*`; null where `vms` says whom. Beside `vms`: only what is on these hosts now. */
  hosts: readonly string[] | null;
  /** UUIDs, or `*` for all; null: the hosts themselves are meant. */
  vms: readonly string[] | null;
  cluster: string | null;
  from: number;
  to: number;
  /** Cursor: only those after it. */
  after: string | null;
};

/** Samples of an entity that a host has, from `from` to before `to`. */
export type Source = { hostNumber: number; entity: string; from: number; to: number };

export type Subject = {
  /** Subjects are in the order of their keys. */
  key: string;
  cluster: string;
  /** The host itself, or where the VM is now; null: nowhere. */
  host: string | null;
  vm: string | null;
  sources: Source[];
};

export const subjectsOf = (deps: Deps, query: SubjectQuery): Promise<Subject[]> =>
  query.vms === null ? hostSubjects(deps, query) : vmSubjects(deps, query, query.vms);

const notFound = (what: "host" | "vm", id: string) => new AppError({ code: "not_found", what, id });

/** The first of the names that are no patterns and are not among those found. */
const firstMissing = (names: readonly string[], found: ReadonlySet<string>): string | undefined =>
  names.find((name) => !name.includes("*") && !found.has(name));

async function hostSubjects(deps: Deps, { hosts, cluster, from, to, after }: SubjectQuery): Promise<Subject[]> {
  const names = hosts ?? [];
  const matches = names.map(metricPattern);
  const all = await deps.store.telemetry.hostNames(cluster);
  const found = all.filter(({ hostId }) => matches.some((isMatch) => isMatch(hostId)));
  const missing = firstMissing(names, new Set(found.map(({ hostId }) => hostId)));
  if (missing !== undefined) throw notFound("host", missing);
  return found
    .filter(({ hostId }) => after === null || hostId > after)
    .map(({ hostId, number, cluster: of }) => ({
      key: hostId,
      cluster: of,
      host: hostId,
      vm: null,
      sources: [{ hostNumber: number, entity: HOST, from, to }],
    }));
}

async function vmSubjects(deps: Deps, query: SubjectQuery, uuids: readonly string[]): Promise<Subject[]> {
  const isAll = uuids.includes("*");
  const [vms, places] = await deps.store.telemetry.vmPlaces(query.cluster, isAll ? null : uuids);
  const missing = firstMissing(uuids, new Set(vms.map(({ uuid }) => uuid)));
  if (missing !== undefined) throw notFound("vm", missing);
  if (!isAll) assertOneCluster(vms);
  const isOnHost = (query.hosts ?? ["*"]).map(metricPattern);
  const byVm = Map.groupBy(places, ({ cluster, uuid }) => `${cluster}/${uuid}`);
  return (
    vms
      .map(({ cluster, uuid, hostId }) => ({ key: `${cluster}/${uuid}`, cluster, uuid, hostId }))
      // Not the order of clusters: what may stand in a name may sort before the slash.
      .toSorted((a, b) => (a.key < b.key ? -1 : 1))
      .filter(({ key }) => query.after === null || key > query.after)
      .filter(({ hostId }) => query.hosts === null || isOnHost.some((isMatch) => hostId !== null && isMatch(hostId)))
      .map(({ key, cluster, uuid, hostId }) => ({
        key,
        cluster,
        host: hostId,
        vm: uuid,
        sources: sourcesOf(byVm.get(key) ?? [], query).map((source) => ({ ...source, entity: uuid })),
      }))
  );
}

/** A uuid is unique in its cluster only. */
function assertOneCluster(vms: readonly { cluster: string; uuid: string }[]): void {
  const clusters = new Map<string, string>();
  for (const { cluster, uuid } of vms) {
    const other = clusters.get(uuid);
    if (other !== undefined)
      throw new AppError({
        code: "invalid_request",
        issues: [{ path: "cluster", message: `needed: ${other} and ${cluster} both have the VM ${uuid}` }],
      });
    clusters.set(uuid, cluster);
  }
}

/**
 * The hosts that a VM was on, and when. A placement lasts until the next one begins: a VM is seen by telemetry a little
 * before and after the inventory says so, and while it moves both hosts may report it.
 */
const sourcesOf = (
  places: readonly { hostNumber: number; fromAt: number }[],
  { from, to }: SubjectQuery,
): Omit<Source, "entity">[] =>
  places
    .map(({ hostNumber, fromAt }, index) => ({
      hostNumber,
      from: index === 0 ? from : Math.max(from, fromAt),
      to: Math.min(to, places[index + 1]?.fromAt ?? to),
    }))
    .filter((source) => source.from < source.to);
