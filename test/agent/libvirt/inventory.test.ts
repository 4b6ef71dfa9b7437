// libvirt's XML as Drover's inventory, what is refused before libvirt is asked, and what it is asked then.
import { readFileSync } from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { objectionsIn } from "../../../scripts/agent/driver.ts";
import { migrateArguments, migrateOptions, readMigrationUri } from "../../../scripts/agent/libvirt/arguments.ts";
import {
  cpuModelsOf,
  hugepagePoolsOf,
  machineTypesOf,
  numaNodesOf,
  readNodeInfo,
} from "../../../scripts/agent/libvirt/capabilities.ts";
import { libvirtConfig } from "../../../scripts/agent/libvirt/config.ts";
import { toVm } from "../../../scripts/agent/libvirt/domain-xml.ts";
import { machineChecks, memoryReasons, type Here } from "../../../scripts/agent/libvirt/preflight.ts";
import { poolOf } from "../../../scripts/agent/libvirt/storage.ts";
import { parseXml } from "../../../scripts/agent/libvirt/xml.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { vmInventory } from "../../../worker/model/wire/inventory.ts";
import { prepareCommand, vmInventory as vmWith } from "../builders.ts";

const xml = (name: string) => parseXml(readFileSync(path.join(import.meta.dirname, "fixtures", `${name}.xml`), "utf8"));
const nowhere = { pools: [], sharedPaths: new Set<string>(), capacities: new Map<string, number>() };
const settings = (changes: object = {}) =>
  libvirtConfig.parse({ name: "libvirt", directory: "/var/lib/drover", address: "hv-01", plaintext: true, ...changes });

test("a plain guest", () => {
  const vm = toVm(xml("live"), "running", nowhere);
  expect(vmInventory.parse(vm)).toEqual({
    uuid: "6f1c3a52-0000-4000-8000-000000000001",
    name: "g 1",
    state: "running",
    vcpus: 1,
    memoryBytes: 160 * MIB,
    cpuMode: "qemu64",
    accelerator: "tcg",
    machineType: "pc-i440fx-7.2",
  });
});

test("a guest that is tied to its host, with what ties it", () => {
  const pools = [{ name: "san", shared: true, path: "/dev/san" }];
  const vm = toVm(xml("tied"), "running", { ...nowhere, pools, capacities: new Map([["vda", 10 * GIB]]) });
  expect(vmInventory.parse(vm)).toEqual({
    uuid: "7a1c3a52-0000-4000-8000-000000000002",
    name: "tied & bound",
    state: "running",
    vcpus: 2,
    memoryBytes: 4 * GIB,
    cpuMode: "host-passthrough",
    accelerator: "kvm",
    machineType: "pc-q35-7.2",
    hugepageBytes: GIB,
    pinned: true,
    numaBound: true,
    disks: [
      { id: "vda", shared: false, readOnly: false, bytes: 10 * GIB, cacheMode: "none" },
      { id: "vdb", shared: true, readOnly: false },
      { id: "vdc", shared: true, readOnly: false, pool: "san" },
    ],
    nics: [{ network: "br0" }],
    blockers: [
      "vfio",
      "vhost-user",
      "virtiofs",
      "ivshmem",
      "local-tpm",
      "sev",
      "cpu-not-migratable",
      "invtsc",
      "local-disk",
    ],
  });
});

test("half a domain is none, and what is not well-formed is not read", () => {
  expect(() => toVm(parseXml("<domain><name>x</name></domain>"), "running", nowhere)).toThrow("lacks");
  expect(() => parseXml("<domain><name>x</domain>")).toThrow(/name/);
});

test("a path lies in the innermost pool, and not in one that only begins alike", () => {
  const pools = [
    { name: "outer", shared: false, path: "/srv" },
    { name: "inner", shared: true, path: "/srv/images/" },
  ];
  expect(poolOf("/srv/images/a.qcow2", pools)?.name).toBe("inner");
  expect(poolOf("/srv/a.qcow2", pools)?.name).toBe("outer");
  expect(poolOf("/srvx/a.qcow2", pools)).toBeNull();
});

test("a host's nodes, page pools, machine types and processors", () => {
  const capabilities = xml("capabilities");
  expect(numaNodesOf(capabilities)).toEqual([{ cores: 2, memoryBytes: 15_820_576 * 1024 }]);
  expect(hugepagePoolsOf(capabilities, new Map())).toEqual([]);
  expect(machineTypesOf(capabilities)).toEqual(["pc", "pc-i440fx-2.12", "pc-i440fx-7.2", "pc-q35-5.2"]);
  const models = cpuModelsOf(xml("domcapabilities"));
  expect([models.get("qemu64"), models.get("Skylake-Server"), models.get("host-passthrough")]).toEqual([
    true,
    false,
    false,
  ]);
  expect(readNodeInfo("CPU(s):              16\nMemory size:         3145728 KiB\n")).toEqual({
    cores: 16,
    memoryBytes: 3 * GIB,
  });
});

describe("preflight", () => {
  const here: Here = {
    machineTypes: ["pc-q35-7.2"],
    cpuModels: new Map([["Skylake-Server", false]]),
    networks: ["br0"],
    pools: [{ name: "san", shared: true }],
    freeHugepages: new Map([[2 * MIB, GIB / 2]]),
  };
  test.each([
    ["machine type", { machineType: "pc-q35-9.0" }, "it has pc-q35-7.2"],
    ["processor", { cpuMode: "Skylake-Server" }, "cannot give a guest the CPU Skylake-Server"],
    ["blocker", { blockers: ["vfio"] }, "cannot be migrated: vfio"],
    ["huge pages", { hugepageBytes: 2 * MIB }, `${GIB} bytes in pages of ${2 * MIB}; ${GIB / 2} are free here`],
    ["local disk", { disks: [{ id: "vda", shared: false }] }, "copies no disks"],
    ["pool", { disks: [{ id: "vda", shared: true, pool: "nas" }] }, "pool nas of disk vda is not active on this host"],
    ["network", { nics: [{ network: "br9" }] }, "network br9 is not on this host; it has br0"],
  ])("refuses: %s", (_, changes, reason) => {
    expect(objectionsIn(machineChecks(vmWith(changes), here)).join()).toContain(reason);
  });
  test("takes what fits, and what this libvirt cannot tell is left to it", () => {
    const disks = [{ id: "vda", shared: true, pool: "san" }];
    const vm = vmWith({ machineType: "pc-q35-7.2", cpuMode: "host-model", disks, nics: [{ network: "br0" }] });
    const looks = machineChecks(vm, { ...here, cpuModels: null });
    expect(objectionsIn(looks)).toEqual([]);
    expect(looks.find(({ check }) => check === "cpu")).toMatchObject({ ok: null });
  });
  test("counts what is committed and what is still promised", () => {
    const memory = { neededBytes: 4, committedBytes: 6, totalBytes: 10, availableBytes: 5, promisedBytes: 1 };
    expect(memoryReasons(memory)).toEqual([]);
    expect(memoryReasons({ ...memory, committedBytes: 7 })).toHaveLength(1);
    expect(memoryReasons({ ...memory, promisedBytes: 2 })).toHaveLength(1);
  });
});

describe("virsh migrate", () => {
  const spec = (mechanism: "pre-copy" | "post-copy" | "stop-and-copy", changes = {}) => ({
    migrationId: "m1",
    vm: vmWith(),
    mechanism,
    parameters: { ...prepareCommand().parameters, maxBandwidthBytesPerSecond: 128 * MIB + 1, ...changes },
  });
  const { uuid } = vmWith();
  const argumentsOf = (
    given: ReturnType<typeof spec>,
    changes = {},
    { persistent = false, resume = false } = {},
  ): string => {
    const options = migrateOptions(given, settings(changes), persistent);
    return migrateArguments(uuid, options, "libvirt:hv-02?memory=10.0.0.2", settings(changes), resume).join(" ");
  };
  const ends = "--desturi qemu+tls://hv-02/system --migrateuri tcp://10.0.0.2";
  const head = "migrate --p2p --abort-on-error";

  test.each([
    ["pre-copy", argumentsOf(spec("pre-copy")), `${head} --live --bandwidth 128 --domain ${uuid} ${ends}`],
    ["stop-and-copy", argumentsOf(spec("stop-and-copy")), `${head} --bandwidth 128 --domain ${uuid} ${ends}`],
    [
      "post-copy with a ceiling",
      argumentsOf(spec("post-copy"), { postCopyBytesPerSecond: 64 * MIB }),
      `${head} --live --bandwidth 1 --postcopy --postcopy-bandwidth 64 --domain ${uuid} ${ends}`,
    ],
    [
      "a post-copy that goes on",
      argumentsOf(spec("post-copy"), { tls: true }, { resume: true }),
      `${head} --live --bandwidth 1 --postcopy --tls --tls-destination hv-02 --postcopy-resume --domain ${uuid} ${ends}`,
    ],
    [
      "a definition, auto-converge and xbzrle",
      argumentsOf(spec("pre-copy", { autoConverge: true, xbzrle: true }), {}, { persistent: true }),
      `${head} --live --persistent --undefinesource --bandwidth 128 --auto-converge --compressed --comp-methods xbzrle --domain ${uuid} ${ends}`,
    ],
    [
      "several channels, compressed and encrypted",
      argumentsOf(spec("pre-copy", { multifdChannels: 4, compression: "zstd" }), { tls: true }),
      `${head} --live --bandwidth 128 --compressed --comp-methods zstd --parallel --parallel-connections 4 --tls --tls-destination hv-02 --domain ${uuid} ${ends}`,
    ],
  ])("%s", (_, given, expected) => {
    expect(given).toBe(expected);
  });

  test.each([
    ["less than libvirt's unit", { maxBandwidthBytesPerSecond: MIB - 1 }, "whole MiB/s"],
    ["two compressions", { xbzrle: true, multifdChannels: 2 }, "exclude each other"],
    ["post-copy preemption", { postCopyPreempt: true }, "no flag for postcopy-preempt"],
    ["channels in post-copy", { multifdChannels: 2, onDeadline: "post-copy" }, "set multifdChannels to 0"],
  ])("refuses %s", (_, changes, reason) => {
    expect(() => argumentsOf(spec("pre-copy", changes))).toThrow(reason);
  });

  test("no word of another host becomes anything of libvirt's but a name", () => {
    expect(readMigrationUri("libvirt:hv-02", settings())).toMatchObject({ migrateuri: null });
    expect(readMigrationUri("libvirt:fd00::2?memory=fd01::2", settings())).toEqual({
      desturi: "qemu+tls://[fd00::2]/system",
      migrateuri: "tcp://[fd01::2]",
      address: "fd00::2",
    });
    const other = fc
      .string({ unit: "grapheme-ascii" })
      .filter((text) => !/^[A-Za-z0-9:][\w.:-]*(\?memory=.*)?$/.test(text));
    fc.assert(
      fc.property(other, (text) => {
        expect(() => readMigrationUri(`libvirt:${text}`, settings())).toThrow(
          "is not what a libvirt driver has prepared",
        );
      }),
    );
    for (const bad of [
      "libvirt:a/system?command=x",
      "libvirt:-x",
      "qemu+ext://a/system",
      "tcp:a:1",
      "libvirt:a?memory=b/c",
    ])
      expect(() => readMigrationUri(bad, settings())).toThrow("is not what a libvirt driver has prepared");
  });
});

test.each([
  [{ address: "hv-01" }, "set tls, or plaintext"],
  [{ address: "hv-01", tls: true, destinationUri: "qemu+tls://hv-02/system" }, "must hold {address}"],
  [{ address: "hv 01", tls: true }, "a host name or an IP address"],
])("settings %j are refused", (changes, message) => {
  const given = libvirtConfig.safeParse({ name: "libvirt", directory: "/var/lib/drover", ...changes });
  expect(given.error?.message).toContain(message);
});
