// What the simulated world guarantees beyond the driver suite: it is page-level, honest about faults, and repeatable.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { OutgoingState } from "../../../scripts/agent/driver.ts";
import { createWorld, type SimulatedHypervisor } from "../../../scripts/agent/simulated/world.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import type { MigrationParameters } from "../../../worker/model/wire/command.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import { msBetween } from "../known.ts";
import { hostNamed, specOf, uuidOf, virtualClock, worldOf, type VmSketch } from "./worlds.ts";

const MECHANISMS: Mechanism[] = ["pre-copy", "post-copy", "hybrid", "stop-and-copy"];

type Run = { mechanism?: Mechanism; parameters?: Partial<MigrationParameters>; seed?: number; lookEveryMs?: number };
type Completed = Extract<OutgoingState, { state: "completed" }>;

async function start(world: SimulatedHypervisor, sketch: VmSketch, run: Run, to = "b"): Promise<void> {
  const spec = specOf(sketch, run.mechanism, run.parameters, `m-${sketch.number ?? 1}-${to}`);
  const { migrationUri } = await world.host(to).prepareIncoming(spec);
  await world.host(sketch.hostId ?? "a").startOutgoing(spec, migrationUri);
}

async function finish(
  world: SimulatedHypervisor,
  uuid: string,
  lookEveryMs = 600_000,
  to = "b",
): Promise<Completed & { downtimeMs: number }> {
  let state = await world.host("a").observeOutgoing(uuid, "active", lookEveryMs);
  while (state.state === "active") state = await world.host("a").observeOutgoing(uuid, "active", lookEveryMs);
  expect(state.state).toBe("stopped");
  const { resumedAtMs } = await world.host(to).continueIncoming(uuid);
  const done = await world.host("a").observeOutgoing(uuid, "stopped", 600_000);
  if (done.state !== "completed") throw new Error(`ended ${done.state}`);
  return { ...done, downtimeMs: msBetween(done.stoppedAtMs, resumedAtMs) };
}

async function migrate(sketch: VmSketch, run: Run = {}) {
  const world = createWorld(worldOf([sketch], { seed: run.seed ?? 7 }), virtualClock());
  await start(world, sketch, run);
  const done = await finish(world, uuidOf(1), run.lookEveryMs);
  return { ...done, ...(await world.inspect(uuidOf(1))) };
}

describe("pages", () => {
  test.each(MECHANISMS)("%s: the destination ends with the newest content of every page", async (mechanism) => {
    const done = await migrate({ pagesPerSecond: 20_000, hotBytes: 16 * MIB, coldBytes: 64 * MIB }, { mechanism });
    expect(done.stalePages).toBe(0);
  });

  test("a guest that writes nothing is sent in one round, each page once", async () => {
    const { counters, pages } = await migrate({ pagesPerSecond: 0 });
    expect(counters.rounds).toBe(1);
    expect((counters.transferredPages ?? 0) + (counters.zeroPages ?? 0)).toBe(pages);
    expect(counters.transferredBytes).toBe((pages / 2) * (4096 + 8) + (pages / 2) * 9);
  });

  test("post-copy sends every page once, however busy the guest", async () => {
    const { counters, pages } = await migrate(
      { pagesPerSecond: 50_000, memoryBytes: 4 * GIB },
      { mechanism: "post-copy" },
    );
    expect((counters.transferredPages ?? 0) + (counters.zeroPages ?? 0)).toBe(pages);
    expect(counters.remoteFaults).toBeGreaterThan(0);
  });

  test("pre-copy holds max-bandwidth while the guest runs and lifts it for the switch-over", async () => {
    const sketch = { pagesPerSecond: 0, memoryBytes: 512 * MIB, nonzeroRatio: 1 };
    const { progress, counters, downtimeMs } = await migrate(sketch, {
      parameters: { maxBandwidthBytesPerSecond: 64 * MIB },
    });
    const seconds = progress.elapsedMs / 1000;
    expect((counters.transferredBytes ?? 0) / seconds).toBeGreaterThan(64 * MIB * 0.95);
    expect((counters.transferredBytes ?? 0) / seconds).toBeLessThan(64 * MIB * 1.1);
    // 300 ms at 64 MiB/s remain, and go at the speed of the line.
    expect(downtimeMs).toBeLessThan(100);
  });

  test("what is dirtied is what random page writes leave behind", async () => {
    const sketch = { pagesPerSecond: 5000, hotBytes: 64 * MIB, coldBytes: 0, hotShare: 1, memoryBytes: GIB };
    const world = createWorld(worldOf([sketch]), virtualClock());
    const curve = await world.host("a").dirtyCurve(uuidOf(1));
    expect(curve?.points.map(([windowMs]) => windowMs)).toEqual([500, 1000, 2000, 5000, 10_000]);
    const hot = 64 * MIB;
    for (const [windowMs, bytes] of curve?.points ?? []) {
      const expected = hot * (1 - Math.exp((-5000 * windowMs) / 1000 / (hot / 4096)));
      // Four standard deviations of a sample of that many pages, and the unrest of the guest itself.
      const tolerance = 4 / Math.sqrt(expected / (curve?.resolution_bytes ?? 1)) + 0.1;
      expect(Math.abs(bytes / expected - 1)).toBeLessThan(tolerance);
    }
  });

  test("a guest that dirties faster than the rate limit never gets there, unless auto-converge slows it down", async () => {
    const sketch = { pagesPerSecond: 60_000, hotBytes: 96 * MIB, coldBytes: 0, hotShare: 1 };
    const given = { maxBandwidthBytesPerSecond: 64 * MIB };
    const world = createWorld(worldOf([sketch]), virtualClock());
    await start(world, sketch, { parameters: given });
    expect((await world.host("a").observeOutgoing(uuidOf(1), "active", 12_000)).state).toBe("active");
    const { counters } = await migrate(sketch, { parameters: { ...given, autoConverge: true } });
    expect(counters.throttleRatioMax).toBeGreaterThan(0.5);
  });

  test("xbzrle and multifd with zstd send fewer bytes", async () => {
    const sketch = { pagesPerSecond: 12_000, hotBytes: 64 * MIB, coldBytes: 0, hotShare: 1 };
    const given = { maxBandwidthBytesPerSecond: 32 * MIB, downtimeLimitMs: 50 };
    const raw = await migrate(sketch, { parameters: { ...given, maxBandwidthBytesPerSecond: 64 * MIB } });
    const delta = await migrate(sketch, {
      parameters: { ...given, maxBandwidthBytesPerSecond: 64 * MIB, xbzrle: true },
    });
    expect(delta.counters.transferredBytes).toBeLessThan(raw.counters.transferredBytes ?? 0);
    const zstd = await migrate(sketch, { parameters: { multifdChannels: 2, compression: "zstd" } });
    expect(zstd.counters.transferredBytes).toBeLessThan(raw.counters.transferredBytes ?? 0);
  });
});

describe("time", () => {
  test("migrations that share a NIC share its rate", async () => {
    const unlimited = { maxBandwidthBytesPerSecond: 1e12 };
    const sketches = [1, 2, 3, 4].map((number) => ({ number, memoryBytes: GIB, nonzeroRatio: 1, pagesPerSecond: 0 }));
    const alone = createWorld(worldOf(sketches), virtualClock());
    await start(alone, sketches[0] ?? {}, { parameters: unlimited });
    const single = (await finish(alone, uuidOf(1))).progress.elapsedMs;
    const world = createWorld(worldOf(sketches), virtualClock());
    for (const sketch of sketches) await start(world, sketch, { parameters: unlimited });
    const all = await Promise.all(sketches.map(({ number }) => finish(world, uuidOf(number))));
    for (const { progress } of all) expect(progress.elapsedMs / single).toBeGreaterThan(3.2);
    for (const { progress } of all) expect(progress.elapsedMs / single).toBeLessThan(4.5);
  });

  test("the same seed gives the same migration, however often somebody looks", async () => {
    const sketch = { pagesPerSecond: 15_000, hotBytes: 32 * MIB };
    const { counters, stoppedAtMs } = await migrate(sketch);
    const watched = await migrate(sketch, { lookEveryMs: 3 });
    expect(watched.counters).toEqual(counters);
    expect(watched.stoppedAtMs).toBe(stoppedAtMs);
    expect((await migrate(sketch, { seed: 8 })).counters).not.toEqual(counters);
  });

  test("repeated runs scatter by a few percent and no more", async () => {
    const totals: number[] = [];
    for (let seed = 1; seed <= 8; seed++)
      totals.push((await migrate({ pagesPerSecond: 10_000, nonzeroRatio: 0.9 }, { seed })).progress.elapsedMs);
    const mean = totals.reduce((sum, total) => sum + total, 0) / totals.length;
    const sd = Math.sqrt(totals.reduce((sum, total) => sum + (total - mean) ** 2, 0) / totals.length);
    expect(sd / mean).toBeGreaterThan(0.0005);
    expect(sd / mean).toBeLessThan(0.1);
  });

  test("what the agents take to agree enters the blackout once, not timeScale times", async () => {
    const clock = virtualClock();
    const world = createWorld(worldOf([{}]), clock);
    await start(world, {}, {});
    await world.host("a").observeOutgoing(uuidOf(1), "active", 60_000);
    await clock.sleep(40);
    const { resumedAtMs } = await world.host("b").continueIncoming(uuidOf(1));
    const done = await world.host("a").observeOutgoing(uuidOf(1), "stopped", 60_000);
    const downtimeMs = msBetween(done.state === "completed" ? done.stoppedAtMs : null, resumedAtMs);
    expect(downtimeMs).toBeGreaterThan(40);
    expect(downtimeMs).toBeLessThan(150);
  });
});

describe("faults", () => {
  const slow = { parameters: { maxBandwidthBytesPerSecond: 4 * MIB } };

  test("pre-copy whose link is cut or whose destination dies fails, the VM running on its source", async () => {
    for (const kind of ["cut-link", "kill-incoming"] as const) {
      const world = createWorld(worldOf([{}]), virtualClock());
      await start(world, {}, slow);
      await world.fault(kind === "cut-link" ? { kind, hostIds: ["a", "b"] } : { kind, hostId: "b", uuid: uuidOf(1) });
      const state = await world.host("a").observeOutgoing(uuidOf(1), "active", 1000);
      expect(state).toMatchObject({ state: "failed", vmState: "running" });
      expect((await world.inspect(uuidOf(1))).runningOn).toEqual(["a"]);
      const incoming = (await world.host("b").observeIncoming(uuidOf(1))).state;
      expect(incoming).toBe(kind === "cut-link" ? "failed" : "gone");
    }
  });

  async function inPostCopy(): Promise<SimulatedHypervisor> {
    const sketch = { memoryBytes: 4 * GIB, nonzeroRatio: 1 };
    const world = createWorld(worldOf([sketch]), virtualClock());
    await start(world, sketch, { mechanism: "post-copy" });
    await world.host("a").observeOutgoing(uuidOf(1), "active", 10_000);
    await world.host("b").continueIncoming(uuidOf(1));
    return world;
  }

  test("post-copy whose link is cut pauses, runs nowhere, and goes on once it is recovered over a link that is back", async () => {
    const world = await inPostCopy();
    await world.fault({ kind: "cut-link", hostIds: ["a", "b"] });
    expect((await world.host("a").observeOutgoing(uuidOf(1), "stopped", 1000)).state).toBe("paused");
    expect((await world.host("b").vmStates())[uuidOf(1)]).toBe("postcopy-paused");
    expect((await world.inspect(uuidOf(1))).runningOn).toEqual([]);
    const { migrationUri } = await world.host("b").recoverIncoming(uuidOf(1));
    const recover = () => world.host("a").recoverOutgoing(uuidOf(1), migrationUri);
    await expect(recover()).rejects.toMatchObject({ reason: "no-route" });
    await world.fault({ kind: "restore-link", hostIds: ["a", "b"] });
    expect((await world.host("a").observeOutgoing(uuidOf(1), "stopped", 1000)).state).toBe("paused");
    await recover();
    expect((await world.host("b").vmStates())[uuidOf(1)]).toBe("running");
    expect((await world.host("a").observeOutgoing(uuidOf(1), "stopped", 60_000)).state).toBe("completed");
    expect(await world.inspect(uuidOf(1))).toMatchObject({ runningOn: ["b"], stalePages: 0 });
  });

  test("post-copy whose destination dies is lost: the source cannot take the VM back", async () => {
    const world = await inPostCopy();
    await world.fault({ kind: "kill-incoming", hostId: "b", uuid: uuidOf(1) });
    expect((await world.host("a").observeOutgoing(uuidOf(1), "stopped", 1000)).state).toBe("paused");
    await expect(world.host("a").continueSource(uuidOf(1))).rejects.toMatchObject({
      reason: "past-point-of-no-return",
    });
    expect((await world.inspect(uuidOf(1))).runningOn).toEqual([]);
  });

  test("a source is not continued while its destination's process lives", async () => {
    const world = createWorld(worldOf([{}]), virtualClock());
    await start(world, {}, {});
    await world.host("a").observeOutgoing(uuidOf(1), "active", 60_000);
    await expect(world.host("a").continueSource(uuidOf(1))).rejects.toMatchObject({ reason: "destination-alive" });
  });
});

describe("a VM never runs twice", () => {
  const HOSTS = ["a", "b", "c"];
  const anyHost = fc.constantFrom(...HOSTS);
  const anyStep = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant("move" as const),
        from: anyHost,
        to: anyHost,
        mechanism: fc.constantFrom(...MECHANISMS),
      }),
    },
    { weight: 6, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 400 }) }) },
    {
      weight: 8,
      arbitrary: fc.record({
        do: fc.constantFrom(
          ...(["continueIncoming", "abandonIncoming", "continueSource", "cancelOutgoing"] as const),
          ...(["releaseSource", "forceSwitchover", "startPostCopy"] as const),
        ),
        on: anyHost,
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constantFrom("cut-link" as const, "restore-link" as const),
        hosts: fc.tuple(anyHost, anyHost),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ do: fc.constantFrom("kill-incoming" as const, "pause-post-copy" as const), on: anyHost }),
    },
  );
  type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never;

  async function take(
    world: SimulatedHypervisor,
    clock: { sleep: (ms: number) => Promise<void> },
    step: Step,
    n: number,
  ): Promise<void> {
    const uuid = uuidOf(1);
    if ("ms" in step) return clock.sleep(step.ms);
    if ("hosts" in step) return world.fault({ kind: step.do, hostIds: step.hosts });
    if ("on" in step) {
      if (step.do === "kill-incoming" || step.do === "pause-post-copy")
        return world.fault({ kind: step.do, hostId: step.on, uuid });
      return void (await world.host(step.on)[step.do](uuid));
    }
    const spec = specOf({}, step.mechanism, {}, `m-${n}`);
    const { migrationUri } = await world.host(step.to).prepareIncoming(spec);
    await world.host(step.from).startOutgoing(spec, migrationUri);
  }

  test("in any interleaving of commands, faults and time", () =>
    fc.assert(
      fc.asyncProperty(fc.array(anyStep, { minLength: 5, maxLength: 60 }), async (steps) => {
        const clock = virtualClock();
        const world = createWorld({ ...worldOf([{}]), hosts: HOSTS.map((id) => hostNamed(id)) }, clock);
        for (const [n, step] of steps.entries()) {
          // Refusals are part of the game: what counts is what runs afterwards.
          await take(world, clock, step, n).catch(() => undefined);
          const { runningOn } = await world.inspect(uuidOf(1));
          expect(runningOn.length).toBeLessThanOrEqual(1);
          const states = await Promise.all(HOSTS.map(async (id) => (await world.host(id).vmStates())[uuidOf(1)]));
          expect(states.filter((state) => state === "running").length).toBe(runningOn.length);
        }
      }),
      { seed: 20_260_101, numRuns: 300 },
    ));
});

describe("telemetry", () => {
  test("a running VM shows its load, on one host at a time", async () => {
    const world = createWorld(worldOf([{}]), virtualClock());
    const before = await world.host("a").sample();
    expect(before.vms[uuidOf(1)]?.["memory_nonzero_bytes"]).toBeCloseTo(128 * MIB, -7);
    expect(before.vms[uuidOf(1)]?.["memory_dirty_bytes_per_second"]).toBeGreaterThan(0);
    expect(before.host["power_watts"]).toBeGreaterThan(80);
    await start(world, {}, {});
    await finish(world, uuidOf(1));
    await world.host("a").releaseSource(uuidOf(1));
    expect((await world.host("a").sample()).vms).toEqual({});
    expect(Object.keys((await world.host("b").sample()).vms)).toEqual([uuidOf(1)]);
  });

  test("a host with more work than cores shows pressure, and its guests steal", async () => {
    const vms = Array.from({ length: 8 }, (_, number) => ({ number }));
    const config = worldOf(vms, { hosts: [hostNamed("a", { cores: 2 })] });
    const world = createWorld(config, virtualClock());
    const { host, vms: figures } = await world.host("a").sample();
    expect(host["cpu_used_cores"]).toBe(2);
    expect(host["cpu_pressure_ratio"]).toBeGreaterThan(0);
    expect(figures[uuidOf(0)]?.["cpu_steal_ratio"]).toBeGreaterThan(0);
  });

  test("a world that cannot be is refused with the figure", () => {
    const config = worldOf([{ hotBytes: GIB }]);
    expect(() => createWorld(config, virtualClock())).toThrow(/vm-1 writes .* non-zero/);
    expect(() => createWorld(worldOf([{ hostId: "z" }]), virtualClock())).toThrow(/host z/);
  });
});
