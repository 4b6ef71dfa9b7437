// The driver against two real libvirts and real guests, which are moved from one to the other and back.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { setTimeout as wait } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test, type TestContext, vi } from "vitest";
import { objectionsIn, type MigrationSpec } from "../../../scripts/agent/driver.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import type { Progress } from "../../../worker/model/wire/event.ts";
import { prepareCommand } from "../builders.ts";
import { runDriverSuite } from "../driver-suite.ts";
import { msBetween } from "../known.ts";
import { startPair, whyNoPair, type Pair, type Stage } from "./pair.ts";

const WORK = { filledMib: 32, nonzeroRatio: 0.7, workingSetMib: 16, pagesPerSecond: 2000 };
const SLOW = MIB;
/** U(4 s) of uniform writes is W (1 - exp(-4 s × rate / W)); libvirt samples 512 pages a GiB, 72 of this guest's. */
const DIRTIED_BYTES = 16 * MIB * (1 - Math.exp((-4 * 2000 * 4096) / (16 * MIB)));
const parameters = { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 64 * MIB, deadlineMs: 60_000 };
/** Guests that are moved at a time. */
const GUESTS = 2;
const CLOSE_TIMEOUT_MS = 60_000;
const LOOK_MS = 300;

const missing = whyNoPair();
if (missing !== null) console.warn(`real libvirt is not tested: ${missing}`);

let pair: Pair;

type Changes = Partial<MigrationSpec["parameters"]>;

function specOf({ vm }: Stage, mechanism: Mechanism, changes: Changes = {}): MigrationSpec {
  return { migrationId: "m1", vm, mechanism, parameters: { ...parameters, ...changes } };
}

async function begin({ source, destination }: Stage, given: MigrationSpec): Promise<{ startedAtMs: number }> {
  expect(objectionsIn(await destination.driver.preflight(given))).toEqual([]);
  const { migrationUri } = await destination.driver.prepareIncoming(given);
  return source.driver.startOutgoing(given, migrationUri);
}

/** To the end, as the agents do it. */
async function finish({ source, destination, vm }: Stage) {
  const { state } = await source.driver.observeOutgoing(vm.uuid, "active", 60_000);
  expect(state).toBe("stopped");
  await destination.driver.continueIncoming(vm.uuid);
  const end = await source.driver.observeOutgoing(vm.uuid, "stopped", 60_000);
  if (end.state !== "completed") throw new Error(JSON.stringify(end));
  await source.driver.releaseSource(vm.uuid);
  expect(await source.driver.vmStates()).not.toHaveProperty(vm.uuid);
  return end;
}

/** Kills `virsh migrate` of this guest, as the end of an agent's control group does. */
function killChild({ vm }: Stage): void {
  const isOurs = (pid: string): boolean => {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return args.includes("migrate") && args.includes(vm.uuid);
    } catch {
      return false;
    }
  };
  const [pid, ...others] = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && isOurs(name));
  expect(others).toEqual([]);
  process.kill(Number(pid), "SIGKILL");
}

describe.skipIf(missing !== null)("two real libvirts", { timeout: 120_000, concurrent: true }, () => {
  beforeAll(async () => {
    pair = await startPair({ memoryMib: 144, work: WORK }, GUESTS);
  }, 180_000);
  afterAll(() => pair?.stop(), 60_000);

  runDriverSuite(
    "libvirt driver",
    async ({ slowPostCopy }) => {
      const settings = slowPostCopy ? { postCopyBytesPerSecond: SLOW } : {};
      const { source, destination, vm, close } = await pair.stage(settings);
      return {
        source: source.driver,
        destination: destination.driver,
        vm,
        parameters,
        slowBytesPerSecond: SLOW,
        dirtiedBytes: { min: DIRTIED_BYTES / 4, max: DIRTIED_BYTES * 4 },
        tooMuchMemoryBytes: 1024 * GIB,
        // No `breakPostCopy`: emulated, a guest that waits for a page holds the lock without which QEMU answers libvirt nothing.
        close,
      };
    },
    { handshake: "hypervisor", concurrent: true },
  );

  const staged =
    (play: (stage: Stage) => Promise<void>) =>
    async ({ onTestFinished }: TestContext): Promise<void> => {
      const stage = await pair.stage();
      onTestFinished(stage.close, CLOSE_TIMEOUT_MS);
      await play(stage);
    };

  test(
    "a guest is measured from outside: processor, memory, and how much of that is not zero",
    staged(async ({ source: { driver }, vm }) => {
      await driver.sample();
      // The kernel counts processor time in hundredths of a second, and a look takes less.
      const figures = await vi.waitFor(async () => {
        const seen = (await driver.sample()).vms[vm.uuid] ?? {};
        expect(seen["cpu_used_cores"]).toBeGreaterThan(0);
        return seen;
      });
      expect(figures["memory_nonzero_bytes"]).toBeGreaterThan(WORK.filledMib * MIB * 0.7);
      expect(figures["memory_nonzero_bytes"]).toBeLessThan(vm.memoryBytes);
      expect(figures["memory_used_bytes"]).toBeGreaterThan(WORK.filledMib * MIB);
      expect(figures["cpu_steal_ratio"]).toBeGreaterThanOrEqual(0);
    }),
  );

  test(
    "a guest moves with its definition over several connections, through a restart of both agents and the death of virsh",
    staged(async (stage) => {
      const { source, destination, vm, restart } = stage;
      const { virsh } = source.host;
      const file = `${source.host.serialFile(vm.uuid)}.xml`;
      writeFileSync(file, await virsh("dumpxml", vm.uuid, "--migratable"));
      await virsh("define", file);
      const changes = { multifdChannels: 2, maxBandwidthBytesPerSecond: SLOW };
      const { startedAtMs } = await begin(stage, specOf(stage, "pre-copy", changes));
      const asked = await virsh("qemu-monitor-command", vm.uuid, '{"execute":"query-migrate-parameters"}');
      expect(JSON.parse(asked)).toMatchObject({ return: { "multifd-channels": changes.multifdChannels } });
      await restart(source);
      await restart(destination);
      killChild(stage);
      expect(await source.driver.observeOutgoing(vm.uuid, null, 0)).toMatchObject({ state: "active" });
      expect(await destination.driver.observeIncoming(vm.uuid)).toMatchObject({ state: "loaded" });
      expect(await destination.driver.vmStates()).toMatchObject({ [vm.uuid]: "inmigrate" });
      expect(objectionsIn(await destination.driver.preflight(specOf(stage, "pre-copy")))).not.toEqual([]);
      await expect(destination.driver.abandonIncoming(vm.uuid)).rejects.toMatchObject({
        reason: "past-point-of-no-return",
      });
      await source.driver.setBandwidth(vm.uuid, 512 * MIB);
      const end = await finish(stage);
      expect(end).toMatchObject({ postCopy: false });
      expect(msBetween(startedAtMs, end.completedAtMs)).toBeGreaterThan(0);
      expect(await virsh("list", "--all", "--uuid")).not.toContain(vm.uuid);
      expect(await destination.host.virsh("dominfo", vm.uuid)).toMatch(/Persistent: +yes/);
      await destination.host.virsh("undefine", vm.uuid);
    }),
  );

  test(
    "a guest is untouched when its destination's libvirt is not there",
    staged(async (stage) => {
      const { source, vm } = stage;
      const outgoing = source.driver.startOutgoing(specOf(stage, "pre-copy"), "libvirt:nowhere?memory=127.0.0.1");
      await expect(outgoing).rejects.toMatchObject({ reason: "hypervisor-refused" });
      await expect(source.driver.observeOutgoing(vm.uuid, null, 0)).rejects.toMatchObject({ reason: "no-migration" });
      expect(await source.driver.vmStates()).toMatchObject({ [vm.uuid]: "running" });
    }),
  );

  /** Its first pass is sent fast, and what is sent again more slowly than the guest dirties its memory; then until `isSeen`. */
  const outrun = async (stage: Stage, changes: Changes, isSeen: (progress: Progress) => Promise<boolean> | boolean) => {
    const { driver } = stage.source;
    const { uuid } = stage.vm;
    const fast = { maxBandwidthBytesPerSecond: 24 * MIB, downtimeLimitMs: 1 };
    await begin(stage, specOf(stage, "pre-copy", { ...changes, ...fast }));
    for (let isFast = true; ; await wait(LOOK_MS)) {
      const state = await driver.observeOutgoing(uuid, null, 0);
      if (state.state !== "active") throw new Error(JSON.stringify(state));
      const { remainingBytes, dirtyBytesPerSecond } = state.progress;
      if (await isSeen(state.progress)) return driver.setBandwidth(uuid, 512 * MIB);
      if (dirtyBytesPerSecond) await driver.setBandwidth(uuid, Math.max(MIB, 0.7 * dirtyBytesPerSecond));
      else if (isFast && remainingBytes < 10 * MIB) await driver.setBandwidth(uuid, 3 * MIB);
      isFast = remainingBytes >= 10 * MIB && isFast;
    }
  };

  test(
    "a guest that dirties its memory faster than it is sent is slowed down by auto-converge",
    staged(async (stage) => {
      await outrun(stage, { autoConverge: true }, ({ throttleRatio = 0 }) => throttleRatio > 0);
      const { counters } = await finish(stage);
      expect(counters.throttleRatioMax).toBeGreaterThan(0);
    }),
  );

  test(
    "a page that is sent again is sent as what has changed, by xbzrle",
    staged(async (stage) => {
      const { virsh } = stage.source.host;
      const isEncoded = async () =>
        /^compression_pages: [1-9]/m.test(await virsh("domjobinfo", stage.vm.uuid, "--rawstats"));
      await outrun(stage, { xbzrle: true }, ({ iteration }) => iteration > 1 && isEncoded());
      expect((await finish(stage)).counters.rounds).toBeGreaterThan(1);
    }),
  );
});
