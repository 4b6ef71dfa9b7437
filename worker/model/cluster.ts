// A cluster as the advisor sees it: one consistent read, plain data. A figure that is not known is absent, never 0.
import type { HostInventory, VmInventory } from "./wire/inventory.ts";
import type { Calibration } from "./calibration/types.ts";
import type { DirtyPoint } from "./migration/types.ts";

/** What telemetry says of a VM: moving averages where there are some, else latest values. */
export type VmLoad = {
  cpuUsedCores?: number;
  memoryUsedBytes?: number;
  memoryNonzeroBytes?: number;
  memoryDirtyBytesPerSecond?: number;
  memoryWorkingSetBytes?: number;
  networkBytesPerSecond?: number;
  dirtyCurve?: { at: number; points: DirtyPoint[] };
  /** When the newest of these figures was taken. */
  at?: number;
};

export type HostLoad = {
  cpuUsedCores?: number;
  memoryUsedBytes?: number;
  networkReceiveBytesPerSecond?: number;
  networkTransmitBytesPerSecond?: number;
  at?: number;
};

export type SnapshotVm = VmInventory & { load: VmLoad };

export type SnapshotHost = Omit<HostInventory, "vms" | "sequence" | "bootId" | "agentUrl"> & {
  hostId: string;
  /** When the host was last heard, ms since 1970. */
  heardAt?: number;
  load: HostLoad;
  vms: SnapshotVm[];
};

/** Room at a destination that running migrations have been promised. */
export type Reservation = {
  migrationId: string;
  vmUuid: string;
  fromHostId: string;
  toHostId: string;
  memoryBytes: number;
  cpuCores: number;
};

export type Snapshot = {
  cluster: string;
  /** When it was read, ms since 1970. */
  at: number;
  hosts: SnapshotHost[];
  reservations: Reservation[];
  /** VMs that were moved not long ago: uuid → when their last migration ended, ms since 1970. */
  lastMovedAt: Record<string, number>;
  /** What the cluster's outcomes have taught; absent: nothing yet. */
  calibration?: Calibration;
};
