// Hosts, their VMs and where VMs were seen.
import { and, asc, eq, inArray, isNull, ne, sql } from "drizzle-orm";
import type { Maintenance } from "../model/cluster.ts";
import { type HostFacts, type VmInventory, vmState, hostFacts, vmInventory } from "../model/wire/inventory.ts";
import { z } from "zod";
import type { StoredMaintenance } from "../model/maintenance.ts";
import type { AuditEntry } from "../model/principal.ts";
import { restartTimes } from "../model/restarts.ts";
import type { EventDraft } from "../model/webhooks/events.ts";
import { auditRow } from "./audit.ts";
import type { Db } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { audit, hosts, hostState, placements, vms } from "./schema.ts";

export type HostRecord = {
  number: number;
  hostId: string;
  cluster: string;
  inventory: HostFacts;
  agentUrl: string | null;
  heardAt: number | null;
  /** Times at which it came with another boot id, ms since 1970. */
  restarts: number[];
} & StoredMaintenance;
export type VmRecord = {
  cluster: string;
  uuid: string;
  hostId: string | null;
  state: string;
  inventory: VmInventory;
  lastMovedAt: number | null;
  updatedAt: number;
};

const statesByVm = z.record(z.string(), vmState);

const toHost = (row: typeof hosts.$inferSelect, heardAt: number | null): HostRecord => ({
  number: row.number,
  hostId: row.id,
  cluster: row.cluster,
  inventory: hostFacts.parse(JSON.parse(row.inventory)),
  agentUrl: row.agentUrl,
  heardAt,
  restarts: row.restarts === null ? [] : restartTimes.parse(JSON.parse(row.restarts)),
  maintenanceSince: row.maintenanceSince,
  maintenanceUntil: row.maintenanceUntil,
  maintenanceReason: row.maintenanceReason,
});

const toVm = (row: typeof vms.$inferSelect): VmRecord => ({
  cluster: row.cluster,
  uuid: row.uuid,
  hostId: row.hostId,
  state: row.state,
  inventory: vmInventory.parse(JSON.parse(row.inventory)),
  lastMovedAt: row.lastMovedAt,
  updatedAt: row.updatedAt,
});

const committedBytes = (vm: VmInventory): number => vm.memoryBytes + (vm.overheadBytes ?? 0);

export function hostStore(db: Db, wake: Wake) {
  return {
    byId: async (hostId: string): Promise<HostRecord | null> => {
      const row = await db
        .select({ host: hosts, heardAt: hostState.heardAt })
        .from(hosts)
        .leftJoin(hostState, eq(hostState.hostNumber, hosts.number))
        .where(eq(hosts.id, hostId))
        .get();
      return row ? toHost(row.host, row.heardAt) : null;
    },

    /** How many hosts there are, and how many of them were heard after `since`. */
    counts: async (since: number): Promise<{ known: number; fresh: number }> => {
      const [row] = await db
        .select({
          known: sql<number>`count(*)`,
          fresh: sql<number>`coalesce(sum(${hostState.heardAt} > ${since}), 0)`,
        })
        .from(hosts)
        .leftJoin(hostState, eq(hostState.hostNumber, hosts.number));
      return row ?? { known: 0, fresh: 0 };
    },

    list: async (cluster: string | null, after: string | null, limit: number): Promise<HostRecord[]> => {
      const rows = await db
        .select({ host: hosts, heardAt: hostState.heardAt })
        .from(hosts)
        .leftJoin(hostState, eq(hostState.hostNumber, hosts.number))
        .where(
          and(
            cluster === null ? undefined : eq(hosts.cluster, cluster),
            after === null ? undefined : sql`${hosts.id} > ${after}`,
          ),
        )
        .orderBy(asc(hosts.id))
        .limit(limit);
      return rows.map((row) => toHost(row.host, row.heardAt));
    },

    vms: async (filter: {
      cluster: string | null;
      hostId: string | null;
      uuid: string | null;
      after: string | null;
      limit: number;
    }): Promise<VmRecord[]> => {
      const rows = await db
        .select()
        .from(vms)
        .where(
          and(
            filter.cluster === null ? undefined : eq(vms.cluster, filter.cluster),
            filter.hostId === null ? undefined : eq(vms.hostId, filter.hostId),
            filter.uuid === null ? undefined : eq(vms.uuid, filter.uuid),
            filter.after === null ? undefined : sql`(${vms.cluster} || '/' || ${vms.uuid}) > ${filter.after}`,
          ),
        )
        .orderBy(asc(vms.cluster), asc(vms.uuid))
        .limit(filter.limit);
      return rows.map(toVm);
    },

    /** The VMs of `cluster` among `uuids` (at most 90 are asked at a time, D1 binds 100). */
    vmsByUuid: async (cluster: string, uuids: string[]): Promise<VmRecord[]> => {
      const found: VmRecord[] = [];
      for (let start = 0; start < uuids.length; start += 90) {
        const part = uuids.slice(start, start + 90);
        const rows = await db
          .select()
          .from(vms)
          .where(and(eq(vms.cluster, cluster), inArray(vms.uuid, part)));
        found.push(...rows.map(toVm));
      }
      return found;
    },

    /** Registers a host for the first time. Fails with a unique violation when another request was quicker. */
    insert: async (hostId: string, inventory: HostFacts, agentUrl: string | null, now: number, entry: AuditEntry) => {
      await db.batch([
        db.insert(hosts).values({
          id: hostId,
          cluster: inventory.cluster,
          sequence: inventory.sequence,
          bootId: inventory.bootId,
          memoryBytes: inventory.memoryBytes,
          inventory: JSON.stringify(inventory),
          agentUrl,
          createdAt: now,
          updatedAt: now,
        }),
        db.insert(audit).values(auditRow(entry, now)),
      ]);
    },

    /**
     * Replaces a host's facts if its sequence still is what was read; `restarts` null: as they are. False: another inventory was
     * quicker.
     */
    update: async (
      hostId: string,
      { inventory, restarts }: { inventory: HostFacts; restarts: readonly number[] | null },
      known: { bootId: string; sequence: number },
      now: number,
    ): Promise<boolean> => {
      const changed = await db
        .update(hosts)
        .set({
          sequence: inventory.sequence,
          bootId: inventory.bootId,
          memoryBytes: inventory.memoryBytes,
          inventory: JSON.stringify(inventory),
          ...(restarts === null ? {} : { restarts: JSON.stringify(restarts) }),
          updatedAt: now,
        })
        .where(and(eq(hosts.id, hostId), eq(hosts.bootId, known.bootId), eq(hosts.sequence, known.sequence)))
        .returning({ number: hosts.number });
      return changed.length > 0;
    },

    setAgentUrl: async (hostId: string, agentUrl: string | null, now: number, entry: AuditEntry) => {
      await db.batch([
        db.update(hosts).set({ agentUrl, updatedAt: now }).where(eq(hosts.id, hostId)),
        db.insert(audit).values(auditRow(entry, now)),
      ]);
    },

    /** null: ends it. */
    setMaintenance: async (
      hostId: string,
      maintenance: Maintenance | null,
      now: number,
      { entry, event }: { entry: AuditEntry; event: EventDraft },
    ) => {
      const { since = null, until = null, reason = null } = maintenance ?? {};
      await db.batch([
        db
          .update(hosts)
          .set({ maintenanceSince: since, maintenanceUntil: until, maintenanceReason: reason, updatedAt: now })
          .where(eq(hosts.id, hostId)),
        db.insert(audit).values(auditRow(entry, now)),
        ...eventStatements(db, [event], now),
      ]);
      wake();
    },

    /** Writes VMs that are new or changed, moves their placements, and lets go of those that are gone from the host. */
    writeVms: (
      cluster: string,
      hostId: string,
      change: { seen: VmInventory[]; placed: VmInventory[]; gone: string[] },
      now: number,
    ) => writeVms(db, cluster, hostId, change, now),

    /** When the host was last heard and which VMs it said it has; null: never heard. */
    liveness: async (hostId: string) => {
      const row = await db
        .select({ heardAt: hostState.heardAt, vmStates: hostState.vmStates, vmStatesAt: hostState.vmStatesAt })
        .from(hosts)
        .innerJoin(hostState, eq(hostState.hostNumber, hosts.number))
        .where(eq(hosts.id, hostId))
        .get();
      if (!row) return null;
      return {
        heardAt: row.heardAt,
        vmStates: row.vmStates === null ? null : statesByVm.parse(JSON.parse(row.vmStates)),
        vmStatesAt: row.vmStatesAt,
      };
    },

    /** A heartbeat: one written row. */
    heard: async (hostNumber: number, vmStates: Record<string, string>, now: number) => {
      const states = JSON.stringify(vmStates);
      await db
        .insert(hostState)
        .values({ hostNumber, version: 1, heardAt: now, vmStates: states, vmStatesAt: now })
        .onConflictDoUpdate({
          target: hostState.hostNumber,
          // Not guarded: it says only what is true now and touches nothing that telemetry reads back.
          set: { heardAt: now, vmStates: states, vmStatesAt: now },
        });
    },
  };
}

async function writeVms(
  db: Db,
  cluster: string,
  hostId: string,
  change: { seen: VmInventory[]; placed: VmInventory[]; gone: string[] },
  now: number,
): Promise<void> {
  const row = (vm: VmInventory) => ({
    name: vm.name,
    state: vm.state,
    committedBytes: committedBytes(vm),
    inventory: JSON.stringify(vm),
    updatedAt: now,
  });
  const statements = [
    ...change.seen.map((vm) =>
      db
        .update(vms)
        .set(row(vm))
        .where(and(eq(vms.cluster, cluster), eq(vms.uuid, vm.uuid), eq(vms.hostId, hostId))),
    ),
    ...change.placed.flatMap((vm) => [
      db
        .insert(vms)
        .values({ cluster, uuid: vm.uuid, hostId, ...row(vm) })
        .onConflictDoUpdate({ target: [vms.cluster, vms.uuid], set: { hostId, ...row(vm) } }),
      ...placeStatements(db, cluster, vm.uuid, hostId, now),
    ]),
    ...change.gone.flatMap((uuid) => leaveStatements(db, cluster, uuid, hostId, now)),
  ];
  // A batch is bounded; an inventory of thousands of VMs is written in several, each complete in itself.
  for (let start = 0; start < statements.length; start += 200) {
    const [first, ...rest] = statements.slice(start, start + 200);
    if (first) await db.batch([first, ...rest]);
  }
}

const leaveStatements = (db: Db, cluster: string, uuid: string, hostId: string, now: number) => [
  db
    .update(vms)
    .set({ hostId: null, updatedAt: now })
    .where(and(eq(vms.cluster, cluster), eq(vms.uuid, uuid), eq(vms.hostId, hostId))),
  db
    .update(placements)
    .set({ toAt: now })
    .where(
      and(
        eq(placements.cluster, cluster),
        eq(placements.uuid, uuid),
        eq(placements.hostId, hostId),
        isNull(placements.toAt),
      ),
    ),
];

/** The statements that end a VM's placement elsewhere and begin one at `hostId`, unless it is there already. */
export function placeStatements(db: Db, cluster: string, uuid: string, hostId: string, now: number) {
  return [
    db
      .update(placements)
      .set({ toAt: now })
      .where(
        and(
          eq(placements.cluster, cluster),
          eq(placements.uuid, uuid),
          isNull(placements.toAt),
          ne(placements.hostId, hostId),
        ),
      ),
    db
      .insert(placements)
      .select(
        sql`SELECT ${cluster}, ${uuid}, ${now}, ${hostId}, NULL WHERE NOT EXISTS (
          SELECT 1 FROM placements WHERE cluster = ${cluster} AND uuid = ${uuid} AND host_id = ${hostId} AND to_at IS NULL)`,
      )
      .onConflictDoNothing(),
  ] as const;
}
