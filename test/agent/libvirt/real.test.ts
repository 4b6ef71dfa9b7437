// The driver against two real libvirts and a real guest, which is moved from one to the other and back.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { MigrationSpec, OutgoingState } from "../../../scripts/agent/driver.ts";
import { compareBeats } from "../../../scripts/lab/serial.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import { prepareCommand } from "../builders.ts";
import { runDriverSuite } from "../driver-suite.ts";
import { msBetween } from "../known.ts";
import { startPair, whyNoPair, type Pair, type Stage } from "./pair.ts";

const WORK = { filledMib: 56, nonzeroRatio: 0.7, workingSetMib: 16, pagesPerSecond: 2000 };
const SLOW = MIB;
const parameters = { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 512 * MIB, deadlineMs: 60_000 };

const missing = whyNoPair();
if (missing !== null) console.warn(`real libvirt is not tested: ${missing}`);

let pair: Pair;
let stage: Stage;

describe.skipIf(missing !== null)("two real libvirts", { timeout: 120_000 }, () => {
  beforeAll(async () => {
    pair = await startPair({ memoryMib: 144, work: WORK });
  }, 180_000);
  afterAll(() => pair?.stop(), 60_000);

  runDriverSuite(
    "libvirt driver",
    async () => {
      const { source, destination, vm } = await pair.stage();
      return {
        source: source.driver,
        destination: destination.driver,
        vm,
        parameters,
        slowBytesPerSecond: SLOW,
        tooMuchMemoryBytes: 1024 * GIB,
        close: pair.quiet,
      };
    },
    "hypervisor",
  );

  describe("a guest that counts", () => {
    beforeEach(async () => {
      stage = await pair.stage();
    }, 120_000);
    afterEach(() => pair.quiet(), 60_000);

    const spec = (mechanism: Mechanism, changes: Partial<MigrationSpec["parameters"]> = {}): MigrationSpec => ({
      migrationId: "m1",
      vm: stage.vm,
      mechanism,
      parameters: { ...parameters, ...changes },
    });
    const begin = async (given: MigrationSpec): Promise<{ startedAtMs: number }> => {
      const { source, destination } = stage;
      expect(await destination.driver.preflight(given)).toEqual({ ok: true });
      const { migrationUri } = await destination.driver.prepareIncoming(given);
      return source.driver.startOutgoing(given, migrationUri);
    };
    const follow = async (until: OutgoingState["state"]): Promise<OutgoingState> => {
      for (let since: OutgoingState["state"] | null = null; ;) {
        const state: OutgoingState = await stage.source.driver.observeOutgoing(stage.vm.uuid, since, 500);
        if (state.state === until) return state;
        if (state.state !== "active" && state.state !== "stopped") throw new Error(JSON.stringify(state));
        since = state.state;
      }
    };
    /** To the end, as the agents do it, and what the guest itself saw of it. */
    const finish = async (before: ReturnType<Pair["serial"]>) => {
      const { source, destination, vm } = stage;
      const arrival = pair.serial(destination);
      await follow("stopped");
      const { resumedAtMs } = await destination.driver.continueIncoming(vm.uuid);
      const end = await source.driver.observeOutgoing(vm.uuid, "stopped", 60_000);
      if (end.state !== "completed") throw new Error(JSON.stringify(end));
      await source.driver.releaseSource(vm.uuid);
      expect(await source.driver.vmStates()).toEqual({});
      await arrival.waitForBeats(20, 30_000);
      before.close();
      expect(compareBeats(before.beats, arrival.beats).problems).toEqual([]);
      return { end, blackoutMs: msBetween(end.stoppedAtMs, resumedAtMs) };
    };
    /** Kills `virsh migrate` of this guest, as the end of an agent's control group does. */
    const killChild = (): void => {
      const isOurs = (pid: string): boolean => {
        try {
          const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
          return args.includes("migrate") && args.includes(stage.vm.uuid);
        } catch {
          return false;
        }
      };
      const [pid, ...others] = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isOurs(name));
      expect(others).toEqual([]);
      process.kill(Number(pid), "SIGKILL");
    };

    test("is measured from outside: processor, memory, non-zero memory, dirty curve", async () => {
      const { driver } = stage.source;
      await driver.sample();
      const points = (await driver.dirtyCurve(stage.vm.uuid))?.points ?? [];
      // U(1 s) of uniform writes is W (1 - exp(-rate / W)). libvirt samples 512 pages a GiB, 72 of this guest's.
      const expected = 16 * MIB * (1 - Math.exp((-2000 * 4096) / (16 * MIB)));
      expect(points.map(([windowMs]) => windowMs)).toEqual([1000, 2000, 4000]);
      expect(points[2]?.[1]).toBeGreaterThan(expected / 4);
      expect(points[2]?.[1]).toBeLessThan(expected * 6);
      const figures = (await driver.sample()).vms[stage.vm.uuid] ?? {};
      expect(figures["memory_nonzero_bytes"]).toBeGreaterThan(WORK.filledMib * MIB * 0.7);
      expect(figures["memory_nonzero_bytes"]).toBeLessThan(stage.vm.memoryBytes);
      expect(figures["cpu_used_cores"]).toBeGreaterThan(0);
      expect(figures["cpu_steal_ratio"]).toBeGreaterThanOrEqual(0);
      expect(figures["memory_dirty_bytes_per_second"]).toBe(points[0]?.[1]);
    });

    test("goes on where it was when its migration is cancelled", async () => {
      const { source, destination, vm } = stage;
      const serial = pair.serial(source);
      await begin(spec("pre-copy", { maxBandwidthBytesPerSecond: SLOW }));
      await follow("active");
      expect(await destination.driver.vmStates()).toEqual({ [vm.uuid]: "inmigrate" });
      expect(await destination.driver.observeIncoming(vm.uuid)).toMatchObject({ state: "loaded" });
      expect((await destination.driver.preflight(spec("pre-copy"))).ok).toBe(false);
      await expect(destination.driver.abandonIncoming(vm.uuid)).rejects.toMatchObject({
        reason: "past-point-of-no-return",
      });
      await source.driver.cancelOutgoing(vm.uuid);
      const state = await source.driver.observeOutgoing(vm.uuid, "active", 1000);
      expect(state).toMatchObject({ state: "cancelled", vmState: "running" });
      expect(await destination.driver.observeIncoming(vm.uuid)).toMatchObject({ state: "failed" });
      await serial.waitForBeats(serial.beats.length + 20, 10_000);
    });

    test("moves by pre-copy over a restart of both agents and the death of virsh", async () => {
      const { source, destination, vm } = stage;
      const serial = pair.serial(source);
      const { startedAtMs } = await begin(spec("pre-copy", { maxBandwidthBytesPerSecond: 2 * SLOW }));
      await pair.restart(source);
      await pair.restart(destination);
      killChild();
      expect(await source.driver.observeOutgoing(vm.uuid, null, 0)).toMatchObject({ state: "active" });
      await source.driver.setBandwidth(vm.uuid, 512 * MIB);
      const { end, blackoutMs } = await finish(serial);
      expect(msBetween(startedAtMs, end.stoppedAtMs)).toBeGreaterThan(0);
      expect(end).toMatchObject({ postCopy: false });
      expect(end.counters.rounds).toBeGreaterThanOrEqual(2);
      expect(blackoutMs).toBeGreaterThan(0);
    });

    test("moves by post-copy: past its start it can be neither cancelled nor brought back", async () => {
      const { source, vm } = stage;
      const serial = pair.serial(source);
      const slow = spec("post-copy", { maxBandwidthBytesPerSecond: 8 * MIB });
      const { startedAtMs } = await begin(slow);
      const refused = { reason: "past-point-of-no-return" };
      await follow("stopped");
      await expect(source.driver.cancelOutgoing(vm.uuid)).rejects.toMatchObject(refused);
      await expect(source.driver.continueSource(vm.uuid)).rejects.toMatchObject(refused);
      const { end } = await finish(serial);
      expect(end).toMatchObject({ postCopy: true });
      expect(msBetween(startedAtMs, end.completedAtMs)).toBeGreaterThan(0);
    });

    test("takes its definition along, and leaves none behind", async () => {
      const { source, destination, vm } = stage;
      const { virsh } = source.host;
      const file = `${source.host.serialFile(vm.uuid)}.live.xml`;
      writeFileSync(file, await virsh("dumpxml", vm.uuid, "--migratable"));
      await virsh("define", file);
      await begin(spec("pre-copy"));
      await finish(pair.serial(source));
      expect(await virsh("list", "--all", "--uuid")).not.toContain(vm.uuid);
      expect(await destination.host.virsh("dominfo", vm.uuid)).toMatch(/Persistent: +yes/);
      await destination.host.virsh("undefine", vm.uuid);
    });

    test("is untouched when its destination's libvirt is not there", async () => {
      const { source, vm } = stage;
      const outgoing = source.driver.startOutgoing(spec("pre-copy"), "libvirt:nowhere?memory=127.0.0.1");
      await expect(outgoing).rejects.toMatchObject({ reason: "hypervisor-refused" });
      await expect(source.driver.observeOutgoing(vm.uuid, null, 0)).rejects.toMatchObject({ reason: "no-migration" });
      expect(await source.driver.vmStates()).toEqual({ [vm.uuid]: "running" });
    });
  });
});
