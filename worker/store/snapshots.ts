// One consistent read of a cluster for the advisor.
import { and, eq, gt, isNotNull } from "drizzle-orm";
import { calibration, type Calibration } from "../model/calibration/types.ts";
import type { Snapshot, SnapshotHost, SnapshotVm, VmLoad } from "../model/cluster.ts";
import { hostLoad, vmLoadOver, vmLoads } from "../model/telemetry/loads.ts";
import { DAY_MS, MINUTE_MS } from "../model/units.ts";
import type { Db } from "./db.ts";
import { readRule } from "./rules.ts";
import {
  calibrations,
  hosts,
  hostState,
  hostSummaries,
  migrations,
  placementRules,
  reservations,
  vms,
} from "./schema.ts";
import { type ReadHost, readHost, readVm } from "./snapshot-rows.ts";
import { stateColumns } from "./telemetry.ts";

/** Averages of a host count again this long after a VM has left it or come to it, ms: three half-lives of the average. */
const SETTLE_MS = 15 * MINUTE_MS;

/** A snapshot and what its readers need to find the hosts' samples. */
export type ReadSnapshot = {
  snapshot: Snapshot;
  /** What samples are stored under, by host id. */
  hostNumbers: ReadonlyMap<string, number>;
  /** When a VM last left a host or came to it, of the last 24 h, by host id. */
  changedAt: ReadonlyMap<string, number>;
  /** Stored rows that cannot be read, each with its id; their hosts are unknown or, `host …`, left out. */
  unreadable: string[];
  /** Rules that cannot be read: a plan that is made without them may break them. */
  unreadableRules: string[];
};

type Moved = { vmUuid: string; fromHostId: string; toHostId: string; endedAt: number | null };

export function snapshotStore(db: Db) {
  return {
    /** The hosts, VMs, loads, rules and reservations of a cluster as they are at `now`. A batch of D1 is one transaction. */
    read: async (cluster: string, now: number): Promise<ReadSnapshot> => {
      const [hostRows, vmRows, reserved, moved, learned, ruleRows] = await db.batch([
        db
          .select({
            host: hosts,
            heardAt: hostState.heardAt,
            vmStates: hostState.vmStates,
            summary: hostSummaries.summary,
            ...stateColumns,
          })
          .from(hosts)
          .leftJoin(hostState, eq(hostState.hostNumber, hosts.number))
          .leftJoin(hostSummaries, eq(hostSummaries.hostNumber, hosts.number))
          .where(eq(hosts.cluster, cluster))
          .orderBy(hosts.id),
        db
          .select({
            uuid: vms.uuid,
            hostId: vms.hostId,
            inventory: vms.inventory,
            lastMovedAt: vms.lastMovedAt,
          })
          .from(vms)
          .where(and(eq(vms.cluster, cluster), isNotNull(vms.hostId)))
          .orderBy(vms.uuid),
        db
          .select({
            migrationId: reservations.migrationId,
            vmUuid: reservations.vmUuid,
            toHostId: reservations.hostId,
            fromHostId: migrations.fromHostId,
            memoryBytes: reservations.memoryBytes,
            cpuCores: reservations.cpuCores,
          })
          .from(reservations)
          .innerJoin(migrations, eq(migrations.id, reservations.migrationId))
          .where(eq(reservations.cluster, cluster)),
        db
          .select({
            vmUuid: migrations.vmUuid,
            fromHostId: migrations.fromHostId,
            toHostId: migrations.toHostId,
            endedAt: migrations.endedAt,
          })
          .from(migrations)
          .where(
            and(
              eq(migrations.cluster, cluster),
              eq(migrations.state, "completed"),
              gt(migrations.endedAt, now - DAY_MS),
            ),
          ),
        db.select({ body: calibrations.body }).from(calibrations).where(eq(calibrations.cluster, cluster)),
        db.select().from(placementRules).where(eq(placementRules.cluster, cluster)).orderBy(placementRules.id),
      ]);
      const unreadable: string[] = [];
      const read = hostRows.map((row) => {
        const host = readHost(row, now);
        if (host === null) unreadable.push(`host ${row.host.id}`);
        return host;
      });
      const changedAt = changes(moved);
      const calibrated = readCalibration(learned[0]?.body);
      if (calibrated === null) unreadable.push(`calibration of ${cluster}`);
      const snapshot: Snapshot = {
        cluster,
        at: now,
        hosts: assemble(
          read.filter((host) => host !== null),
          vmRows,
          { now, changedAt },
        ),
        reservations: reserved,
        lastMovedAt: Object.fromEntries(
          vmRows.flatMap((row) => (row.lastMovedAt === null ? [] : [[row.uuid, row.lastMovedAt]])),
        ),
        movesLastDay: countOf(moved.map(({ vmUuid }) => vmUuid)),
        rules: ruleRows.map(({ id, rule }) => readRule(id, rule)).filter((rule) => rule !== null),
        ...(calibrated ? { calibration: calibrated } : {}),
      };
      unreadable.push(
        ...snapshot.hosts.flatMap((host) => (host.unreadable ?? []).map((what) => `${what} of host ${host.hostId}`)),
      );
      return {
        snapshot,
        hostNumbers: new Map(hostRows.map(({ host }) => [host.id, host.number])),
        changedAt,
        unreadable,
        unreadableRules: ruleRows.filter(({ id, rule }) => readRule(id, rule) === null).map(({ id }) => id),
      };
    },
  };
}

/** undefined: nothing was learned yet; null: it cannot be read, and nothing is known of it until it is fitted again. */
function readCalibration(body: string | undefined): Calibration | null | undefined {
  if (body === undefined) return undefined;
  try {
    return calibration.parse(JSON.parse(body));
  } catch {
    return null;
  }
}

function countOf(uuids: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const uuid of uuids) counts[uuid] = (counts[uuid] ?? 0) + 1;
  return counts;
}

function changes(moved: readonly Moved[]): Map<string, number> {
  const changedAt = new Map<string, number>();
  for (const { fromHostId, toHostId, endedAt } of moved)
    for (const hostId of [fromHostId, toHostId])
      changedAt.set(hostId, Math.max(changedAt.get(hostId) ?? 0, endedAt ?? 0));
  return changedAt;
}

type VmRow = { uuid: string; hostId: string | null; inventory: string };

function assemble(
  hostsRead: readonly ReadHost[],
  vmRows: readonly VmRow[],
  { now, changedAt }: { now: number; changedAt: ReadonlyMap<string, number> },
): SnapshotHost[] {
  const byHost = Map.groupBy(vmRows, ({ hostId }) => hostId);
  const told = hostsRead.map((host) => vmLoads(host.told, now));
  const byVm = new Map<string, { by: Map<string, VmLoad>; load: VmLoad }[]>();
  for (const by of told)
    for (const [uuid, load] of by) {
      const all = byVm.get(uuid);
      if (all === undefined) byVm.set(uuid, [{ by, load }]);
      else all.push({ by, load });
    }
  return hostsRead.map((host, place): SnapshotHost => {
    const own = told[place];
    const unreadable = [...host.unreadable];
    const placed = (byHost.get(host.facts.hostId) ?? []).flatMap(({ uuid, inventory }): SnapshotVm[] => {
      const vm = readVm(inventory);
      if (vm === null) unreadable.push(`VM ${uuid}`);
      if (vm === null) return [];
      const others = (byVm.get(uuid) ?? []).filter(({ by }) => by !== own).map(({ load }) => load);
      // A heartbeat is newer than the inventory.
      return [{ ...vm, state: host.states[uuid] ?? vm.state, load: vmLoadOver(own?.get(uuid), others) }];
    });
    const { heardAt, ...facts } = host.facts;
    const isSettled = now - (changedAt.get(facts.hostId) ?? 0) > SETTLE_MS;
    if (unreadable.length > 0) return { ...facts, load: {}, unreadable, vms: placed };
    return {
      ...facts,
      ...(heardAt === undefined ? {} : { heardAt }),
      load: hostLoad(host.told, isSettled, now),
      vms: placed,
    };
  });
}
