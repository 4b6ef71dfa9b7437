import { describe, expect, test } from "vitest";
import { objectionsIn, type MigrationSpec } from "../../../scripts/agent/driver.ts";
import { qmpConfig } from "../../../scripts/agent/qmp/config.ts";
import { mergeDisks, parseMachineHelp } from "../../../scripts/agent/qmp/host.ts";
import { machineChecks, memoryReasons } from "../../../scripts/agent/qmp/preflight.ts";
import { createRates } from "../../../scripts/agent/linux/sample.ts";
import { parameterReasons } from "../../../scripts/agent/qemu-parameters.ts";
import { capabilitiesOf } from "../../../scripts/agent/qmp/settings.ts";
import { prepareCommand, vmInventory } from "../builders.ts";

const settings = qmpConfig.parse({
  name: "qmp",
  directory: "/vms",
  address: "127.0.0.1",
  cores: 2,
  host: { networks: ["br0"] },
  machines: [{ type: "pc-i440fx-7.2", arguments: [] }],
});
const binary = { version: "7.2.22", machineTypes: ["pc-i440fx-7.2"] };
const vm = vmInventory({ machineType: "pc-i440fx-7.2" });

test("a VM without anything in its way is taken", () => {
  const ok = { ...vm, nics: [{ network: "br0" }], disks: [{ id: "cd", shared: true, readOnly: true }] };
  expect(objectionsIn(machineChecks(settings, binary, ok))).toEqual([]);
});

test.each([
  [{ machineType: "q35" }, /no template for machine type q35/],
  [{ blockers: ["vfio"] }, /vfio/],
  [{ hugepageBytes: 2_097_152 }, /2097152/],
  [{ disks: [{ id: "vda", shared: true }] }, /vda is shared and writable/],
  [{ disks: [{ id: "vda", shared: false }] }, /vda is on its host only/],
  [{ disks: [{ id: "vda" }] }, /vda is on its host only/],
  [{ nics: [{ network: "br7" }] }, /br7 is not on this host; it has br0/],
])("%j is refused", (changes, why) => {
  const looks = machineChecks(settings, binary, { ...vm, ...changes });
  expect(objectionsIn(looks)).toEqual([expect.stringMatching(why)]);
});

test("a QEMU that lacks the machine type is found out before anything is started", () => {
  const looks = machineChecks(settings, { machineTypes: [] }, vm);
  expect(objectionsIn(looks)).toEqual([expect.stringMatching(/pc-i440fx-7.2/)]);
});

describe("memory", () => {
  const room = { neededBytes: 100, availableBytes: 500, promisedBytes: 0, committedBytes: 0, totalBytes: 1000 };
  test.each([
    [{}, []],
    [{ promisedBytes: 400 }, []],
    [{ promisedBytes: 401 }, [/500 are available here, of which the VMs of this host may still take 401/]],
    [{ committedBytes: 901 }, [/901 of this host's 1000 are committed/]],
    [{ availableBytes: 99, committedBytes: 950 }, [/99 are available/, /950 of this host's 1000/]],
  ])("%j", (changes, reasons) => {
    expect(memoryReasons({ ...room, ...changes })).toEqual(reasons.map((each) => expect.stringMatching(each)));
  });
});

function spec(
  changes: Partial<MigrationSpec["parameters"]>,
  mechanism: MigrationSpec["mechanism"] = "pre-copy",
): MigrationSpec {
  const { parameters } = prepareCommand();
  return { migrationId: "m1", vm, mechanism, parameters: { ...parameters, ...changes } };
}

test("multifd is never combined with what may become post-copy, which ends QEMU 7.2", () => {
  expect(parameterReasons(spec({ multifdChannels: 2, compression: "zstd" }))).toEqual([]);
  expect(parameterReasons(spec({ multifdChannels: 2 }, "hybrid"))).toHaveLength(1);
  expect(parameterReasons(spec({ multifdChannels: 2, onDeadline: "post-copy" }))).toHaveLength(1);
  expect(parameterReasons(spec({ multifdChannels: 2, postCopyAfterMs: 500 }))).toHaveLength(1);
  expect(parameterReasons(spec({ compression: "zlib" }))).toEqual([expect.stringMatching(/multifdChannels/)]);
});

test("every capability is said, on or off, and post-copy only where it may be used", () => {
  const on = (of: MigrationSpec): string[] =>
    capabilitiesOf(of).flatMap((each) => (each.state ? [each.capability] : []));
  const always = ["events", "validate-uuid", "return-path"];
  expect(on(spec({ postCopyPreempt: true }))).toEqual(always);
  expect(on(spec({ autoConverge: true, xbzrle: true }))).toEqual([...always, "auto-converge", "xbzrle"]);
  expect(on(spec({ postCopyPreempt: true }, "post-copy"))).toEqual([...always, "postcopy-ram", "postcopy-preempt"]);
  expect(capabilitiesOf(spec({})).map((each) => each.capability)).toHaveLength(8);
});

test("drives are as QEMU says, shared or not as the descriptor says", () => {
  const drives = [
    {
      device: "vda",
      inserted: { ro: false, cache: { writeback: true, direct: true }, image: { "virtual-size": 4096 } },
    },
    { device: "cd0", removable: true },
  ];
  expect(mergeDisks(drives, [{ id: "vda", pool: "ceph", shared: true, bytes: 1 }])).toEqual([
    { id: "vda", pool: "ceph", shared: true, bytes: 4096, readOnly: false, cacheMode: "none" },
  ]);
});

test("machine types are the first words of QEMU's list", () => {
  const help =
    "Supported machines are:\npc        Standard PC (alias of pc-i440fx-7.2)\npc-i440fx-7.2  Standard PC (default)\n";
  expect(parseMachineHelp(help)).toEqual(["pc", "pc-i440fx-7.2"]);
});

test("a counter gives a rate only between two looks at the same life of it", () => {
  const { rate, forget } = createRates();
  expect(rate("a cpu", 100, 1000)).toBeNull();
  expect(rate("a cpu", 150, 2000)).toBe(50);
  expect(rate("a cpu", null, 2500)).toBeNull();
  expect(rate("a cpu", 10, 3000)).toBeNull();
  expect(rate("a cpu", 20, 3000)).toBeNull();
  forget("a");
  expect(rate("a cpu", 30, 4000)).toBeNull();
});
