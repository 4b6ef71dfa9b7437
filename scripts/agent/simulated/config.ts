// What a simulated world is made of. Plain data, checked once when the world is created.
import type { HostInventory, VmInventory, VmState } from "../../../worker/model/wire/inventory.ts";
import { MIB } from "../../../worker/model/units.ts";

/** How a guest writes its memory: a hot and a cold set of pages inside its non-zero memory, in page writes (not distinct pages). */
export type WriteBehaviour = {
  pagesPerSecond: number;
  hotBytes: number;
  coldBytes: number;
  /** Share of the writes that go to the hot set; the rest goes evenly to the cold set. */
  hotShare: number;
  /** 1: even within the hot set; above: position = size · u^skew, so that its beginning is hotter. */
  skew?: number;
  /** Busy for `busyRatio` of every period, at `quietFactor` of the rate in the rest. */
  phases?: { periodMs: number; busyRatio: number; quietFactor: number };
};

export type CpuBehaviour = {
  meanCores: number;
  /** Standard deviation of the 5 s noise as a share of the mean; 0.08 unless told. */
  noiseRatio?: number;
  /** Amplitude of the slow drift (a day that lasts `driftPeriodMs`) as a share of the mean; 0.1 unless told. */
  driftRatio?: number;
  driftPeriodMs?: number;
};

export type SimulatedVm = {
  hostId: string;
  inventory: Omit<VmInventory, "state">;
  /** `running` unless told. */
  state?: Extract<VmState, "running" | "paused">;
  /** Share of the memory that is not zero. */
  nonzeroRatio: number;
  writes: WriteBehaviour;
  cpu: CpuBehaviour;
  networkBytesPerSecond?: number;
  /** raw / encoded for zstd; 2 unless told. */
  compressionRatio?: number;
  /** Share of re-sent pages that xbzrle finds in its cache; 0.5 unless told. */
  deltaHitRatio?: number;
};

export type SimulatedHost = {
  id: string;
  cores: number;
  memoryBytes: number;
  /** Payload rate of the migration NIC in each direction. */
  linkBytesPerSecond: number;
  /** 0.2 unless told. */
  rttMs?: number;
  power?: { idleWatts: number; peakWatts: number };
} & Partial<
  Pick<
    HostInventory,
    "machineTypes" | "pools" | "networks" | "hugepagePools" | "rack" | "zone" | "labels" | "managedBy"
  >
>;

/** Wall time: read it and wait on it. Tests bring their own, so that nothing ever sleeps there. */
export type WallClock = { now: () => number; sleep: (ms: number) => Promise<void> };

export const systemClock: WallClock = {
  // Finer than Date.now(): at `timeScale` 10 a millisecond of wall time is ten simulated ones.
  now: () => performance.timeOrigin + performance.now(),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
};

export type WorldConfig = {
  seed: number;
  /** Simulated seconds per second of wall time. */
  timeScale: number;
  hosts: SimulatedHost[];
  vms: SimulatedVm[];
};

/** Pages are simulated in blocks of this size, as guests' allocators lay them out. */
export const BLOCK_BYTES = 262_144;
/** What the hypervisor process of a VM needs beside the guest's memory, unless its inventory says otherwise. */
export const OVERHEAD_BYTES = 64 * MIB;
/** What the host system itself occupies. */
export const HOST_SYSTEM_BYTES = 2048 * MIB;

function vmProblem(vm: SimulatedVm, hostIds: Set<string>): string | null {
  const nonzeroBytes = vm.inventory.memoryBytes * vm.nonzeroRatio;
  if (!hostIds.has(vm.hostId)) return `is on host ${vm.hostId}, which the world does not have`;
  if (vm.inventory.memoryBytes % MIB !== 0) return "must have a multiple of 1 MiB of memory";
  if (vm.nonzeroRatio <= 0 || vm.nonzeroRatio > 1) return "must have a nonzeroRatio above 0 and at most 1";
  if (vm.writes.hotShare < 0 || vm.writes.hotShare > 1) return "must have a hotShare from 0 to 1";
  if (vm.writes.hotBytes + vm.writes.coldBytes > nonzeroBytes)
    return `writes ${vm.writes.hotBytes + vm.writes.coldBytes} bytes but has only ${Math.round(nonzeroBytes)} non-zero ones`;
  if (vm.writes.pagesPerSecond < 0 || vm.writes.pagesPerSecond > 2_000_000)
    return "must write 0 to 2,000,000 pages per second";
  return null;
}

/** Throws an Error that names the host or VM whose figures cannot be. */
export function checkWorld(config: WorldConfig): void {
  if (!(config.timeScale > 0)) throw new Error("timeScale must be above 0");
  const hostIds = new Set(config.hosts.map((host) => host.id));
  if (hostIds.size !== config.hosts.length) throw new Error("two hosts of the world have the same id");
  const uuids = new Set(config.vms.map((vm) => vm.inventory.uuid));
  if (uuids.size !== config.vms.length) throw new Error("two VMs of the world have the same uuid");
  for (const vm of config.vms) {
    const problem = vmProblem(vm, hostIds);
    if (problem !== null) throw new Error(`VM ${vm.inventory.name} ${problem}`);
  }
}
