import { describe, expect, test } from "vitest";
import { checkEstimateInput } from "../../../worker/model/migration/index.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { estimateInput } from "../../../worker/model/migration/types.ts";
import { inputOf } from "./support.ts";

type Raw = Parameters<typeof inputOf>[0];

test("an ordinary input has no problems", () => {
  expect(checkEstimateInput(inputOf())).toEqual([]);
});

const BAD: [name: string, raw: Raw, path: string, bound: string][] = [
  ["more non-zero memory than memory", { vm: { nonzeroBytes: 9 * GIB } }, "vm.nonzeroBytes", `${8 * GIB}`],
  ["a working set beyond the memory", { vm: { workingSetBytes: 9 * GIB } }, "vm.workingSetBytes", `${8 * GIB}`],
  ["pages that are no power of two", { vm: { pageSizeBytes: 5000 } }, "vm.pageSizeBytes", "power of two"],
  ["more cores used than twice the vCPUs", { vm: { cpuUsedCores: 9 } }, "vm.cpuUsedCores", "(8)"],
  [
    "more distinct bytes in a window than there are",
    { vm: { dirtyRateBytesPerSecond: 1e10 } },
    "vm.dirtyRateBytesPerSecond",
    "distinct",
  ],
  ["a link slower than a modem", { link: { bytesPerSecond: 10 } }, "link.bytesPerSecond", "1000"],
  [
    "a bandwidth of nothing",
    { parameters: { maxBandwidthBytesPerSecond: 1 } },
    "parameters.maxBandwidthBytesPerSecond",
    "1000",
  ],
  [
    "post-copy after the deadline",
    { parameters: { postCopyAfterMs: 5000, deadlineMs: 4000 } },
    "parameters.postCopyAfterMs",
    "4000",
  ],
  ["a mechanism twice", { mechanisms: ["hybrid" as const, "hybrid" as const] }, "mechanisms.1", "twice"],
  ["more free than memory", { vm: { freeBytes: 9 * GIB } }, "vm.freeBytes", `${8 * GIB}`],
  [
    "pages larger than the memory",
    { vm: { memoryBytes: MIB, nonzeroBytes: 0, dirtyRateBytesPerSecond: 0, pageSizeBytes: 2 * MIB } },
    "vm.pageSizeBytes",
    `${MIB}`,
  ],
  [
    "a post-copy bandwidth of nothing",
    { parameters: { maxPostCopyBandwidthBytesPerSecond: 999 } },
    "parameters.maxPostCopyBandwidthBytesPerSecond",
    "1000",
  ],
  [
    "compress threads beside multifd, which QEMU refuses",
    { parameters: { compressThreads: 2, multifdChannels: 4 } },
    "parameters.multifdChannels",
    "compressThreads (2)",
  ],
  [
    "compress threads beside multifd's compression",
    { parameters: { compressThreads: 2, compression: "zstd" } },
    "parameters.compression",
    "compressThreads (2)",
  ],
  [
    "an xbzrle cache that QEMU refuses",
    { parameters: { xbzrleCacheBytes: 65 * MIB } },
    "parameters.xbzrleCacheBytes",
    "power of two",
  ],
  [
    "an xbzrle cache smaller than a page",
    { vm: { pageSizeBytes: 65_536 }, parameters: { xbzrleCacheBytes: 4096 } },
    "parameters.xbzrleCacheBytes",
    "(65536)",
  ],
  ["an accelerator that is not KVM's", { hypervisor: "xen", accelerator: "tcg" }, "accelerator", "xen"],
  ["agents that resume where no driver runs", { hypervisor: "vmware", resumedBy: "agents" }, "resumedBy", "vmware"],
  [
    "windows that overlap",
    {
      forecast: [
        { startsInMs: 0, durationMs: 5000, dirtyRatio: 1, linkRatio: 1 },
        { startsInMs: 4000, durationMs: 5000, dirtyRatio: 1, linkRatio: 1 },
      ],
    },
    "forecast.1.startsInMs",
    "(5000)",
  ],
  [
    "windows that go back",
    {
      forecast: [
        { startsInMs: 9000, durationMs: 10, dirtyRatio: 1, linkRatio: 1 },
        { startsInMs: 8000, durationMs: 10, dirtyRatio: 1, linkRatio: 1 },
      ],
    },
    "forecast.1.startsInMs",
    "(9010)",
  ],
  [
    "more cores used than the host has",
    { hosts: { source: { cores: 8, cpuUsedCores: 9 } } },
    "hosts.source.cpuUsedCores",
    "(8)",
  ],
  [
    "a host that takes less under load",
    { hosts: { destination: { power: { idleWatts: 200, peakWatts: 100 } } } },
    "hosts.destination.power.peakWatts",
    "(200)",
  ],
  [
    "a table of watts that falls",
    { hosts: { source: { power: { tableWatts: [10, 20, 15, 40, 50, 60, 70, 80, 90, 100, 110] } } } },
    "hosts.source.power.tableWatts.2",
    "(20)",
  ],
  [
    "more of a disk allocated than it has",
    { vm: { disks: [{ bytes: 5000, allocatedBytes: 5001 }] } },
    "vm.disks.0.allocatedBytes",
    "(5000)",
  ],
  [
    "more distinct bytes written to a disk than are allocated",
    { vm: { disks: [{ bytes: 5000 }, { bytes: 5000, allocatedBytes: 100, dirtyBytesPerSecond: 101 }] } },
    "vm.disks.1.dirtyBytesPerSecond",
    "(100)",
  ],
  [
    "write classes of more than is allocated",
    {
      vm: {
        disks: [
          {
            bytes: 5000,
            allocatedBytes: 100,
            writeClasses: [60, 50].map((bytes) => ({ bytes, dirtyBytesPerSecond: 1 })),
          },
        ],
      },
    },
    "vm.disks.0.writeClasses",
    "(100)",
  ],
  [
    "a write class that is written whole more than once a second",
    { vm: { disks: [{ bytes: 5000, writeClasses: [{ bytes: 50, dirtyBytesPerSecond: 51 }] }] } },
    "vm.disks.0.writeClasses.0.dirtyBytesPerSecond",
    "(50)",
  ],
];

test.each(BAD)("%s: the field and the bound", (_, raw, path, bound) => {
  const problems = checkEstimateInput(inputOf(raw));
  expect(problems.map((problem) => problem.path)).toEqual([path]);
  expect(problems[0]?.message).toContain(bound);
});

test.each([
  [
    "bytes that fall",
    [
      [1000, 5e6],
      [2000, 4e6],
    ],
    "vm.dirtyCurve.1.bytes",
  ],
  [
    "windows that do not rise",
    [
      [1000, 5e6],
      [1000, 6e6],
    ],
    "vm.dirtyCurve.1.windowMs",
  ],
  ["more than the memory", [[1000, 5e12]], "vm.dirtyCurve.0.bytes"],
])("a dirty curve with %s", (_, points, path) => {
  const dirtyCurve = points.map(([windowMs = 0, bytes = 0]) => ({ windowMs, bytes }));
  expect(checkEstimateInput(inputOf({ vm: { dirtyCurve } })).map((problem) => problem.path)).toEqual([path]);
});

describe("figures that are none", () => {
  const whole = inputOf({
    vm: {
      dirtyCurve: [{ windowMs: 1000, bytes: 1e6 }],
      workingSetBytes: GIB,
      freeBytes: GIB,
      compressionRatio: 2,
      deltaHitRatio: 0.5,
      disks: [
        {
          bytes: GIB,
          allocatedBytes: GIB,
          dirtyBytesPerSecond: 1,
          writeClasses: [{ bytes: 1, dirtyBytesPerSecond: 1 }],
        },
      ],
    },
    link: { failuresPerYear: 1, lossRatio: 0 },
    parameters: {
      maxBandwidthBytesPerSecond: 1e8,
      maxPostCopyBandwidthBytesPerSecond: 1e8,
      downtimeLimitMs: 300,
      preCopyRounds: 1,
      postCopyAfterMs: 0,
      deadlineMs: 90_000,
      xbzrleCacheBytes: MIB,
      multifdChannels: 0,
      compressThreads: 0,
    },
    downtimeSloMs: 100,
    hosts: { source: { cores: 8, cpuUsedCores: 1, failuresPerYear: 1, power: { idleWatts: 1, peakWatts: 2 } } },
    forecast: [{ startsInMs: 0, durationMs: 1, dirtyRatio: 1, linkRatio: 1 }],
  });
  const paths = numbersIn(whole, []);

  test("the input has a number in every field that may have one", () => {
    expect(estimateInput.safeParse(whole).success).toBe(true);
    expect(paths.length).toBeGreaterThan(35);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -1, "1"])(
    "%s is refused in every field, and the field named",
    (value) => {
      // What may be one of two shapes is named as a whole.
      const named = (path: string[]) =>
        (estimateInput.safeParse(withNumber(whole, path, value)).error?.issues ?? []).some(
          (issue) => issue.path.length > 0 && issue.path.every((part, at) => String(part) === path[at]),
        );
      expect(paths.filter((path) => !named(path))).toEqual([]);
    },
  );

  test.each([
    ["vm.memoryBytes", 0, ">0"],
    ["vm.memoryBytes", 1e15 + 1, "<=1000000000000000"],
    ["vm.memoryBytes", 4096.5, "int"],
    ["vm.pageSizeBytes", 511, ">=512"],
    ["vm.dirtyRateBytesPerSecond", 1e14 + 1, "<=100000000000000"],
    ["vm.dirtyRateWindowMs", 0, ">0"],
    ["vm.dirtyCurve.0.windowMs", 0, ">0"],
    ["vm.compressionRatio", 0.9, ">=1"],
    ["vm.deltaHitRatio", 1.1, "<=1"],
    ["link.bytesPerSecond", 0, ">0"],
    ["link.bytesPerSecond", 1e15, "<=100000000000000"],
    ["link.lossRatio", 1.1, "<=1"],
    ["parameters.maxBandwidthBytesPerSecond", 0, ">0"],
    ["parameters.maxPostCopyBandwidthBytesPerSecond", 0, ">0"],
    ["parameters.downtimeLimitMs", 0, ">=1"],
    ["parameters.deadlineMs", 999, ">=1000"],
    ["parameters.xbzrleCacheBytes", 4095, ">=4096"],
    ["downtimeSloMs", 0, ">0"],
    ["forecast.0.durationMs", 0, ">0"],
    ["forecast.0.linkRatio", 0, ">0"],
  ])("%s of %d: the message has the bound %s", (path, value, bound) => {
    const { error } = estimateInput.safeParse(withNumber(whole, path.split("."), value));
    expect(error?.issues.map((issue) => issue.path.join("."))).toEqual([path]);
    expect(error?.issues[0]?.message).toContain(bound);
  });
});

/** Where the numbers are. */
function numbersIn(value: unknown, path: string[]): string[][] {
  if (typeof value === "number") return [path];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => numbersIn(inner, [...path, key]));
}

/** The same with one of them replaced. */
function withNumber(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value))
    return value.map((inner, index) => (String(index) === key ? withNumber(inner, rest, by) : inner));
  const all = value as Record<string, unknown>;
  return { ...all, [key]: withNumber(all[key], rest, by) };
}
