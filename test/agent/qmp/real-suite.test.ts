// The qmp driver keeps what every driver promises, on real QEMUs.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe } from "vitest";
import type { Driver } from "../../../scripts/agent/driver.ts";
import { createQmpDriver } from "../../../scripts/agent/qmp/driver.ts";
import { buildGuest, whyNoLab, type Guest } from "../../../scripts/lab/build-guest.ts";
import { endGuests, labHostConfig, serialFile, startGuest, type LabHost } from "../../../scripts/lab/machine.ts";
import { readSerial } from "../../../scripts/lab/serial.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import { prepareCommand } from "../builders.ts";
import type { DriverFixture } from "../driver-scene.ts";
import { runDriverSuite } from "../driver-suite.ts";
import { createPool } from "../pool.ts";

const STATE = path.join(import.meta.dirname, "../../../.drover");
const WORK = { filledMib: 32, nonzeroRatio: 0.7, workingSetMib: 16, pagesPerSecond: 2000 };
/** U(4 s) of uniform writes is W (1 - exp(-4 s × rate / W)). */
const DIRTIED_BYTES = 16 * MIB * (1 - Math.exp((-4 * 2000 * 4096) / (16 * MIB)));
/** Guests that are moved at a time. */
const GUESTS = 2;
const missing = whyNoLab();

const hostAt = (directory: string): LabHost => ({
  directory,
  cores: 2,
  memoryBytes: GIB,
  migrationBytesPerSecond: 128 * MIB,
});

/** Two hosts and a guest, wherever the last test left it. */
type Lane = { folder: string; hosts: [LabHost, LabHost]; vm: VmInventory | null };

describe.skipIf(missing !== null)("real QEMUs", () => {
  const lanes: Lane[] = [];
  const pool = createPool<Lane>(GUESTS, async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "drover-qmp-"));
    const lane: Lane = { folder, hosts: [hostAt(path.join(folder, "a")), hostAt(path.join(folder, "b"))], vm: null };
    lanes.push(lane);
    return lane;
  });
  const boot = async (guest: Guest, host: LabHost): Promise<VmInventory> => {
    const { vm } = await startGuest(guest, host, { name: "counter", memoryMib: 144, vcpus: 1, work: WORK });
    const serial = readSerial(serialFile(host.directory, vm.uuid));
    await serial.waitFor("FILLED", 60_000);
    serial.close();
    return { ...vm, state: "running" };
  };
  /** Where the guest runs with nothing left to do; null: it is to be booted anew. */
  const whereItRests = async (drivers: Driver[], { uuid }: VmInventory): Promise<number | null> => {
    const [source] = drivers;
    const states = await Promise.all(drivers.map(async (driver) => (await driver.vmStates())[uuid]));
    const isUntouched = async () =>
      (await source?.observeOutgoing(uuid, null, 0).catch(() => null))?.state !== "active";
    const isOnlyAt = (at: number) => states[at] === "running" && states[1 - at] === undefined;
    if (isOnlyAt(1)) return 1;
    return isOnlyAt(0) && (await isUntouched()) ? 0 : null;
  };
  const make = async (): Promise<DriverFixture> => {
    const guest = buildGuest(STATE);
    const lane = await pool.take();
    const [from, to] = lane.hosts;
    const vm = (lane.vm ??= await boot(guest, from));
    const [source, destination] = [from, to].map((host) => createQmpDriver(labHostConfig(guest, host)));
    if (source === undefined || destination === undefined) throw new Error("two hosts are needed");
    return {
      source,
      destination,
      vm,
      parameters: { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 64 * MIB },
      slowBytesPerSecond: MIB,
      dirtiedBytes: { min: DIRTIED_BYTES / 4, max: DIRTIED_BYTES * 4 },
      tooMuchMemoryBytes: 1024 * GIB,
      close: async () => {
        const at = await whereItRests([source, destination], vm);
        await source.close();
        await destination.close();
        if (at === null) for (const host of lane.hosts) await endGuests(host.directory);
        if (at === null) lane.vm = null;
        if (at === 1) lane.hosts = [to, from];
        pool.give(lane);
      },
    };
  };
  afterAll(async () => {
    for (const { hosts, folder } of lanes) {
      for (const host of hosts) await endGuests(host.directory);
      rmSync(folder, { recursive: true });
    }
  });
  runDriverSuite("qmp driver", make, { waitsToBeLoaded: true, concurrent: true });
});
