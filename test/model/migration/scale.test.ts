// What is free of scale in the cost models: which figures would be the same with bytes or seconds of another size.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  akoushBounds,
  dirtyTablePreCopy,
  geometricPreCopy,
  workingSetCappedPreCopy,
} from "../../../worker/model/migration/closed-forms.ts";
import { measuredCurve, saturatingCurve } from "../../../worker/model/migration/dirty-curve.ts";
import { hybrid } from "../../../worker/model/migration/hybrid.ts";
import { postCopy } from "../../../worker/model/migration/post-copy.ts";
import { preCopy } from "../../../worker/model/migration/pre-copy.ts";
import type { Course, Scenario } from "../../../worker/model/migration/scenario.ts";
import { stopAndCopy } from "../../../worker/model/migration/stop-and-copy.ts";
import { copyDisks } from "../../../worker/model/migration/storage.ts";
import { medianScenario, plainInput } from "./support.ts";

const RUNS = { numRuns: 200, seed: 37 };
const scale = fc.double({ min: 0.01, max: 100, noNaN: true });
const anyMechanism = fc.constantFrom("pre-copy", "post-copy", "hybrid", "stop-and-copy");

/** What is measured in bytes, with a byte `by` times as small. */
function inSmallerBytes(scenario: Scenario, by: number): Scenario {
  const { rates } = scenario;
  return {
    ...scenario,
    memoryBytes: by * scenario.memoryBytes,
    nonzeroBytes: by * scenario.nonzeroBytes,
    pageBytes: by * scenario.pageBytes,
    dirtied: (windowMs) => by * scenario.dirtied(windowMs),
    dirtiedMaxBytes: by * scenario.dirtiedMaxBytes,
    rates: {
      roundsBytesPerSecond: by * rates.roundsBytesPerSecond,
      firstRoundBytesPerSecond: by * rates.firstRoundBytesPerSecond,
      lineBytesPerSecond: by * rates.lineBytesPerSecond,
    },
    compressBytesPerSecond: by * scenario.compressBytesPerSecond,
    burstMsPerByte: scenario.burstMsPerByte / by,
    firstTouchMsPerByte: scenario.firstTouchMsPerByte / by,
    discardMsPerByte: scenario.discardMsPerByte / by,
    endNormalMaxBytes: by * scenario.endNormalMaxBytes,
    postCopyBytesPerSecond: by * scenario.postCopyBytesPerSecond,
    freeBytes: by * scenario.freeBytes,
  };
}

describe("bytes have no scale of their own: a byte that is smaller gives more of them and the same times", () => {
  const courses = { "pre-copy": preCopy, "post-copy": postCopy, hybrid, "stop-and-copy": stopAndCopy };

  /**
   * Four figures are of real machines and fix a scale: how fast zero pages are told from others, the dirty log's chunks, what
   * every guest uses once it runs, and (not in a scenario any more) page headers. None of them is at work here.
   */
  const scaleFree = plainInput.map((input) => ({
    ...input,
    vm: { ...input.vm, nonzeroBytes: input.vm.memoryBytes, cpuUsedCores: 0 },
  }));

  const timesOf = ({ preparationMs, downtimeMs, resumeMs, lostVcpuSeconds, remoteFaults, rounds }: Course) => [
    preparationMs,
    downtimeMs ?? 0,
    resumeMs,
    lostVcpuSeconds,
    remoteFaults,
    rounds.length,
    ...rounds.map(({ durationMs }) => durationMs),
  ];

  test("every mechanism's course", () => {
    fc.assert(
      fc.property(scaleFree, scale, anyMechanism, (input, by, mechanism) => {
        const scenario = { ...medianScenario(input, mechanism), skipsAheadOfScan: false };
        const [as, scaled] = [courses[mechanism](scenario), courses[mechanism](inSmallerBytes(scenario, by))];
        for (const [index, value] of timesOf(as).entries())
          expect(timesOf(scaled)[index] ?? Number.NaN).toBeCloseTo(value, 4 - Math.ceil(Math.log10(1 + value)));
        expect(scaled.wireBytes / as.wireBytes / by).toBeCloseTo(1, 6);
        expect(scaled.stopRule).toBe(as.stopRule);
      }),
      RUNS,
    );
  });

  test("the copy of disks", () => {
    const { disks, rates } = {
      disks: [{ bytes: 10e9, classes: [{ bytes: 1e9, dirtyBytesPerSecond: 1e8 }] }],
      rates: { lineBytesPerSecond: 3e8, perDiskBytesPerSecond: 2e8 },
    };
    fc.assert(
      fc.property(scale, fc.constantFrom("sequential" as const, "cold-first" as const), (by, order) => {
        const as = copyDisks(disks, rates, { mode: "pre-copy", order });
        const scaled = copyDisks(
          disks.map(({ bytes, classes }) => ({
            bytes: by * bytes,
            classes: classes.map((each) => ({
              bytes: by * each.bytes,
              dirtyBytesPerSecond: by * each.dirtyBytesPerSecond,
            })),
          })),
          {
            lineBytesPerSecond: by * rates.lineBytesPerSecond,
            perDiskBytesPerSecond: by * rates.perDiskBytesPerSecond,
          },
          { mode: "pre-copy", order },
        );
        expect(scaled.beforeMs / as.beforeMs).toBeCloseTo(1, 9);
        expect(scaled.extraBytes / as.extraBytes / by).toBeCloseTo(1, 9);
      }),
      RUNS,
    );
  });
});

describe("curves and closed forms have neither a byte nor a second of their own", () => {
  const facts = {
    memoryBytes: 1024e6,
    bytesPerSecond: 100e6,
    dirtyBytesPerSecond: 25e6,
    workingSetBytes: 200e6,
    thresholdBytes: 1e6,
    pageBytes: 4096,
    setupMs: 2000,
    switchoverMs: 100,
  };
  type Facts = typeof facts;

  /** Bytes times `size`, times times `time`. */
  const scaledFacts = (size: number, time: number): Facts => ({
    memoryBytes: size * facts.memoryBytes,
    bytesPerSecond: (size / time) * facts.bytesPerSecond,
    dirtyBytesPerSecond: (size / time) * facts.dirtyBytesPerSecond,
    workingSetBytes: size * facts.workingSetBytes,
    thresholdBytes: size * facts.thresholdBytes,
    pageBytes: size * facts.pageBytes,
    setupMs: time * facts.setupMs,
    switchoverMs: time * facts.switchoverMs,
  });

  test.each([
    ["geometric", geometricPreCopy, "bytes"],
    ["capped by the working set", workingSetCappedPreCopy, "bytes"],
    ["Akoush's upper bound", (of: Facts) => akoushBounds(of).upper, "transferredBytes"],
  ] as const)("%s", (_, form, bytesOf) => {
    fc.assert(
      fc.property(scale, scale, (size, time) => {
        const as = form(facts) as Record<string, number>;
        const scaled = form(scaledFacts(size, time)) as Record<string, number>;
        expect(scaled["rounds"]).toBe(as["rounds"]);
        expect((scaled["totalMs"] ?? 0) / (as["totalMs"] ?? 0) / time).toBeCloseTo(1, 9);
        expect((scaled[bytesOf] ?? 0) / (as[bytesOf] ?? 0) / size).toBeCloseTo(1, 9);
      }),
      RUNS,
    );
  });

  test("dirty curves", () => {
    const points = [
      { windowMs: 1000, bytes: 40e6 },
      { windowMs: 5000, bytes: 120e6 },
    ];
    fc.assert(
      fc.property(scale, scale, fc.double({ min: 1, max: 1e5, noNaN: true }), (size, time, windowMs) => {
        const larger = points.map((point) => ({ windowMs: time * point.windowMs, bytes: size * point.bytes }));
        const measured = measuredCurve(points, 1e9)(windowMs);
        expect(measuredCurve(larger, size * 1e9)(time * windowMs) / measured / size).toBeCloseTo(1, 9);
        const guessed = saturatingCurve(40e6, 1000, 2e8)(windowMs);
        expect(saturatingCurve(size * 40e6, time * 1000, size * 2e8)(time * windowMs) / guessed / size).toBeCloseTo(
          1,
          9,
        );
      }),
      RUNS,
    );
  });

  test("the dirty table: only pages have a size, that of their header", () => {
    const table = {
      periodsMs: [1000, 2000, 4000],
      dirtySamples: [10, 15, 20],
      sampledPages: 1000,
      zeroSamples: 0,
      totalPages: 1e6,
      pageBytes: 4096,
    };
    const link = { bytesPerSecond: 1e9, downtimeMs: 100, deadlineMs: 3_600_000 };
    const as = dirtyTablePreCopy(table, link);
    expect(as).not.toBeNull();
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), (by) => {
        const more = dirtyTablePreCopy(
          { ...table, totalPages: by * table.totalPages },
          { ...link, bytesPerSecond: by * link.bytesPerSecond },
        );
        expect(more?.rounds).toBe(as?.rounds);
        expect(more?.totalMs).toBeCloseTo(as?.totalMs ?? 0, 6);
      }),
      RUNS,
    );
  });
});
