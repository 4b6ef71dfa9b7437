import { describe, expect, test } from "vitest";
import { cloud, GIB, reasonOf, rowOf, socc, thesis } from "./records.ts";
import type { Record_ } from "./records.ts";

describe("rows of the thesis", () => {
  test.each<[string, string, Record_, number | null]>([
    ["Precopy_Convergent", "pre-copy", {}, 19],
    ["Autoconverge_16T", "pre-copy", { autoConverge: true }, 19],
    ["Postcopy_4T", "post-copy", {}, null],
    ["Postcopy_Late_16T_25s", "hybrid", { preCopyRounds: 100, postCopyAfterMs: 25_000 }, null],
    ["Stop_Copy_4T", "stop-and-copy", {}, null],
  ])("%s", (scenario, mechanism, parameters, downtimeMs) => {
    const row = rowOf(thesis({ scenario }));
    expect(row.measured).toEqual({
      totalMs: 17_219,
      downtimeMs,
      transferredBytes: 2_345_678_901,
      lostVcpuSeconds: null,
    });
    expect(row.input).toEqual({
      hypervisor: "kvm",
      driver: "qmp",
      hypervisorVersion: "10.1",
      accelerator: "kvm",
      resumedBy: "hypervisor",
      vm: { memoryBytes: 8_607_571_968, pageSizeBytes: 4096 },
      parameters,
      mechanisms: [mechanism],
    });
  });

  test.each<[Record_, string]>([
    [{ status: "cancelled" }, 'status: is "cancelled": only completed runs are counted to their end'],
    [{ scenario: "Warp_4T" }, 'scenario: is "Warp_4T", must be one of Precopy…'],
  ])("rejected: %j", (rest, reason) => expect(reasonOf(thesis(rest))).toContain(reason));
});

describe("rows of the OpenStack cloud", () => {
  test("the size and the time, and nothing more", () => {
    const { measured, input } = rowOf(cloud());
    expect(measured).toEqual({ totalMs: 17_250, downtimeMs: null, transferredBytes: null, lostVcpuSeconds: null });
    expect(input).toEqual({
      hypervisor: "kvm",
      driver: "libvirt",
      parameters: {},
      mechanisms: ["pre-copy"],
      vm: { memoryBytes: 4 * GIB, vcpus: 2 },
    });
  });

  test("block storage moves the disk along", () =>
    expect(rowOf(cloud({ storage: "block" })).input.vm.disks).toEqual([{ bytes: 40 * GIB, shared: false }]));
});

describe("rows with the columns of SoCC 2017", () => {
  test("pages become bytes", () => {
    const { measured, input } = rowOf(socc());
    expect(measured).toEqual({ totalMs: 20_000, downtimeMs: 150, transferredBytes: 2e9, lostVcpuSeconds: null });
    expect(input).toEqual({
      hypervisor: "kvm",
      driver: "libvirt",
      mechanisms: ["pre-copy"],
      vm: {
        memoryBytes: 2 * GIB,
        nonzeroBytes: 2_048_000_000,
        workingSetBytes: 204_800_000,
        pageSizeBytes: 4096,
        dirtyRateBytesPerSecond: 10_240_000,
        dirtyRateWindowMs: 1000,
        cpuUsedCores: 0.85,
      },
      parameters: { maxBandwidthBytesPerSecond: 117_000_000 },
    });
  });

  test.each<[string, string, Record_]>([
    ["THR", "pre-copy", { autoConverge: true }],
    ["DLTC", "pre-copy", { xbzrle: true }],
    ["DTC", "pre-copy", { compressThreads: 8 }],
    ["POST", "post-copy", {}],
  ])("%s", (technique, mechanism, parameters) => {
    const { input } = rowOf(socc({ technique }));
    expect(input.mechanisms).toEqual([mechanism]);
    expect(input.parameters).toEqual({ maxBandwidthBytesPerSecond: 117_000_000, ...parameters });
  });

  test("names are case-sensitive", () => expect(reasonOf(socc({ technique: "pre" }))).toContain("must be one of PRE"));
});
