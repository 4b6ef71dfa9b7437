// Worlds for tests, and a clock that runs as fast as the tests can.
import type { MigrationParameters } from "../../../worker/model/wire/command.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import type { MigrationSpec } from "../../../scripts/agent/driver.ts";
import type { SimulatedHost, SimulatedVm, WallClock, WorldConfig } from "../../../scripts/agent/simulated/config.ts";

/** Stands still until everybody waits, then goes on to the next who is due. */
export function virtualClock(): WallClock {
  let now = 1_800_000_000_000;
  const sleepers: { at: number; wake: () => void }[] = [];
  let isScheduled = false;
  const schedule = (): void => {
    if (isScheduled || sleepers.length === 0) return;
    isScheduled = true;
    setImmediate(() => {
      isScheduled = false;
      sleepers.sort((a, b) => a.at - b.at);
      const next = sleepers.shift();
      if (next === undefined) return;
      now = Math.max(now, next.at);
      next.wake();
      schedule();
    });
  };
  return {
    now: () => now,
    sleep: (ms) =>
      new Promise((resolve) => {
        sleepers.push({ at: now + ms, wake: resolve });
        schedule();
      }),
  };
}

export const uuidOf = (number: number): string => `00000000-0000-4000-8000-${String(number).padStart(12, "0")}`;

export const parameters = (given: Partial<MigrationParameters> = {}): MigrationParameters => ({
  maxBandwidthBytesPerSecond: 128 * MIB,
  downtimeLimitMs: 300,
  autoConverge: false,
  xbzrle: false,
  multifdChannels: 0,
  compression: "none",
  postCopyPreempt: false,
  preCopyRounds: 1,
  postCopyAfterMs: null,
  deadlineMs: 600_000,
  onDeadline: "cancel",
  ...given,
});

export const hostNamed = (id: string, given: Partial<SimulatedHost> = {}): SimulatedHost => ({
  id,
  cores: 16,
  memoryBytes: 64 * GIB,
  linkBytesPerSecond: 1.177e9,
  machineTypes: ["pc-q35-9.2"],
  power: { idleWatts: 90, peakWatts: 300 },
  ...given,
});

export type VmSketch = {
  number?: number;
  hostId?: string;
  memoryBytes?: number;
  nonzeroRatio?: number;
  pagesPerSecond?: number;
  hotBytes?: number;
  coldBytes?: number;
  hotShare?: number;
};

/** A small guest: 256 MiB, half of it used, writing 500 pages a second. */
export function vmOf(sketch: VmSketch = {}): SimulatedVm {
  const { number = 1, hostId = "a", memoryBytes = 256 * MIB, nonzeroRatio = 0.5 } = sketch;
  const { pagesPerSecond = 500, hotBytes = 8 * MIB, coldBytes = 32 * MIB, hotShare = 0.8 } = sketch;
  return {
    hostId,
    inventory: { uuid: uuidOf(number), name: `vm-${number}`, vcpus: 2, memoryBytes, machineType: "pc-q35-9.2" },
    nonzeroRatio,
    writes: { pagesPerSecond, hotBytes, coldBytes, hotShare },
    cpu: { meanCores: 0.5 },
  };
}

export const worldOf = (vms: VmSketch[], given: Partial<WorldConfig> = {}): WorldConfig => ({
  seed: 7,
  timeScale: 10,
  hosts: ["a", "b", "c"].map((id) => hostNamed(id)),
  vms: vms.map(vmOf),
  ...given,
});

export const specOf = (
  sketch: VmSketch,
  mechanism: Mechanism = "pre-copy",
  given: Partial<MigrationParameters> = {},
  migrationId = "m-1",
): MigrationSpec => ({
  migrationId,
  vm: { ...vmOf(sketch).inventory, state: "running" },
  mechanism,
  parameters: parameters(given),
});
