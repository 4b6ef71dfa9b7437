// A cluster as the advisor sees it: one consistent read, plain data. A figure that is not known is absent, never 0.
import type { HostInventory, VmInventory } from "./wire/inventory.ts";
import type { Calibration } from "./calibration/types.ts";
import type { DirtyPoint } from "./migration/types.ts";
import type { PlacementRule } from "./placement/rules.ts";

/** The newest samples of some series, evenly spaced, oldest first; null: a gap. The last one was taken at `at`. */
export type Recent = { at: number; stepMs: number; series: Record<string, (number | null)[]> };

/** What telemetry says of a VM: moving averages where there are some, else latest values. `P95`: over 24 h, else over 1 h. */
export type VmLoad = {
  cpuUsedCores?: number;
  memoryUsedBytes?: number;
  memoryNonzeroBytes?: number;
  memoryDirtyBytesPerSecond?: number;
  memoryWorkingSetBytes?: number;
  networkBytesPerSecond?: number;
  diskBytesPerSecond?: number;
  swapInBytesPerSecond?: number;
  cpuStealRatio?: number;
  /** Gray-box: what the service in the VM says of itself. */
  latencySeconds?: number;
  requestsPerSecond?: number;
  cpuUsedCoresP95?: number;
  memoryUsedBytesP95?: number;
  networkBytesPerSecondP95?: number;
  /** Bytes a second between this VM and others, by the other's uuid. */
  peerBytesPerSecond?: Record<string, number>;
  /** By metric of the catalogue. */
  recent?: Recent;
  dirtyCurve?: { at: number; points: DirtyPoint[] };
  /** When the newest of these figures was taken. */
  at?: number;
};

export type HostLoad = {
  cpuUsedCores?: number;
  memoryUsedBytes?: number;
  networkReceiveBytesPerSecond?: number;
  networkTransmitBytesPerSecond?: number;
  diskBytesPerSecond?: number;
  swapInBytesPerSecond?: number;
  cpuPressureRatio?: number;
  memoryPressureRatio?: number;
  powerWatts?: number;
  temperatureCelsius?: number;
  /** Memory errors: those that were put right, and those that were not. */
  eccCorrectedPerSecond?: number;
  eccUncorrectedPerSecond?: number;
  /** Share of the members of disk arrays that have failed. */
  diskFailedRatio?: number;
  cpuUsedCoresP95?: number;
  networkBytesPerSecondP95?: number;
  /** By metric of the catalogue. */
  recent?: Recent;
  at?: number;
};

/** That a host is to be emptied and gets nothing. `until` absent: until it is ended by hand. */
export type Maintenance = { since: number; until?: number; reason: string };

export type SnapshotVm = VmInventory & {
  load: VmLoad;
  /** Hosts that each report it as running, where more than one does and it is not being migrated: it stays where it is. */
  reportedBy?: string;
};

export type SnapshotHost = Omit<HostInventory, "vms" | "sequence" | "bootId" | "agentUrl"> & {
  hostId: string;
  /** When the host was last heard, ms since 1970. */
  heardAt?: number;
  load: HostLoad;
  maintenance?: Maintenance;
  /** How often it came with another boot id in the last 24 h: its agent was started anew, with the host or without. */
  restartsLastDay?: number;
  /** What is stored of it and cannot be read: it counts as never heard then. */
  unreadable?: string[];
  /** What cannot be true of what it reports, with numbers: it counts as unknown then. */
  contradicts?: string[];
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
  /** How often each was moved in the last 24 h, where it was; cooldown backs off by it. */
  movesLastDay?: Record<string, number>;
  /** Placement rules of the operators, in order of their ids. */
  rules?: PlacementRule[];
  /** What the cluster's outcomes have taught; absent: nothing yet. */
  calibration?: Calibration;
  /** The way from one host to another as agents have lately measured it, by `linkKey`; absent: nothing was measured. */
  links?: Record<string, SnapshotLink>;
};

/** What is free of a link for one connection, and what it does to datagrams; see `MeasuredLink`. */
export type SnapshotLink = { bytesPerSecond: number; rttMs: number; lossRatio?: number };

/** Ids of hosts hold no `>`. */
export const linkKey = (fromHostId: string, toHostId: string): string => `${fromHostId}>${toHostId}`;
