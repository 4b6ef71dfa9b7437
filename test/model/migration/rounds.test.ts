import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { olderThan } from "../../../worker/model/migration/resolve-stream.ts";
import { qemuRounds } from "../../../worker/model/migration/rounds.ts";
import type { Scenario } from "../../../worker/model/migration/scenario.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { inputOf, medianScenario } from "./support.ts";

type Raw = Parameters<typeof inputOf>[0];

const scenarioWith = (raw: Raw) => medianScenario(inputOf(raw), "pre-copy");
const run = (scenario: Scenario) => qemuRounds(scenario, { rounds: 1000, untilMs: Number.POSITIVE_INFINITY });
/** 1 GiB, all of it non-zero, at 100 MiB/s over a faster line: the threshold is 30 MiB. */
const plain: Raw = {
  accelerator: "tcg",
  vm: { memoryBytes: GIB, nonzeroBytes: GIB },
  link: { bytesPerSecond: 1e9 },
  parameters: { maxBandwidthBytesPerSecond: 100 * MIB, downtimeLimitMs: 300, deadlineMs: 86_400_000 },
};

describe("what is pending after a round", () => {
  test("counts a page once that was left over and dirtied again", () => {
    // Every window finds the same 200 MiB dirty: never more can be pending, however much of them was left over.
    const scenario = { ...scenarioWith(plain), dirtied: (t: number) => (t > 0 ? 200 * MIB : 0) };
    const end = qemuRounds(scenario, { rounds: 5, untilMs: Number.POSITIVE_INFINITY });
    expect(end.stop).toBe("rounds");
    expect(end.normalBytes / MIB).toBeCloseTo(200, 6);
  });

  test("may be more than the memory that was not zero: writes make zero pages normal", () => {
    const vm = {
      memoryBytes: GIB,
      nonzeroBytes: 64 * MIB,
      workingSetBytes: 512 * MIB,
      dirtyRateBytesPerSecond: 400 * MIB,
    };
    const end = qemuRounds(scenarioWith({ ...plain, vm }), { rounds: 3, untilMs: Number.POSITIVE_INFINITY });
    expect(end.normalBytes).toBeGreaterThan(64 * MIB);
  });
});

test("the first round is no faster than the destination makes memory, the later ones are", () => {
  const scenario = {
    ...scenarioWith({ ...plain, parameters: { ...plain?.parameters, maxBandwidthBytesPerSecond: 800 * MIB } }),
    dirtied: (t: number) => Math.min(300 * MIB, 1e6 * t),
  };
  const { rounds } = run(scenario);
  const pace = rounds.map(({ bytes, durationMs }) => bytes / durationMs / 1000);
  expect(pace[0]).toBeLessThan(365);
  expect(pace[1]).toBeGreaterThan(700);
});

describe("xbzrle", () => {
  const hot = { ...plain?.vm, workingSetBytes: 60 * MIB, dirtyRateBytesPerSecond: 40 * MIB };
  const rounds = (parameters: object, vm: object = {}) =>
    run(
      scenarioWith({
        ...plain,
        vm: { ...hot, ...vm },
        parameters: { ...plain?.parameters, downtimeLimitMs: 20, ...parameters },
      }),
    );

  test("sends no fewer bytes in the first two rounds: nothing is in the cache yet", () => {
    const [without, with_] = [rounds({}), rounds({ xbzrle: true })];
    expect(with_.rounds.slice(0, 2)).toEqual(without.rounds.slice(0, 2));
  });

  test.each([
    ["with a cache that holds the working set", {}, {}, true],
    ["with a cache of a hundredth of it", { xbzrleCacheBytes: 600 * 1024 }, {}, false],
    ["of pages that are rewritten whole", {}, { deltaHitRatio: 0 }, false],
  ])("%s", (_, parameters, vm, saves) => {
    const ratio = rounds({ xbzrle: true, ...parameters }, vm).wireBytes / rounds({}).wireBytes;
    expect(ratio).toBeLessThanOrEqual(1 + 1e-9);
    expect(ratio < 0.99).toBe(saves);
  });
});

describe("compression", () => {
  const bytes = (raw: Raw) =>
    estimateMigration(inputOf({ ...raw, mechanisms: ["pre-copy"] })).estimates[0]?.transferredBytes.p50 ?? 0;
  const zstd = { multifdChannels: 4, compression: "zstd" as const };

  test("multifd divides the bytes by the ratio, from the QEMU on that counts them so", () => {
    const vm = { ...plain?.vm, compressionRatio: 2.5, dirtyRateBytesPerSecond: 0 };
    const sent = (hypervisorVersion: string) =>
      bytes({ ...plain, hypervisorVersion, vm, parameters: { ...plain?.parameters, ...zstd } }) / GIB;
    expect(sent("10.0.13")).toBeCloseTo(1 / 2.5, 1);
    expect(sent("7.2.22")).toBeCloseTo(1, 1);
  });

  test("a sender that compresses is no faster than its threads, however fast the link", () => {
    const vm = { memoryBytes: GIB, nonzeroBytes: GIB, compressionRatio: 3, dirtyRateBytesPerSecond: 0 };
    const [estimate] = estimateMigration(
      inputOf({
        vm,
        link: { bytesPerSecond: 1e10 },
        parameters: { maxBandwidthBytesPerSecond: 1e10, compressThreads: 2 },
        mechanisms: ["pre-copy"],
      }),
    ).estimates;
    // Two threads of 29 MB/s: 18.5 s for a GiB.
    expect(estimate?.totalMs.p50).toBeGreaterThan(17_000);
  });

  test.each([
    ["7.2.22", true],
    ["8.0", true],
    ["QEMU 7.2.22", true],
    ["8.1.0", false],
    ["10.0.13 (Debian)", false],
    ["unknown", false],
    [undefined, false],
  ])("version %s is older than 8.1: %s", (version, older) => {
    expect(olderThan(version, 8, 1)).toBe(older);
  });
});

test("one busy window says that the working set lies near it, one of an idle guest does not", () => {
  const vm = { memoryBytes: GIB, nonzeroBytes: GIB, vcpus: 2, dirtyRateBytesPerSecond: 64 * MIB };
  const dirtied = (cpuUsedCores: number, ms: number) =>
    scenarioWith({ ...plain, vm: { ...vm, cpuUsedCores } }).dirtied(ms) / MIB;
  expect(dirtied(2, 10_000)).toBeLessThan(70);
  expect(dirtied(0.4, 10_000)).toBeGreaterThan(150);
  expect(dirtied(2, 200)).toBeGreaterThan(60);
  expect(dirtied(0.4, 200)).toBeLessThan(20);
});

test("whatever one window says, U passes through it, never falls and never exceeds what can be dirty", () => {
  const part = fc.double({ min: 0, max: 1, noNaN: true });
  fc.assert(
    fc.property(part, part, fc.double({ min: 0, max: 2, noNaN: true }), (nonzero, dirty, cpuUsedCores) => {
      const nonzeroBytes = Math.floor(nonzero * GIB);
      const rate = dirty * nonzeroBytes;
      const vm = { memoryBytes: GIB, nonzeroBytes, vcpus: 2, cpuUsedCores, dirtyRateBytesPerSecond: rate };
      const { dirtied, dirtiedMaxBytes } = scenarioWith({ ...plain, vm });
      expect(dirtied(1000)).toBeCloseTo(rate, 0);
      const course = [0, 10, 100, 1000, 1e4, 1e5].map(dirtied);
      expect(course).toEqual(course.toSorted((a, b) => a - b));
      expect(course.at(-1)).toBeLessThanOrEqual(dirtiedMaxBytes * (1 + 1e-9));
    }),
    { numRuns: 200, seed: 5 },
  );
});
