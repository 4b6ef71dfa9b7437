// What the driver suite plays on: two hosts and a VM, and what the agents do with them.
import { expect } from "vitest";
import type { Driver, MigrationSpec, OutgoingState } from "../../scripts/agent/driver.ts";
import type { MigrationParameters } from "../../worker/model/wire/command.ts";
import type { Mechanism } from "../../worker/model/wire/common.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { msBetween } from "./known.ts";

/** Two hosts, and one VM that runs on the first and converges in pre-copy. */
export type DriverFixture = {
  source: Driver;
  destination: Driver;
  vm: VmInventory;
  parameters: MigrationParameters;
  /** Slow enough for the VM to be on its way as long as a test wants, in bytes per second. */
  slowBytesPerSecond: number;
  /** What the VM may be found to dirty in the longest window, in bytes. */
  dirtiedBytes: { min: number; max: number };
  /** Memory that the destination has not, in bytes. */
  tooMuchMemoryBytes: number;
  /** Takes the link from a post-copy that is under way; absent where it is tested elsewhere. */
  breakPostCopy?: () => Promise<void>;
  close: () => Promise<void>;
};

type Completed = Extract<OutgoingState, { state: "completed" }>;
type Arrived = Completed & { resumedAtMs: number | null };

export function scenario(fixture: DriverFixture) {
  let migrations = 0;
  const spec = (
    mechanism: Mechanism,
    { isSlow = false, ...changes }: Partial<MigrationParameters> & { isSlow?: boolean } = {},
  ): MigrationSpec => {
    const { vm, parameters, slowBytesPerSecond } = fixture;
    const maxBandwidthBytesPerSecond = isSlow ? slowBytesPerSecond : parameters.maxBandwidthBytesPerSecond;
    return {
      migrationId: `suite-${++migrations}`,
      vm,
      mechanism,
      parameters: { ...parameters, maxBandwidthBytesPerSecond, ...changes },
    };
  };
  /** Hosts on which the VM runs: asked of the destination first, so that a switch in between is never counted twice. */
  const runningOn = async (): Promise<string[]> => {
    const { source, destination, vm } = fixture;
    const there = (await destination.vmStates())[vm.uuid];
    const here = (await source.vmStates())[vm.uuid];
    return [...(here === "running" ? ["source"] : []), ...(there === "running" ? ["destination"] : [])];
  };
  const begin = async (given: MigrationSpec): Promise<number> => {
    const { source, destination } = fixture;
    const { migrationUri } = await destination.prepareIncoming(given);
    return (await source.startOutgoing(given, migrationUri)).startedAtMs;
  };
  const untilStopped = async (): Promise<OutgoingState> => {
    const { source, vm } = fixture;
    for (let state: OutgoingState | null = null; ;) {
      const next: OutgoingState = await source.observeOutgoing(vm.uuid, state?.state ?? null, 1000);
      const running = await runningOn();
      expect(running.length).toBeLessThanOrEqual(1);
      if (source.handshake === "agents") expect(running).not.toContain("destination");
      if (next.state !== "active") return next;
      state = next;
    }
  };
  const untilCompleted = async (): Promise<Completed> => {
    const { source, vm } = fixture;
    for (;;) {
      const state = await source.observeOutgoing(vm.uuid, "stopped", 1000);
      expect(await runningOn()).toEqual(["destination"]);
      if (state.state === "completed") return state;
      expect(state.state).toBe("stopped");
    }
  };
  /** From a source that has stopped for good to one that is not needed any more. */
  const arrive = async (): Promise<Arrived> => {
    const { source, destination, vm } = fixture;
    if (source.handshake === "agents") {
      expect(await runningOn()).toEqual([]);
      expect((await destination.observeIncoming(vm.uuid)).state).toBe("loaded");
    }
    const { resumedAtMs } = await destination.continueIncoming(vm.uuid);
    return { ...(await untilCompleted()), resumedAtMs };
  };
  /** Nothing of it is left on its source, and what it took is told. */
  const settle = async (startedAtMs: number, done: Arrived): Promise<void> => {
    const { source, destination, vm } = fixture;
    expect(msBetween(startedAtMs, done.stoppedAtMs)).toBeGreaterThanOrEqual(0);
    expect(msBetween(done.stoppedAtMs, done.resumedAtMs)).toBeGreaterThanOrEqual(0);
    expect(done.completedAtMs - startedAtMs).toBeGreaterThan(0);
    const { transferredBytes = 0, transferredPages = 0, zeroPages = 0 } = done.counters;
    expect(transferredPages).toBeGreaterThan(0);
    expect(transferredBytes).toBeGreaterThanOrEqual(transferredPages * 4096);
    expect((transferredPages + zeroPages) * 4096).toBeGreaterThanOrEqual(vm.memoryBytes);
    await source.releaseSource(vm.uuid);
    expect((await source.vmStates())[vm.uuid]).toBeUndefined();
    expect((await destination.observeIncoming(vm.uuid)).state).toBe("running");
  };
  return { spec, runningOn, begin, untilStopped, untilCompleted, arrive, settle };
}
