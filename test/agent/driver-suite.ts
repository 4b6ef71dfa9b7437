// What every driver guarantees, real or simulated: the agent is written against this and nothing else.
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { MigrationParameters } from "../../worker/model/wire/command.ts";
import type { Mechanism } from "../../worker/model/wire/common.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { DriverError, type Driver, type MigrationSpec, type OutgoingState } from "../../scripts/agent/driver.ts";
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
  close: () => Promise<void>;
};

const MECHANISMS: Mechanism[] = ["pre-copy", "post-copy", "hybrid", "stop-and-copy"];
const TIMEOUT_MS = 60_000;

type Done = Extract<OutgoingState, { state: "completed" }> & { startedAtMs: number; resumedAtMs: number | null };

function scenario(fixture: () => DriverFixture) {
  let migrations = 0;
  const spec = (mechanism: Mechanism, slow = false, changes: Partial<MigrationParameters> = {}): MigrationSpec => {
    const { vm, parameters, slowBytesPerSecond } = fixture();
    const maxBandwidthBytesPerSecond = slow ? slowBytesPerSecond : parameters.maxBandwidthBytesPerSecond;
    return {
      migrationId: `suite-${++migrations}`,
      vm,
      mechanism,
      parameters: { ...parameters, maxBandwidthBytesPerSecond, ...changes },
    };
  };
  /** Hosts on which the VM runs: asked of the destination first, so that a switch in between is never counted twice. */
  const runningOn = async (): Promise<string[]> => {
    const { source, destination, vm } = fixture();
    const there = (await destination.vmStates())[vm.uuid];
    const here = (await source.vmStates())[vm.uuid];
    return [...(here === "running" ? ["source"] : []), ...(there === "running" ? ["destination"] : [])];
  };
  const begin = async (given: MigrationSpec): Promise<number> => {
    const { source, destination } = fixture();
    const { migrationUri } = await destination.prepareIncoming(given);
    return (await source.startOutgoing(given, migrationUri)).startedAtMs;
  };
  const untilStopped = async (): Promise<OutgoingState> => {
    const { source, vm } = fixture();
    for (let state: OutgoingState | null = null; ;) {
      const next: OutgoingState = await source.observeOutgoing(vm.uuid, state?.state ?? null, 1000);
      const running = await runningOn();
      expect(running.length).toBeLessThanOrEqual(1);
      if (source.handshake === "agents") expect(running).not.toContain("destination");
      if (next.state !== "active") return next;
      state = next;
    }
  };
  const whole = async (mechanism: Mechanism): Promise<Done> => {
    const { source, destination, vm } = fixture();
    const startedAtMs = await begin(spec(mechanism));
    expect((await untilStopped()).state).toBe("stopped");
    if (source.handshake === "agents") {
      expect(await runningOn()).toEqual([]);
      expect((await destination.observeIncoming(vm.uuid)).state).toBe("loaded");
    }
    const { resumedAtMs } = await destination.continueIncoming(vm.uuid);
    expect(await runningOn()).toEqual(["destination"]);
    for (;;) {
      const state = await source.observeOutgoing(vm.uuid, "stopped", 1000);
      expect(await runningOn()).toEqual(["destination"]);
      if (state.state === "completed") return { ...state, startedAtMs, resumedAtMs };
      expect(state.state).toBe("stopped");
    }
  };
  return { spec, runningOn, begin, untilStopped, whole };
}

/** `waitsToBeLoaded`: `continueIncoming` waits minutes for a VM that does not come before it refuses. */
export type SuiteOptions = { handshake?: Driver["handshake"]; waitsToBeLoaded?: boolean };

/** Registers the suite; `make` gives a fresh fixture to every test. */
export function runDriverSuite(
  name: string,
  make: () => Promise<DriverFixture>,
  { handshake = "agents", waitsToBeLoaded = false }: SuiteOptions = {},
): void {
  describe(`${name}`, { timeout: TIMEOUT_MS }, () => {
    const decidesItself = handshake === "hypervisor";
    let fixture: DriverFixture;
    beforeEach(async () => {
      fixture = await make();
    }, TIMEOUT_MS);
    afterEach(async () => {
      await fixture.close();
    }, TIMEOUT_MS);
    const { spec, runningOn, begin, untilStopped, whole } = scenario(() => fixture);

    test("tells of its host and of the VM that runs there", async () => {
      const inventory = await fixture.source.inventory();
      expect(inventory.driver.name).toBe(fixture.source.name);
      expect(inventory.memoryBytes).toBeGreaterThan(0);
      expect(inventory.vms.find((vm) => vm.uuid === fixture.vm.uuid)).toMatchObject({
        state: "running",
        memoryBytes: fixture.vm.memoryBytes,
      });
      expect((await fixture.source.vmStates())[fixture.vm.uuid]).toBe("running");
      expect((await fixture.destination.vmStates())[fixture.vm.uuid]).toBeUndefined();
    });

    test("samples figures that are finite and not negative", async () => {
      // A rate is the difference of two looks.
      await fixture.source.sample();
      const sample = await fixture.source.sample();
      expect(sample.host["cpu_used_cores"]).toBeGreaterThanOrEqual(0);
      expect(Object.keys(sample.vms)).toContain(fixture.vm.uuid);
      for (const figures of [sample.host, ...Object.values(sample.vms)])
        for (const value of Object.values(figures)) expect(Number.isFinite(value) && value >= 0).toBe(true);
    });

    test("measures dirty curves that rise with the window", async () => {
      const curve = await fixture.source.dirtyCurve(fixture.vm.uuid);
      const points = curve?.points ?? [];
      for (const [index, [windowMs, bytes]] of points.entries()) {
        expect(windowMs).toBeGreaterThan(points[index - 1]?.[0] ?? 0);
        expect(bytes).toBeGreaterThanOrEqual(points[index - 1]?.[1] ?? 0);
      }
      expect(points.at(-1)?.[1]).toBeGreaterThanOrEqual(fixture.dirtiedBytes.min);
      expect(points.at(-1)?.[1]).toBeLessThanOrEqual(fixture.dirtiedBytes.max);
    });

    test.each(MECHANISMS)(
      "%s: the VM runs on one side at any instant and ends at the destination, and its pages are counted",
      async (mechanism) => {
        const { source, destination, vm } = fixture;
        const done = await whole(mechanism);
        expect(
          done.postCopy || mechanism === "pre-copy" || mechanism === "stop-and-copy" || mechanism === "hybrid",
        ).toBe(true);
        expect(msBetween(done.startedAtMs, done.stoppedAtMs)).toBeGreaterThanOrEqual(0);
        expect(msBetween(done.stoppedAtMs, done.resumedAtMs)).toBeGreaterThanOrEqual(0);
        expect(done.completedAtMs - done.startedAtMs).toBeGreaterThan(0);
        const { transferredBytes = 0, transferredPages = 0, zeroPages = 0 } = done.counters;
        expect(transferredPages).toBeGreaterThan(0);
        expect(transferredBytes).toBeGreaterThanOrEqual(transferredPages * 4096);
        expect((transferredPages + zeroPages) * 4096).toBeGreaterThanOrEqual(vm.memoryBytes);
        await source.releaseSource(vm.uuid);
        expect((await source.vmStates())[vm.uuid]).toBeUndefined();
        expect((await destination.observeIncoming(vm.uuid)).state).toBe("running");
        expect(await runningOn()).toEqual(["destination"]);
      },
    );

    test.skipIf(waitsToBeLoaded)("a destination is not continued before its source has stopped for good", async () => {
      const { destination, vm } = fixture;
      const given = spec("pre-copy", true);
      await destination.prepareIncoming(given);
      await expect(destination.continueIncoming(vm.uuid)).rejects.toBeInstanceOf(DriverError);
      await destination.abandonIncoming(vm.uuid);
      await begin(given);
      await expect(destination.continueIncoming(vm.uuid)).rejects.toBeInstanceOf(DriverError);
      expect(await runningOn()).toEqual(["source"]);
    });

    test("what is prepared can be abandoned, also twice, what was cancelled goes on, and what runs is not ended", async () => {
      const { source, destination, vm } = fixture;
      await destination.prepareIncoming(spec("pre-copy"));
      expect((await destination.observeIncoming(vm.uuid)).state).toBe("listening");
      await destination.abandonIncoming(vm.uuid);
      await destination.abandonIncoming(vm.uuid);
      expect((await destination.observeIncoming(vm.uuid)).state).toBe("gone");
      await begin(spec("pre-copy", true));
      await source.cancelOutgoing(vm.uuid);
      expect((await source.observeOutgoing(vm.uuid, "active", 5000)).state).toBe("cancelled");
      expect(await runningOn()).toEqual(["source"]);
      await destination.abandonIncoming(vm.uuid);
      expect((await destination.observeIncoming(vm.uuid)).state).toBe("gone");
      await whole("pre-copy");
      await expect(destination.abandonIncoming(vm.uuid)).rejects.toBeInstanceOf(DriverError);
      expect((await source.observeOutgoing(vm.uuid, null, 0)).state).toMatch(/^(stopped|completed)$/);
    });

    test("while it runs its limits can be changed and its source is not released; looking changes nothing", async () => {
      const { source, destination, vm, parameters } = fixture;
      await begin(spec("pre-copy", true));
      await expect(source.releaseSource(vm.uuid)).rejects.toBeInstanceOf(DriverError);
      await source.setBandwidth(vm.uuid, parameters.maxBandwidthBytesPerSecond);
      await source.setDowntimeLimit(vm.uuid, 2000);
      expect((await untilStopped()).state).toBe("stopped");
      const look = async (): Promise<unknown[]> => [
        (await source.observeOutgoing(vm.uuid, null, 0)).state,
        (await destination.observeIncoming(vm.uuid)).state,
        (await source.vmStates())[vm.uuid],
        (await destination.vmStates())[vm.uuid],
      ];
      expect(await look()).toEqual(await look());
      expect((await source.vmStates())[vm.uuid] === undefined).toBe(decidesItself);
      await destination.continueIncoming(vm.uuid);
      expect(await runningOn()).toEqual(["destination"]);
    });

    test("preflight refuses what is too large with its numbers, and changes nothing", async () => {
      const { destination, vm } = fixture;
      const given = spec("pre-copy");
      expect(await destination.preflight(given)).toEqual({ ok: true });
      const huge = { ...given, vm: { ...given.vm, memoryBytes: fixture.tooMuchMemoryBytes } };
      const verdict = await destination.preflight(huge);
      expect(verdict.ok).toBe(false);
      expect(verdict.ok ? "" : verdict.reasons.join()).toMatch(/\d/);
      expect((await destination.observeIncoming(vm.uuid)).state).toBe("gone");
    });

    // A hypervisor's daemon always listens: there it is the agents' greeting that refuses a destination that is not prepared.
    test.skipIf(decidesItself)("where nobody listens, the migration is refused and the VM untouched", async () => {
      const { source, destination, vm } = fixture;
      const given = spec("pre-copy");
      const { migrationUri } = await destination.prepareIncoming(given);
      await destination.abandonIncoming(vm.uuid);
      await expect(source.startOutgoing(given, migrationUri)).rejects.toBeInstanceOf(DriverError);
      expect(await runningOn()).toEqual(["source"]);
    });

    // A hypervisor's protocol lets the VM run on by itself: its source is told of as failed, never as stopped.
    test.skipIf(decidesItself)("a destination that died before it ran gives the VM back to its source", async () => {
      const { source, destination, vm } = fixture;
      await begin(spec("pre-copy"));
      expect((await untilStopped()).state).toBe("stopped");
      await destination.abandonIncoming(vm.uuid);
      expect((await destination.observeIncoming(vm.uuid)).state).toBe("gone");
      await source.continueSource(vm.uuid);
      expect(await runningOn()).toEqual(["source"]);
    });

    test("post-copy past its start is neither cancelled nor taken back", async () => {
      const { source, destination, vm } = fixture;
      await begin(spec("post-copy"));
      expect(await untilStopped()).toMatchObject({ state: "stopped", postCopy: true });
      await expect(source.cancelOutgoing(vm.uuid)).rejects.toBeInstanceOf(DriverError);
      await expect(source.continueSource(vm.uuid)).rejects.toBeInstanceOf(DriverError);
      await destination.continueIncoming(vm.uuid);
      expect(await runningOn()).toEqual(["destination"]);
    });

    test("pre-copy can be turned into post-copy while it runs", async () => {
      const { source, destination, vm } = fixture;
      await begin(spec("pre-copy", true, { onDeadline: "post-copy" }));
      await source.startPostCopy(vm.uuid);
      expect(await untilStopped()).toMatchObject({ state: "stopped", postCopy: true });
      await destination.continueIncoming(vm.uuid);
      expect(await runningOn()).toEqual(["destination"]);
    });

    test("a forced switch-over stops the guest and then ends", async () => {
      const { source, vm, parameters } = fixture;
      await begin(spec("pre-copy", true));
      await source.forceSwitchover(vm.uuid);
      expect(await runningOn()).toEqual([]);
      await source.setBandwidth(vm.uuid, parameters.maxBandwidthBytesPerSecond);
      expect((await untilStopped()).state).toBe("stopped");
    });
  });
}
