// One consistent read of a cluster for the advisor.
import { and, eq, gt, isNotNull } from "drizzle-orm";
import { z } from "zod";
import { calibration } from "../model/calibration/types.ts";
import type { Snapshot, SnapshotHost, SnapshotVm, VmLoad } from "../model/cluster.ts";
import { hostLoad, type Known, NOTHING_KNOWN, vmLoadOver, vmLoads } from "../model/telemetry/known.ts";
import { MINUTE_MS } from "../model/units.ts";
import { hostFacts, vmInventory, vmState } from "../model/wire/inventory.ts";
import type { Db } from "./db.ts";
import { calibrations, hosts, hostState, migrations, reservations, vms } from "./schema.ts";
import { knownOf, type StateColumns, stateColumns } from "./telemetry.ts";

const statesByVm = z.record(z.string(), vmState);

/** Averages of a host count again this long after a VM has left it or come to it, ms: three half-lives of the average. */
const SETTLE_MS = 15 * MINUTE_MS;

type HostRow = {
  host: typeof hosts.$inferSelect;
  heardAt: number | null;
  vmStates: string | null;
} & StateColumns;

export function snapshotStore(db: Db) {
  return {
    /** The hosts, VMs, loads and reservations of a cluster as they are at `now`. A batch of D1 is one transaction. */
    read: async (cluster: string, now: number): Promise<Snapshot> => {
      const [hostRows, vmRows, reserved, moved, learned] = await db.batch([
        db
          .select({ host: hosts, heardAt: hostState.heardAt, vmStates: hostState.vmStates, ...stateColumns })
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
        db
          .select({ fromHostId: migrations.fromHostId, toHostId: migrations.toHostId })
          .from(migrations)
          .where(
            and(
              eq(migrations.cluster, cluster),
              eq(migrations.state, "completed"),
              gt(migrations.endedAt, now - SETTLE_MS),
            ),
          ),
        db.select({ body: calibrations.body }).from(calibrations).where(eq(calibrations.cluster, cluster)),
      ]);
      const unsettled = new Set(moved.flatMap(({ fromHostId, toHostId }) => [fromHostId, toHostId]));
      const known = new Map(hostRows.map((row) => [row.host.id, loadsOf(row)]));
      const lastMovedAt = Object.fromEntries(
        vmRows.flatMap((row) => (row.lastMovedAt === null ? [] : [[row.uuid, row.lastMovedAt]])),
      );
      return {
        cluster,
        at: now,
        hosts: hostRows.map((row) =>
          toSnapshotHost(row, {
            vmRows: vmRows.filter((vm) => vm.hostId === row.host.id),
            isSettled: !unsettled.has(row.host.id),
            known,
          }),
        ),
        reservations: reserved,
        lastMovedAt,
        ...(learned[0] ? { calibration: calibration.parse(JSON.parse(learned[0].body)) } : {}),
      };
    },
  };
}

type HostLoads = { known: Known; vms: (uuid: string) => VmLoad };

function loadsOf(row: HostRow): HostLoads {
  const known = knownOf(row);
  return { known, vms: vmLoads(known) };
}

function toSnapshotHost(
  row: HostRow,
  {
    vmRows,
    isSettled,
    known,
  }: { vmRows: (typeof vms.$inferSelect)[]; isSettled: boolean; known: Map<string, HostLoads> },
): SnapshotHost {
  const { host, heardAt, vmStates } = row;
  const { sequence: _, bootId: __, ...facts } = hostFacts.parse(JSON.parse(host.inventory));
  const states = vmStates === null ? {} : statesByVm.parse(JSON.parse(vmStates));
  const present = known.get(host.id);
  const others = [...known.values()].filter((loads) => loads !== present).map((loads) => loads.vms);
  return {
    ...facts,
    hostId: host.id,
    ...(heardAt === null ? {} : { heardAt }),
    load: hostLoad(present?.known ?? NOTHING_KNOWN, isSettled),
    vms: vmRows.map((vmRow): SnapshotVm => {
      const vm = vmInventory.parse(JSON.parse(vmRow.inventory));
      // A heartbeat is newer than the inventory.
      return {
        ...vm,
        state: states[vm.uuid] ?? vm.state,
        load: vmLoadOver(present?.vms ?? vmLoads(NOTHING_KNOWN), others, vm.uuid),
      };
    }),
  };
}
