// The simulated driver, in this process and over a socket, keeps what every driver promises.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { DriverError, type Driver } from "../../../scripts/agent/driver.ts";
import { systemClock } from "../../../scripts/agent/simulated/config.ts";
import { serveWorld } from "../../../scripts/agent/simulated/daemon.ts";
import { createSimulatedDriver, simulatedDriver } from "../../../scripts/agent/simulated/driver.ts";
import { createWorld } from "../../../scripts/agent/simulated/world.ts";
import type { DriverFixture } from "../driver-scene.ts";
import { runDriverSuite } from "../driver-suite.ts";
import { parameters, virtualClock, vmOf, worldOf } from "./worlds.ts";

const common = {
  vm: { ...vmOf().inventory, state: "running" as const },
  parameters: parameters(),
  slowBytesPerSecond: MIB,
  dirtiedBytes: { min: 0, max: vmOf().inventory.memoryBytes },
  tooMuchMemoryBytes: 128 * GIB,
};

async function served(
  timeScale: number,
): Promise<{ driver: (host: string) => Promise<Driver>; close: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "drover-"));
  const socket = join(folder, "world.sock");
  const server = await serveWorld(createWorld(worldOf([{}], { timeScale }), systemClock), socket);
  const drivers: Driver[] = [];
  return {
    driver: async (host) => {
      const driver = await createSimulatedDriver({ name: "simulated", host, socket });
      drivers.push(driver);
      return driver;
    },
    close: async () => {
      for (const driver of drivers) await driver.close();
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}

runDriverSuite("simulated driver in one process", async (): Promise<DriverFixture> => {
  // Large enough for its post-copy to be met on its way.
  const sketch = { memoryBytes: 4 * GIB, nonzeroRatio: 1 };
  const world = createWorld(worldOf([sketch]), virtualClock());
  return {
    ...common,
    vm: { ...vmOf(sketch).inventory, state: "running" },
    source: simulatedDriver(world, "a"),
    destination: simulatedDriver(world, "b"),
    breakPostCopy: () => world.fault({ kind: "pause-post-copy", hostId: "a", uuid: common.vm.uuid }),
    close: world.close,
  };
});

runDriverSuite("simulated driver over a socket", async (): Promise<DriverFixture> => {
  const { driver, close } = await served(200);
  return { ...common, source: await driver("a"), destination: await driver("b"), close };
});

test("an agent that dies leaves its hypervisor running: another connection goes on", async () => {
  const { driver, close } = await served(200);
  const first = await driver("a");
  const destination = await driver("b");
  const spec = { migrationId: "m-1", vm: common.vm, mechanism: "pre-copy" as const, parameters: parameters() };
  const { migrationUri } = await destination.prepareIncoming(spec);
  await first.startOutgoing(spec, migrationUri);
  await first.close();
  const second = await driver("a");
  expect((await second.observeOutgoing(common.vm.uuid, "active", 5000)).state).toBe("stopped");
  expect(Math.abs(second.now() - destination.now())).toBeLessThan(1000);
  await close();
});

test("a hypervisor that is not there is said to be so", async () => {
  const lost = createSimulatedDriver({ name: "simulated", host: "a", socket: join(tmpdir(), "drover-nobody.sock") });
  await expect(lost).rejects.toMatchObject({ reason: "unreachable" });
  await expect(lost).rejects.toBeInstanceOf(DriverError);
});
