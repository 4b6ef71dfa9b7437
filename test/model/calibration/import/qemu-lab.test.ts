import { describe, expect, test } from "vitest";
import { lab, reasonOf, rowOf } from "./records.ts";
import type { Record_ } from "./records.ts";

const MIB = 2 ** 20;

describe("rows of the QEMU lab", () => {
  test("collector's figures and configured parameters, in base units; the workload is not read", () => {
    expect(rowOf(lab())).toEqual({
      line: 1,
      at: null,
      subject: null,
      measured: { totalMs: 2500, downtimeMs: 62.5, transferredBytes: 320_000_000, lostVcpuSeconds: 0.5 },
      converged: true,
      input: {
        hypervisor: "kvm",
        driver: "qmp",
        hypervisorVersion: "7.2.22",
        accelerator: "tcg",
        resumedBy: "hypervisor",
        vm: {
          memoryBytes: 537_001_984,
          nonzeroBytes: 300_000_000,
          pageSizeBytes: 4096,
          vcpus: 2,
          cpuUsedCores: 0.25,
          dirtyRateBytesPerSecond: 9_437_184,
          dirtyRateWindowMs: 1000,
        },
        link: { bytesPerSecond: 2e9, rttMs: 0.05, concurrentMigrations: 0 },
        parameters: {
          maxBandwidthBytesPerSecond: 67_108_864,
          maxPostCopyBandwidthBytesPerSecond: 67_108_864,
          downtimeLimitMs: 200,
          autoConverge: false,
          xbzrle: false,
          xbzrleCacheBytes: 67_108_864,
          multifdChannels: 0,
          compression: "none",
          compressThreads: 0,
          preCopyRounds: 1,
          deadlineMs: 30_000,
          onDeadline: "cancel",
        },
        mechanisms: ["pre-copy"],
      },
    });
  });

  test.each<[string, string, Record_]>([
    [
      "precopy+auto-converge",
      "pre-copy",
      { autoConverge: true, xbzrle: false, multifdChannels: 0, compressThreads: 0 },
    ],
    ["precopy+xbzrle", "pre-copy", { autoConverge: false, xbzrle: true, multifdChannels: 0, compressThreads: 0 }],
    ["precopy+multifd", "pre-copy", { xbzrle: false, multifdChannels: 4, compression: "none", compressThreads: 0 }],
    ["precopy+compress", "pre-copy", { xbzrle: false, multifdChannels: 0, compression: "none", compressThreads: 3 }],
    ["postcopy", "post-copy", { multifdChannels: 0 }],
    ["hybrid", "hybrid", { preCopyRounds: 1 }],
    ["stopcopy", "stop-and-copy", { autoConverge: false }],
  ])("%s", (mech, mechanism, parameters) => {
    const { input } = rowOf(lab({ spec: { mech } }));
    expect(input.mechanisms).toEqual([mechanism]);
    expect(input.parameters).toMatchObject(parameters);
  });

  test.each<[string, Record_, Record_]>([
    ["a shaped link", { link_mbit: 400 }, { link: { bytesPerSecond: 5e7 } }],
    ["another one at once", { concurrent_with: "x2" }, { link: { concurrentMigrations: 1 } }],
    [
      "post-copy unlimited",
      { spec: { postcopy_bw_mibps: 0 } },
      { parameters: { maxPostCopyBandwidthBytesPerSecond: null } },
    ],
    [
      "post-copy with a limit of its own",
      { spec: { postcopy_bw_mibps: 16 } },
      { parameters: { maxPostCopyBandwidthBytesPerSecond: 16 * MIB } },
    ],
    [
      "fewer samples",
      { pre: { dirty_rate_sampling4096_mibps: null, dirty_rate_sampling512_mibps: 12 } },
      { vm: { dirtyRateBytesPerSecond: 12 * MIB } },
    ],
    [
      "samples over what there is are cut",
      { pre: { nonzero_bytes_sampled: 6e8, vcpu_util: 2.02, dirty_rate_sampling4096_mibps: 513 } },
      { vm: { nonzeroBytes: 537_001_984, cpuUsedCores: 2, dirtyRateBytesPerSecond: 537_001_984 } },
    ],
  ])("%s", (_, parts, expected) => expect(rowOf(lab(parts)).input).toMatchObject(expected));

  test("no dirty rate: none is made up", () => {
    const { vm } = rowOf(lab({ pre: { dirty_rate_sampling4096_mibps: null } })).input;
    expect(vm).not.toHaveProperty("dirtyRateBytesPerSecond");
    expect(vm).not.toHaveProperty("dirtyRateWindowMs");
  });

  test("a nested record may come flattened, with dotted names", () => {
    const flat = Object.fromEntries(
      Object.entries(lab()).flatMap(([name, value]) =>
        typeof value === "object" && value !== null
          ? Object.entries(value).map(([key, each]): [string, unknown] => [`${name}.${key}`, each])
          : [[name, value]],
      ),
    );
    expect(rowOf({ ...flat, result: "", pre: "" })).toEqual(rowOf(lab()));
  });

  test.each<[string, Record_, string]>([
    ["a run that failed", { ok: false }, "the run itself failed"],
    ["a disturbed run", { disturbed: true }, "something else used the host's CPU meanwhile"],
    [
      "an unknown mechanism",
      { spec: { mech: "precopy+magic" } },
      'spec.mech: is "precopy+magic", must be one of precopy',
    ],
  ])("rejected: %s", (_, parts, reason) => expect(reasonOf(lab(parts))).toContain(reason));
});
