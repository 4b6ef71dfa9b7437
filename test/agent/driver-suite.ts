// What every driver guarantees, real or simulated: the agent is written against this and nothing else.
import { describe, expect, test, type TestContext } from "vitest";
import { DriverError, objectionsIn, type Driver } from "../../scripts/agent/driver.ts";
import { scenario, type DriverFixture } from "./driver-scene.ts";

const TIMEOUT_MS = 120_000;

/** A fixture and what is done with it. */
type Scene = DriverFixture & ReturnType<typeof scenario>;

/** A fresh fixture for a test; `slowPostCopy`: its resume phase takes long, until the bandwidth is set anew. */
export type MakeFixture = (wanted: { slowPostCopy: boolean }) => Promise<DriverFixture>;

/**
 * `waitsToBeLoaded`: `continueIncoming` waits minutes for a VM that does not come before it refuses.
 * `concurrent`: tests run beside each other, as many as there are fixtures to be had.
 */
export type SuiteOptions = {
  handshake?: Driver["handshake"];
  waitsToBeLoaded?: boolean;
  concurrent?: boolean;
};

/** Registers the suite. A migration costs real hypervisors seconds, so that one shows several guarantees on its way. */
export function runDriverSuite(
  name: string,
  make: MakeFixture,
  { handshake = "agents", waitsToBeLoaded = false, concurrent = false }: SuiteOptions = {},
): void {
  describe(`${name}`, { timeout: TIMEOUT_MS, concurrent }, () => {
    const decidesItself = handshake === "hypervisor";
    const on =
      (play: (scene: Scene) => Promise<void>, wanted = { slowPostCopy: false }) =>
      async ({ onTestFinished }: TestContext): Promise<void> => {
        const fixture = await make(wanted);
        onTestFinished(fixture.close, TIMEOUT_MS);
        await play({ ...fixture, ...scenario(fixture) });
      };

    test(
      "measures figures that are finite and not negative, and dirty curves that rise with the window",
      on(async ({ source, vm, dirtiedBytes }) => {
        // A rate is the difference of two looks.
        await source.sample();
        const curve = await dirtyCurveOf(source, vm.uuid);
        const points = curve?.points ?? [];
        const sample = await source.sample();
        expect(sample.host["cpu_used_cores"]).toBeGreaterThanOrEqual(0);
        expect(Object.keys(sample.vms)).toContain(vm.uuid);
        for (const figures of [sample.host, ...Object.values(sample.vms)])
          for (const value of Object.values(figures)) expect(Number.isFinite(value) && value >= 0).toBe(true);
        for (const [index, [windowMs, bytes]] of points.entries()) {
          expect(windowMs).toBeGreaterThan(points[index - 1]?.[0] ?? 0);
          expect(bytes).toBeGreaterThanOrEqual(points[index - 1]?.[1] ?? 0);
        }
        expect(points.at(-1)?.[1]).toBeGreaterThanOrEqual(dirtiedBytes.min);
        expect(points.at(-1)?.[1]).toBeLessThanOrEqual(dirtiedBytes.max);
      }),
    );

    test(
      "pre-copy: prepared and abandoned, begun and cancelled, it goes on where it was, and then arrives; what runs is not ended",
      on(async ({ source, destination, vm, ...scene }) => {
        const { spec, begin, untilStopped, arrive, settle, runningOn } = scene;
        const isNotContinued = async (): Promise<boolean> =>
          waitsToBeLoaded ||
          (await destination.continueIncoming(vm.uuid).then(
            () => false,
            (error: unknown) => error instanceof DriverError,
          ));
        await destination.prepareIncoming(spec("pre-copy"));
        expect((await destination.observeIncoming(vm.uuid)).state).toBe("listening");
        expect(await isNotContinued()).toBe(true);
        await destination.abandonIncoming(vm.uuid);
        await destination.abandonIncoming(vm.uuid);
        expect((await destination.observeIncoming(vm.uuid)).state).toBe("gone");
        await begin(spec("pre-copy", { isSlow: true }));
        expect(await isNotContinued()).toBe(true);
        await expect(source.releaseSource(vm.uuid)).rejects.toBeInstanceOf(DriverError);
        await source.cancelOutgoing(vm.uuid);
        expect((await source.observeOutgoing(vm.uuid, "active", 5000)).state).toBe("cancelled");
        expect(await runningOn()).toEqual(["source"]);
        await destination.abandonIncoming(vm.uuid);
        expect((await destination.observeIncoming(vm.uuid)).state).toBe("gone");
        const startedAtMs = await begin(spec("pre-copy"));
        expect((await untilStopped()).state).toBe("stopped");
        await settle(startedAtMs, await arrive());
        expect(["sent", "by-hypervisor"]).toContain(await destination.announce(vm.uuid));
        await expect(destination.abandonIncoming(vm.uuid)).rejects.toBeInstanceOf(DriverError);
      }),
    );

    test(
      "pre-copy: preflight refuses what is too large, limits can be changed on the way, and a forced switch-over ends it",
      on(async ({ source, destination, vm, parameters, tooMuchMemoryBytes, ...scene }) => {
        const { spec, begin, untilStopped, arrive, runningOn } = scene;
        const inventory = await source.inventory();
        expect(inventory.driver.name).toBe(source.name);
        expect(inventory.memoryBytes).toBeGreaterThan(0);
        const { uuid, memoryBytes } = vm;
        expect(inventory.vms.find((each) => each.uuid === uuid)).toMatchObject({ state: "running", memoryBytes });
        const given = spec("pre-copy", { isSlow: true });
        expect(objectionsIn(await destination.preflight(given))).toEqual([]);
        const looks = await destination.preflight({ ...given, vm: { ...vm, memoryBytes: tooMuchMemoryBytes } });
        expect(objectionsIn(looks).join()).toMatch(/\d/);
        expect((await destination.observeIncoming(uuid)).state).toBe("gone");
        await begin(given);
        await source.setDowntimeLimit(uuid, 1000);
        await source.forceSwitchover(uuid);
        expect(await runningOn()).toEqual([]);
        await source.setBandwidth(uuid, parameters.maxBandwidthBytesPerSecond);
        expect((await untilStopped()).state).toBe("stopped");
        const look = async (): Promise<unknown[]> => [
          (await source.observeOutgoing(uuid, null, 0)).state,
          (await destination.observeIncoming(uuid)).state,
          (await source.vmStates())[uuid],
          (await destination.vmStates())[uuid],
        ];
        expect(await look()).toEqual(await look());
        expect((await source.vmStates())[uuid] === undefined).toBe(decidesItself);
        await arrive();
      }),
    );

    // A hypervisor's daemon always listens, and its protocol lets the VM run on by itself where its destination dies.
    test.skipIf(decidesItself)(
      "pre-copy: refused where nobody listens, and given back to its source by a destination that died before it ran",
      on(async ({ source, destination, vm, spec, begin, untilStopped, runningOn }) => {
        const given = spec("pre-copy");
        const { migrationUri } = await destination.prepareIncoming(given);
        await destination.abandonIncoming(vm.uuid);
        await expect(source.startOutgoing(given, migrationUri)).rejects.toBeInstanceOf(DriverError);
        expect(await runningOn()).toEqual(["source"]);
        await begin(spec("pre-copy"));
        expect((await untilStopped()).state).toBe("stopped");
        await destination.abandonIncoming(vm.uuid);
        expect((await destination.observeIncoming(vm.uuid)).state).toBe("gone");
        await source.continueSource(vm.uuid);
        expect(await runningOn()).toEqual(["source"]);
      }),
    );

    describe.each(["stop-and-copy", "hybrid"] as const)("%s", { concurrent }, (mechanism) => {
      test(
        "the VM runs on one side at any instant and arrives, and its pages are counted",
        on(async ({ spec, begin, untilStopped, arrive, settle }) => {
          const startedAtMs = await begin(spec(mechanism));
          expect((await untilStopped()).state).toBe("stopped");
          await settle(startedAtMs, await arrive());
        }),
      );
    });

    test(
      "post-copy: past its start it is neither cancelled nor taken back, and it arrives",
      on(async ({ source, vm, spec, begin, untilStopped, arrive, settle }) => {
        const startedAtMs = await begin(spec("post-copy"));
        expect(await untilStopped()).toMatchObject({ state: "stopped", postCopy: true });
        await expect(source.cancelOutgoing(vm.uuid)).rejects.toBeInstanceOf(DriverError);
        await expect(source.continueSource(vm.uuid)).rejects.toBeInstanceOf(DriverError);
        const done = await arrive();
        expect(done.postCopy).toBe(true);
        await settle(startedAtMs, done);
      }),
    );

    test(
      "post-copy: pre-copy is turned into it on the way; without its link it is paused, can only be recovered, and goes on",
      on(
        async (scene) => {
          const { source, destination, vm, spec, begin, untilStopped, untilCompleted } = scene;
          const given = spec("pre-copy", { isSlow: true, onDeadline: "post-copy" });
          await begin(given);
          await expect(destination.recoverIncoming(vm.uuid)).rejects.toMatchObject({ reason: "not-paused" });
          await source.startPostCopy(vm.uuid);
          expect(await untilStopped()).toMatchObject({ state: "stopped", postCopy: true });
          await destination.continueIncoming(vm.uuid);
          if (scene.breakPostCopy !== undefined) await breakAndRecover(scene);
          expect((await untilCompleted()).postCopy).toBe(true);
        },
        { slowPostCopy: true },
      ),
    );
  });
}

/** There is none where a machine is too busy to measure it; then it is asked for again. */
async function dirtyCurveOf(source: Driver, uuid: string): ReturnType<Driver["dirtyCurve"]> {
  for (let attempt = 1; ; attempt++) {
    const curve = await source.dirtyCurve(uuid);
    if (curve !== null || attempt === 3) return curve;
  }
}

/** A destination may learn of the loss a while after its source, which asks again until then. */
async function listensAnew(destination: Driver, uuid: string): Promise<string> {
  for (const deadline = Date.now() + 30_000; ;) {
    try {
      return (await destination.recoverIncoming(uuid)).migrationUri;
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
  }
}

/** The VM runs at its destination, and part of its memory is at the source. */
async function breakAndRecover(scene: Scene): Promise<void> {
  const { source, destination, vm, parameters, runningOn } = scene;
  await scene.breakPostCopy?.();
  expect((await source.observeOutgoing(vm.uuid, "stopped", 20_000)).state).toBe("paused");
  const migrationUri = await listensAnew(destination, vm.uuid);
  expect((await destination.vmStates())[vm.uuid]).toBe("postcopy-paused");
  expect(await runningOn()).toEqual([]);
  const { cancelOutgoing, continueSource, releaseSource } = source;
  for (const refused of [cancelOutgoing, continueSource, releaseSource, destination.abandonIncoming])
    await expect(refused(vm.uuid)).rejects.toBeInstanceOf(DriverError);
  await source.recoverOutgoing(vm.uuid, migrationUri);
  expect((await source.observeOutgoing(vm.uuid, null, 0)).state).toMatch(/^(stopped|completed)$/);
  await source.setBandwidth(vm.uuid, parameters.maxBandwidthBytesPerSecond);
  await expect(source.recoverOutgoing(vm.uuid, migrationUri)).rejects.toMatchObject({ reason: "not-paused" });
}
