import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  akoushBounds,
  closedForms,
  dirtyTablePreCopy,
  geometricPreCopy,
  workingSetCappedPreCopy,
} from "../../../worker/model/migration/closed-forms.ts";
import type { ClosedFormFacts } from "../../../worker/model/migration/closed-forms.ts";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { inputOf } from "./support.ts";

const RUNS = { numRuns: 300, seed: 23 };

const FACTS: ClosedFormFacts = {
  memoryBytes: 1024e6,
  bytesPerSecond: 100e6,
  dirtyBytesPerSecond: 25e6,
  workingSetBytes: 1024e6,
  thresholdBytes: 1e6,
  pageBytes: 4096,
  setupMs: 0,
  switchoverMs: 0,
};

const facts: fc.Arbitrary<ClosedFormFacts> = fc
  .record({
    memoryBytes: fc.double({ min: 1e6, max: 1e12, noNaN: true }),
    bytesPerSecond: fc.double({ min: 1e6, max: 1e10, noNaN: true }),
    dirtyRatio: fc.double({ min: 0, max: 2, noNaN: true }),
    setRatio: fc.double({ min: 0, max: 1, noNaN: true }),
    thresholdRatio: fc.double({ min: 1e-4, max: 0.5, noNaN: true }),
    setupMs: fc.nat(1000),
    switchoverMs: fc.nat(1000),
  })
  .map(({ memoryBytes, bytesPerSecond, dirtyRatio, setRatio, thresholdRatio, ...rest }) => ({
    ...rest,
    memoryBytes,
    bytesPerSecond,
    dirtyBytesPerSecond: dirtyRatio * bytesPerSecond,
    workingSetBytes: setRatio * memoryBytes,
    thresholdBytes: thresholdRatio * memoryBytes,
    pageBytes: 4096,
  }));

describe("the geometric closed form", () => {
  test("1024 MB at 100 MB/s, 25 MB/s dirtied, threshold 1 MB: five more rounds, 1365 MB, 13.65 s, the last round 10 ms", () => {
    const answer = geometricPreCopy(FACTS);
    expect(answer?.rounds).toBe(5);
    expect(answer?.bytes).toBeCloseTo(1365e6, -6);
    expect(answer?.totalMs).toBeCloseTo(13_650, -1);
    expect(answer?.lastRoundMs).toBeCloseTo(10, 6);
  });

  test.each([
    ["nothing dirtied: one more round with nothing in it", { dirtyBytesPerSecond: 0 }, 1, 1024e6, 0],
    ["all fits the threshold: none", { thresholdBytes: 2048e6, dirtyBytesPerSecond: 100e6 }, 0, 1024e6, 10_240],
    [
      "half as much each: 1024, 512, 256, and 128 with the VM stopped",
      { dirtyBytesPerSecond: 50e6, thresholdBytes: 200e6 },
      3,
      1920e6,
      1280,
    ],
  ])("%s", (_, of, rounds, bytes, lastRoundMs) => {
    const answer = geometricPreCopy({ ...FACTS, ...of });
    expect(answer?.rounds).toBe(rounds);
    expect(answer?.bytes).toBeCloseTo(bytes, 0);
    expect(answer?.lastRoundMs).toBeCloseTo(lastRoundMs, 6);
  });

  test("does not converge where as much is dirtied as sent", () => {
    expect(geometricPreCopy({ ...FACTS, dirtyBytesPerSecond: 100e6 })).toBeNull();
  });
});

describe("the series capped by the working set", () => {
  test("a working set under the threshold converges however fast it is dirtied", () => {
    const hot = { ...FACTS, dirtyBytesPerSecond: 500e6, workingSetBytes: 20e6, thresholdBytes: 30e6 };
    expect(workingSetCappedPreCopy(hot)).toMatchObject({ rounds: 1, bytes: 1044e6, lastRoundMs: 200 });
    expect(workingSetCappedPreCopy({ ...hot, thresholdBytes: 10e6 })).toBeNull();
    expect(geometricPreCopy(hot)).toBeNull();
  });

  test("is never more than the plain series, and the same where the cap does not bind", () => {
    fc.assert(
      fc.property(facts, (of) => {
        const plain = geometricPreCopy(of);
        fc.pre(plain !== null);
        expect(workingSetCappedPreCopy(of)?.bytes).toBeLessThanOrEqual((plain?.bytes ?? 0) * (1 + 1e-9));
        const wide = workingSetCappedPreCopy({ ...of, workingSetBytes: of.memoryBytes });
        expect(wide?.bytes).toBeCloseTo(plain?.bytes ?? 0, -3);
      }),
      RUNS,
    );
  });
});

describe("Akoush's bounds", () => {
  test("1024 MB at 100 MB/s, 2 s before and 0.1 s at the stop", () => {
    const { lower, upper } = akoushBounds({ ...FACTS, setupMs: 2000, switchoverMs: 100 });
    expect(lower).toMatchObject({ totalMs: 12_240, downtimeMs: 100, transferredBytes: 1024e6 });
    expect(upper).toMatchObject({ downtimeMs: 10_340, transferredBytes: 5120e6 - 4096 });
    expect(upper.totalMs).toBeCloseTo(53_299.959, 3);
  });

  test("enclose Xen's old loop, for any guest", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1e10, noNaN: true }),
        fc.double({ min: 5e7, max: 1e9, noNaN: true }),
        (dirtyRateBytesPerSecond, bytesPerSecond) => {
          const vm = { memoryBytes: 2 ** 31, nonzeroBytes: 2 ** 31, dirtyRateBytesPerSecond, workingSetBytes: 2 ** 31 };
          fc.pre(dirtyRateBytesPerSecond <= vm.memoryBytes);
          const answer = estimateMigration({
            ...inputOf({ hypervisor: "xen", vm, link: { bytesPerSecond }, mechanisms: ["pre-copy"] }),
            hypervisorVersion: "4.4",
            compare: true,
          });
          const [, lower, upper] = answer.comparisons ?? [];
          const [estimate] = answer.estimates;
          // Headers and the spread of the link are in the estimate, not in the bounds.
          expect(estimate?.transferredBytes.p50).toBeGreaterThanOrEqual((lower?.transferredBytes ?? 0) * 0.98);
          expect(estimate?.transferredBytes.p50).toBeLessThanOrEqual((upper?.transferredBytes ?? 0) * 1.02);
          expect(estimate?.totalMs.p50).toBeGreaterThanOrEqual((lower?.totalMs ?? 0) * 0.98);
          expect(estimate?.totalMs.p50).toBeLessThanOrEqual((upper?.totalMs ?? 0) * 1.02);
        },
      ),
      { ...RUNS, numRuns: 50 },
    );
  });
});

describe("the published table of predictions from page sampling", () => {
  const table = {
    periodsMs: [
      125, 250, 375, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000,
      40_000, 45_000, 50_000, 60_000,
    ],
    dirtySamples: [
      33, 78, 119, 151, 217, 236, 293, 336, 425, 505, 620, 756, 898, 1204, 1457, 1723, 1934, 2141, 2328, 2522, 2675,
      2958,
    ],
    sampledPages: 16_392,
    zeroSamples: 10_060,
    totalPages: 8_392_704,
    pageBytes: 4096,
  };

  test.each([
    [1, [null, null, null, null, null, 100]],
    [2, [null, null, null, null, 101, 50]],
    [5, [48, 46, 31, 28, 25, 20]],
    [10, [13, 12, 12, 12, 12, 10]],
    [40, [3, 3, 3, 3, 3, 3]],
  ])("%d Gbit/s, for 125, 250, 500, 1000, 5000 ms and any downtime, in seconds", (gigabits, expected) => {
    const seconds = [125, 250, 500, 1000, 5000, Infinity].map((downtimeMs) => {
      const bytesPerSecond = (gigabits * 2 ** 30) / 8;
      const answer = dirtyTablePreCopy(table, { bytesPerSecond, downtimeMs, deadlineMs: 3_600_000 });
      return answer === null ? null : Math.ceil(answer.totalMs / 1000);
    });
    expect(seconds).toEqual(expected);
  });

  test("5 Gbit/s and 125 ms take 65 rounds", () => {
    const link = { bytesPerSecond: (5 * 2 ** 30) / 8, downtimeMs: 125, deadlineMs: 3_600_000 };
    expect(dirtyTablePreCopy(table, link)?.rounds).toBe(65);
  });
});

describe("comparisons", () => {
  test("are in the answer where they are asked for, each with its source", () => {
    const input = inputOf({ parameters: { maxBandwidthBytesPerSecond: 100e6, downtimeLimitMs: 300 } });
    expect(estimateMigration(input).comparisons).toBeUndefined();
    const { comparisons } = estimateMigration({ ...input, compare: true });
    expect(comparisons?.map(({ model }) => model)).toEqual([
      "geometric",
      "akoush-lower",
      "akoush-upper",
      "working-set-capped",
      "naive",
    ]);
    for (const { source } of comparisons ?? []) expect(source).toMatch(/\d{4}/);
    // 2 GiB at 100 MB/s.
    expect(comparisons?.at(-1)?.totalMs).toBeCloseTo(21_474.836, 3);
    // λ = 1/5, threshold 30 MB: 2147.5, 429.5, 85.9, 17.2 MB.
    expect(comparisons?.[0]).toMatchObject({ rounds: 4, downtimeMs: 191.799 });
  });

  test("do not depend on the unit of bytes", () => {
    fc.assert(
      fc.property(facts, fc.constantFrom(2, 1024, 2 ** 20), (of, by) => {
        const scaled = closedForms({
          ...of,
          memoryBytes: of.memoryBytes * by,
          bytesPerSecond: of.bytesPerSecond * by,
          dirtyBytesPerSecond: of.dirtyBytesPerSecond * by,
          workingSetBytes: of.workingSetBytes * by,
          thresholdBytes: of.thresholdBytes * by,
          pageBytes: of.pageBytes * by,
        });
        expect(scaled.map(({ totalMs, rounds }) => [totalMs, rounds])).toEqual(
          closedForms(of).map(({ totalMs, rounds }) => [totalMs, rounds]),
        );
      }),
      RUNS,
    );
  });
});
