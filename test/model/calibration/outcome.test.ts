import { describe, expect, test } from "vitest";
import { accuracyOf } from "../../../worker/model/calibration/accuracy.ts";
import { driftOf } from "../../../worker/model/calibration/drift.ts";
import { outcomeOf } from "../../../worker/model/calibration/outcome.ts";
import type { EndedRun } from "../../../worker/model/calibration/outcome.ts";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { inputOf } from "../migration/support.ts";
import { normals, outcomeWith } from "./support.ts";

const [predicted] = estimateMigration(inputOf({ mechanisms: ["pre-copy"] })).estimates;
if (predicted === undefined) throw new Error("one mechanism gives one estimate");
const ended = (told: Partial<EndedRun>): EndedRun => ({
  cluster: "c1",
  hypervisor: "kvm",
  driver: "qmp",
  subject: "vm-1",
  predicted,
  state: "completed",
  reason: null,
  measured: { totalMs: 1000, downtimeMs: 20, transferredBytes: 1e9 },
  at: 5,
  ...told,
});

describe("what a run teaches", () => {
  test.each([
    ["a completed run: its figures", {}, { totalMs: 1000, downtimeMs: 20, transferredBytes: 1e9 }],
    [
      "QEMU's total of 0, said before it was set: nothing",
      { measured: { totalMs: 0, downtimeMs: 20 } },
      { totalMs: null },
    ],
    [
      "QEMU's own downtime: never",
      { measured: { totalMs: 1000, hypervisorDowntimeMs: 3 } },
      { totalMs: 1000, downtimeMs: null },
    ],
    ["a deadline that struck: that it did not converge", { state: "cancelled", reason: "deadline" }, { totalMs: null }],
    ["a lost cause: the same", { state: "cancelled", reason: "will-not-converge" }, { totalMs: null }],
  ] as const)("%s", (_, told, measured) => {
    const outcome = outcomeOf(ended(told as Partial<EndedRun>));
    expect(outcome?.measured).toMatchObject(measured);
    expect(outcome?.converged).toBe(!("state" in told));
  });

  test.each([
    ["a run that somebody cancelled", { state: "cancelled", reason: "operator" }],
    ["a run that failed", { state: "failed", reason: "hypervisor-refused" }],
    ["a completed run of which nothing is known", { measured: null }],
    ["a run whose parameters were changed on the way", { measured: { totalMs: 1000, steered: true } }],
  ] as const)("%s: nothing", (_, told) => {
    expect(outcomeOf(ended(told as Partial<EndedRun>))).toBeNull();
  });

  test("the models' own figures are learned from, not those that were corrected already", () => {
    const uncorrected = {
      totalMs: { p10: 1, p50: 2, p90: 3 },
      downtimeMs: null,
      transferredBytes: null,
      lostVcpuSeconds: null,
    };
    const calibration = { group: "g", samples: 9, dirtyGrowthRatio: 1.4, uncorrected };
    const outcome = outcomeOf(ended({ predicted: { ...predicted, calibration } }));
    expect(outcome).toMatchObject({
      predicted: uncorrected,
      answered: { totalMs: predicted.totalMs },
      dirtyGrowthRatio: 1.4,
    });
  });
});

describe("drift", () => {
  /** Standardised errors of the total as they come. */
  const course = (scores: number[]) =>
    scores.map((score, at) => {
      // p90 lies 1.2816 deviations up; the logarithm is of the value and 10 ms.
      const width = Math.log(1110 / 1010) / 1.2816;
      return outcomeWith({
        at,
        measured: { totalMs: 1010 * Math.exp(score * width) - 10, downtimeMs: null, transferredBytes: null },
      });
    });

  test("is seen where errors of two deviations go on, and says since when", () => {
    expect(driftOf(course([0, 0, 0, 2, 2, 2, 2]))).toEqual({ quantity: "totalMs", direction: "above", since: 3 });
    expect(driftOf(course([0, -2, -2, -2, -2]))).toMatchObject({ direction: "below", since: 1 });
  });

  test.each([
    ["one accident, however great", [0, 0, 30, 0, 0]],
    ["errors of half a deviation", Array<number>(100).fill(0.5)],
    ["errors that go up and down", Array.from({ length: 100 }, (_, index) => (index % 2 === 0 ? 1.5 : -1.5))],
    ["what has ended, however long it went on", [...Array<number>(30).fill(4), ...Array<number>(12).fill(0)]],
  ])("is not %s", (_, scores) => {
    expect(driftOf(course(scores))).toBeNull();
  });

  test("is not seen in what was imported: that was never answered", () => {
    const imported = course([4, 4, 4, 4, 4]).map((outcome) => ({ ...outcome, imported: true }));
    expect(driftOf(imported)).toBeNull();
  });

  test("is rarely seen in noise as it was foretold", () => {
    const normal = normals(9);
    const seen = Array.from({ length: 50 }, () => driftOf(course(Array.from({ length: 40 }, normal))));
    expect(seen.filter((each) => each !== null).length).toBeLessThan(10);
  });
});

test("accuracy: error, coverage, bias and convergence of what was answered", () => {
  const outcomes = [
    outcomeWith({ measured: { totalMs: 1050 } }),
    outcomeWith({ measured: { totalMs: 950 } }),
    outcomeWith({ measured: { totalMs: 2000 }, subject: "vm-2" }),
    outcomeWith({
      measured: { totalMs: null, downtimeMs: null, transferredBytes: null },
      converged: false,
      convergenceProbability: 0.5,
    }),
  ];
  const [group, ...others] = accuracyOf(outcomes, {});
  expect(others).toEqual([]);
  expect(group).toMatchObject({
    group: "c1/kvm/pre-copy/convergent",
    samples: 4,
    subjects: 2,
    convergedRatio: 0.75,
    learned: null,
  });
  expect(group?.quantities.totalMs?.apeMedian).toBeCloseTo(50 / 950, 9);
  expect(group?.quantities.totalMs?.coverageRatio).toBeCloseTo(2 / 3, 9);
  expect(group?.quantities.totalMs?.biasRatio).toBeCloseTo(1.05, 9);
  expect(group?.quantities.lostVcpuSeconds).toBeNull();
  expect(group?.brier).toBeCloseTo(0.25 / 4, 9);
  expect(accuracyOf([], {})).toEqual([]);
});
