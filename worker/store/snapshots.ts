// One consistent read of a cluster for the advisor.
import { and, eq, isNotNull } from "drizzle-orm";
import { z } from "zod";
import type { Snapshot, SnapshotHost, SnapshotVm } from "../model/cluster.ts";
import { NOTHING_KNOWN, type Latest, hostLoad, latestSchema, vmLoad } from "../model/telemetry/latest.ts";
import { hostFacts, vmInventory, vmState } from "../model/wire/inventory.ts";
import type { Db } from "./db.ts";
import { hosts, hostState, migrations, reservations, vms } from "./schema.ts";

const statesByVm = z.record(z.string(), vmState);

type HostRow = {
  host: typeof hosts.$inferSelect;
  heardAt: number | null;
  vmStates: string | null;
  latest: string | null;
};

export function snapshotStore(db: Db) {
  return {
    /** The hosts, VMs, loads and reservations of a cluster as they are at `now`. A batch of D1 is one transaction. */
    read: async (cluster: string, now: number): Promise<Snapshot> => {
      const [hostRows, vmRows, reserved] = await db.batch([
        db
          .select({ host: hosts, heardAt: hostState.heardAt, vmStates: hostState.vmStates, latest: hostState.latest })
          .from(hosts)
          .leftJoin(hostState, eq(hostState.hostNumber, hosts.number))
          .where(eq(hosts.cluster, cluster))
          .orderBy(hosts.id),
        db
          .select()
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
      ]);
      const lastMovedAt = Object.fromEntries(
        vmRows.flatMap((row) => (row.lastMovedAt === null ? [] : [[row.uuid, row.lastMovedAt]])),
      );
      return {
        cluster,
        at: now,
        hosts: hostRows.map((row) =>
          toSnapshotHost(
            row,
            vmRows.filter((vm) => vm.hostId === row.host.id),
          ),
        ),
        reservations: reserved,
        lastMovedAt,
      };
    },
  };
}

function toSnapshotHost(
  { host, heardAt, vmStates, latest }: HostRow,
  vmRows: (typeof vms.$inferSelect)[],
): SnapshotHost {
  const { sequence: _, bootId: __, ...facts } = hostFacts.parse(JSON.parse(host.inventory));
  const known: Latest = latest === null ? NOTHING_KNOWN : latestSchema.parse(JSON.parse(latest));
  const states = vmStates === null ? {} : statesByVm.parse(JSON.parse(vmStates));
  return {
    ...facts,
    hostId: host.id,
    ...(heardAt === null ? {} : { heardAt }),
    load: hostLoad(known),
    vms: vmRows.map((row): SnapshotVm => {
      const vm = vmInventory.parse(JSON.parse(row.inventory));
      // A heartbeat is newer than the inventory.
      return { ...vm, state: states[vm.uuid] ?? vm.state, load: vmLoad(known, vm.uuid) };
    }),
  };
}
