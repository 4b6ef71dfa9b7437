// The qmp driver keeps what every driver promises, on real QEMUs: a guest of its own for every test.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe } from "vitest";
import { createQmpDriver } from "../../../scripts/agent/qmp/driver.ts";
import { buildGuest, whyNoLab } from "../../../scripts/lab/build-guest.ts";
import { endGuests, labHostConfig, serialFile, startGuest, type LabHost } from "../../../scripts/lab/machine.ts";
import { readSerial } from "../../../scripts/lab/serial.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { prepareCommand } from "../builders.ts";
import { runDriverSuite, type DriverFixture } from "../driver-suite.ts";

const STATE = path.join(import.meta.dirname, "../../../.drover");
const WORK = { filledMib: 32, nonzeroRatio: 0.7, workingSetMib: 16, pagesPerSecond: 2000 };
/** U(4 s) of uniform writes is W (1 - exp(-4 s × rate / W)). */
const DIRTIED_BYTES = 16 * MIB * (1 - Math.exp((-4 * 2000 * 4096) / (16 * MIB)));
const missing = whyNoLab();

const hostAt = (directory: string): LabHost => ({
  directory,
  cores: 2,
  memoryBytes: GIB,
  migrationBytesPerSecond: 128 * MIB,
});

describe.skipIf(missing !== null)("real QEMUs", () => {
  const make = async (): Promise<DriverFixture> => {
    const folder = mkdtempSync(path.join(tmpdir(), "drover-qmp-"));
    const guest = buildGuest(STATE);
    const [from, to] = [hostAt(path.join(folder, "a")), hostAt(path.join(folder, "b"))];
    const { vm } = await startGuest(guest, from, { name: "counter", memoryMib: 144, vcpus: 1, work: WORK });
    const serial = readSerial(serialFile(from.directory, vm.uuid));
    await serial.waitFor("FILLED", 60_000);
    serial.close();
    const [source, destination] = [
      createQmpDriver(labHostConfig(guest, from)),
      createQmpDriver(labHostConfig(guest, to)),
    ];
    return {
      source,
      destination,
      vm: { ...vm, state: "running" },
      parameters: { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 64 * MIB },
      slowBytesPerSecond: MIB,
      dirtiedBytes: { min: DIRTIED_BYTES / 4, max: DIRTIED_BYTES * 4 },
      tooMuchMemoryBytes: 1024 * GIB,
      close: async () => {
        await source.close();
        await destination.close();
        for (const host of [from, to]) await endGuests(host.directory);
        rmSync(folder, { recursive: true });
      },
    };
  };
  runDriverSuite("qmp driver", make, { waitsToBeLoaded: true });
});
