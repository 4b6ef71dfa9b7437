// The driver against two real libvirts and a real guest, which is moved from one to the other and back.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { MigrationSpec } from "../../../scripts/agent/driver.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import type { Mechanism } from "../../../worker/model/wire/common.ts";
import { prepareCommand } from "../builders.ts";
import { runDriverSuite } from "../driver-suite.ts";
import { msBetween } from "../known.ts";
import { startPair, whyNoPair, type Pair, type Stage } from "./pair.ts";

const WORK = { filledMib: 32, nonzeroRatio: 0.7, workingSetMib: 16, pagesPerSecond: 2000 };
const SLOW = MIB;
/** U(4 s) of uniform writes is W (1 - exp(-4 s × rate / W)); libvirt samples 512 pages a GiB, 72 of this guest's. */
const DIRTIED_BYTES = 16 * MIB * (1 - Math.exp((-4 * 2000 * 4096) / (16 * MIB)));
const parameters = { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 64 * MIB, deadlineMs: 60_000 };

const missing = whyNoPair();
if (missing !== null) console.warn(`real libvirt is not tested: ${missing}`);

let pair: Pair;
let stage: Stage;

/** Wherever a test has left the guest, it must have gone on counting, and no page of it may be damaged. */
async function unharmed(): Promise<void> {
  const problems = await pair.quiet();
  if (problems.length > 0) throw new Error(problems.join("; "));
}

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
        dirtiedBytes: { min: DIRTIED_BYTES / 4, max: DIRTIED_BYTES * 4 },
        tooMuchMemoryBytes: 1024 * GIB,
        close: unharmed,
      };
    },
    { handshake: "hypervisor" },
  );

  describe("a guest that counts", () => {
    beforeEach(async () => {
      stage = await pair.stage();
    }, 120_000);
    afterEach(unharmed, 60_000);

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
    /** To the end, as the agents do it. */
    const finish = async () => {
      const { source, destination, vm } = stage;
      await expect
        .poll(() => source.driver.observeOutgoing(vm.uuid, null, 500), { timeout: 60_000 })
        .toMatchObject({
          state: "stopped",
        });
      await destination.driver.continueIncoming(vm.uuid);
      const end = await source.driver.observeOutgoing(vm.uuid, "stopped", 60_000);
      if (end.state !== "completed") throw new Error(JSON.stringify(end));
      await source.driver.releaseSource(vm.uuid);
      expect(await source.driver.vmStates()).toEqual({});
      return end;
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

    test("is measured from outside: processor, memory, and how much of that is not zero", async () => {
      const { driver } = stage.source;
      await driver.sample();
      const figures = (await driver.sample()).vms[stage.vm.uuid] ?? {};
      expect(figures["memory_nonzero_bytes"]).toBeGreaterThan(WORK.filledMib * MIB * 0.7);
      expect(figures["memory_nonzero_bytes"]).toBeLessThan(stage.vm.memoryBytes);
      expect(figures["memory_used_bytes"]).toBeGreaterThan(WORK.filledMib * MIB);
      expect(figures["cpu_used_cores"]).toBeGreaterThan(0);
      expect(figures["cpu_steal_ratio"]).toBeGreaterThanOrEqual(0);
    });

    test("moves with its definition, over a restart of both agents and the death of virsh", async () => {
      const { source, destination, vm } = stage;
      const { virsh } = source.host;
      const file = `${source.host.serialFile(vm.uuid)}.xml`;
      writeFileSync(file, await virsh("dumpxml", vm.uuid, "--migratable"));
      await virsh("define", file);
      const { startedAtMs } = await begin(spec("pre-copy", { maxBandwidthBytesPerSecond: SLOW }));
      await pair.restart(source);
      await pair.restart(destination);
      killChild();
      expect(await source.driver.observeOutgoing(vm.uuid, null, 0)).toMatchObject({ state: "active" });
      expect(await destination.driver.observeIncoming(vm.uuid)).toMatchObject({ state: "loaded" });
      expect(await destination.driver.vmStates()).toEqual({ [vm.uuid]: "inmigrate" });
      expect((await destination.driver.preflight(spec("pre-copy"))).ok).toBe(false);
      await expect(destination.driver.abandonIncoming(vm.uuid)).rejects.toMatchObject({
        reason: "past-point-of-no-return",
      });
      await source.driver.setBandwidth(vm.uuid, 512 * MIB);
      const end = await finish();
      expect(end).toMatchObject({ postCopy: false });
      expect(msBetween(startedAtMs, end.completedAtMs)).toBeGreaterThan(0);
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
