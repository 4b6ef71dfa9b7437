// Reading from libvirt itself: its own test driver, a host with a VM that needs neither QEMU nor rights.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { objectionsIn } from "../../../scripts/agent/driver.ts";
import { createLibvirtDriver } from "../../../scripts/agent/libvirt/driver.ts";
import { missingTools } from "../../../scripts/lab/build-guest.ts";
import { GIB } from "../../../worker/model/units.ts";
import { hostInventory } from "../../../worker/model/wire/inventory.ts";
import { prepareCommand } from "../builders.ts";

const UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f";
const isMissing = missingTools(["virsh"]).length > 0;
if (isMissing) {
  const why = "virsh is missing: apt-get install -y --no-install-recommends libvirt-clients";
  if (process.env["CI"]) throw new Error(why);
  console.warn(`reading from libvirt is not tested: ${why}`);
}

const folder = mkdtempSync(path.join(tmpdir(), "drover-lv-"));
const driver = createLibvirtDriver({
  name: "libvirt",
  uri: "test:///default",
  directory: path.join(folder, "driver"),
  address: "127.0.0.1",
  host: { networks: ["default"] },
});
afterAll(async () => {
  await driver.close();
  rmSync(folder, { recursive: true });
});

describe.skipIf(isMissing)("libvirt's test driver", () => {
  test("the host, its storage and its VM", async () => {
    const inventory = await driver.inventory();
    const head = { cluster: "lab", sequence: 1, bootId: "b1" };
    expect(hostInventory.parse({ ...inventory, ...head })).toMatchObject({
      hypervisorVersion: expect.stringMatching(/^TEST /),
      driver: { name: "libvirt", version: expect.stringMatching(/^\d+\.\d+\.\d+$/) },
      cpu: { cores: 16 },
      memoryBytes: 3 * GIB,
      numaNodes: [
        { cores: 8, memoryBytes: 2 * GIB },
        { cores: 8, memoryBytes: 4 * GIB },
      ],
      pools: [{ name: "default-pool", shared: false }],
      networks: ["default"],
      vms: [
        {
          uuid: UUID,
          name: "test",
          state: "running",
          vcpus: 2,
          memoryBytes: 8 * GIB,
          disks: [{ id: "vda", shared: false, readOnly: false }],
          nics: [{ network: "default" }],
          blockers: ["local-disk"],
        },
      ],
    });
  });

  test("what it does not measure is absent", async () => {
    const { vms, host } = await driver.sample();
    expect(vms).toEqual({ [UUID]: {} });
    expect(host["memory_used_bytes"]).toBeGreaterThan(0);
    expect(await driver.vmStates()).toEqual({ [UUID]: "running" });
  });

  test("preflight gives every reason with its numbers", async () => {
    const vm = { ...prepareCommand().vm, name: "test", memoryBytes: 64 * GIB, nics: [{ network: "br9" }] };
    const { mechanism, parameters } = prepareCommand();
    const reasons = objectionsIn(await driver.preflight({ migrationId: "m1", vm, mechanism, parameters }));
    expect(reasons.join("; ")).toMatch(/network br9 is not on this host; it has default/);
    expect(reasons.join("; ")).toMatch(/another VM named test/);
    expect(reasons.join("; ")).toContain(`${64 * GIB} bytes of memory`);
  });

  test("a VM that is here already is not taken, and one that does not come is gone", async () => {
    const { mechanism, parameters, vm } = prepareCommand();
    const here = { migrationId: "m1", vm: { ...vm, uuid: UUID, name: "test" }, mechanism, parameters };
    await expect(driver.prepareIncoming(here)).rejects.toMatchObject({ reason: "already-here" });
    expect(await driver.observeIncoming(vm.uuid)).toEqual({ state: "gone" });
    expect(await driver.prepareIncoming({ ...here, vm })).toEqual({ migrationUri: "libvirt:127.0.0.1" });
    expect(await driver.observeIncoming(vm.uuid)).toEqual({ state: "listening" });
    await driver.abandonIncoming(vm.uuid);
    expect(await driver.observeIncoming(vm.uuid)).toEqual({ state: "gone" });
  });

  test("a libvirt that is not there is said to be so", async () => {
    const lost = createLibvirtDriver({
      name: "libvirt",
      uri: `qemu+unix:///system?socket=${folder}/nobody`,
      directory: folder,
      address: "127.0.0.1",
    });
    await expect(lost.vmStates()).rejects.toMatchObject({ reason: "hypervisor-silent" });
    await lost.close();
  });
});
