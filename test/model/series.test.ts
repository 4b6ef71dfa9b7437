import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quantile } from "../../worker/model/quantile.ts";
import {
  ACROSS,
  type Across,
  type Aggregate,
  alignColumns,
  alignRollup,
  combineAcross,
  gapsOf,
  type Grid,
  joinPieces,
  joinRollups,
  stepTimes,
  withNulls,
} from "../../worker/model/series.ts";
import { type Frame, HOST } from "../../worker/model/telemetry/frame.ts";
import { rollUp } from "../../worker/model/telemetry/rollup.ts";

const NONE = Number.NaN;
type Samples = { times: number[]; values: Float64Array };
const samplesOf = (...points: [time: number, value: number][]): Samples => ({
  times: points.map(([time]) => time),
  values: Float64Array.from(points, ([, value]) => value),
});
const align = ({ times, values }: Samples, grid: Grid, agg: Aggregate): Float64Array =>
  alignColumns(times, [values], { ...grid, agg })[0] ?? new Float64Array();

describe("alignment", () => {
  const samples = samplesOf([0, 4], [5, NONE], [10, 1], [20, 3], [30, 10]);

  test.each<[Aggregate, (number | null)[]]>([
    ["min", [1, 10, null]],
    ["max", [4, 10, null]],
    ["mean", [2.666666667, 10, null]],
    ["last", [3, 10, null]],
    ["p50", [3, 10, null]],
    ["p95", [3.9, 10, null]],
    ["p99", [3.98, 10, null]],
    ["sum", [8, 10, null]],
    // 4 → 1 is a reset: 1 and then 2 within 20 ms; then 7 within 10 ms.
    ["rate", [150, 700, null]],
  ])("%s of every step", (agg, expected) => {
    const found = withNulls(align(samples, { from: 0, to: 90, stepMs: 30 }, agg));
    expect(found.map((value) => value && Number(value.toFixed(9)))).toEqual(expected);
  });

  test("a rate is not carried over a gap, and one sample has none", () => {
    const counter = samplesOf([0, 0], [10, 5], [20, 10], [30, 15], [200, 100]);
    const rates = align(counter, { from: 0, to: 240, stepMs: 40 }, "rate");
    expect(withNulls(rates)).toEqual([500, null, null, null, null, null]);
  });

  test("the last step may be short, samples outside are left out", () => {
    expect([...align(samples, { from: 10, to: 25, stepMs: 10 }, "last")]).toEqual([1, 3]);
  });

  test("columns of common times are aligned each by itself", () => {
    const other = Float64Array.of(NONE, 7, NONE, NONE, NONE);
    const rows = alignColumns(samples.times, [other, samples.values], { from: 0, to: 60, stepMs: 30, agg: "sum" });
    expect(rows.map(withNulls)).toEqual([
      [7, null],
      [8, 10],
    ]);
  });

  test("a sum that overflows stays a number", () => {
    const huge = samplesOf([0, Number.MAX_VALUE], [1, Number.MAX_VALUE]);
    for (const agg of ["sum", "mean"] as const)
      expect([...align(huge, { from: 0, to: 2, stepMs: 2 }, agg)]).toEqual([Number.MAX_VALUE]);
  });

  test("an empty range or step is refused", () => {
    for (const grid of [
      { from: 5, to: 5, stepMs: 1 },
      { from: 0, to: 1, stepMs: 0 },
    ])
      expect(() => align(samples, grid, "min")).toThrow(RangeError);
  });
});

describe("gaps", () => {
  const gaps = (times: number[], stepMs: number) =>
    gapsOf(
      times,
      Float64Array.from(times, () => 1),
      { from: 0, to: 100, stepMs },
    );

  test.each<[string, number[], number, { from: number; to: number }[]]>([
    ["no sample at all", [], 10, [{ from: 0, to: 100 }]],
    ["three usual intervals are no gap", [0, 10, 20, 30, 60, 70, 80, 90], 10, []],
    ["more than three are", [0, 10, 20, 30, 61, 70, 80, 90], 10, [{ from: 30, to: 61 }]],
    ["nothing shorter than a step is", [0, 1, 2, 40, 41, 42, 80], 40, []],
    [
      "the edges count",
      [40, 45, 50],
      5,
      [
        { from: 0, to: 40 },
        { from: 50, to: 100 },
      ],
    ],
  ])("%s", (_, times, stepMs, expected) => {
    expect(gaps(times, stepMs)).toEqual(expected);
  });

  test("a time without a sample is none, and times outside do not count", () => {
    const times = [-10, 0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
    const values = Float64Array.from(times, (time) => (time > 20 && time < 70 ? NONE : 1));
    expect(gapsOf(times, values, { from: 0, to: 100, stepMs: 10 })).toEqual([{ from: 20, to: 70 }]);
  });
});

const anySamples: fc.Arbitrary<Samples> = fc
  .uniqueArray(fc.integer({ min: -100, max: 1100 }), { maxLength: 60 })
  .chain((times) =>
    fc
      .array(fc.oneof(fc.integer({ min: -1000, max: 1000 }), fc.constant(NONE)), {
        minLength: times.length,
        maxLength: times.length,
      })
      .map((values) => ({ times: times.toSorted((a, b) => a - b), values: Float64Array.from(values) })),
  );
const anyStep = fc.integer({ min: 1, max: 400 });

/** The values of samples from `from` to before `to`. */
const within = ({ times, values }: Samples, from: number, to: number): number[] =>
  [...values].filter((value, index) => {
    const time = times[index] ?? 0;
    return !Number.isNaN(value) && time >= from && time < to;
  });

describe("for any series", () => {
  test("a step has a value exactly when it has a sample, and the aggregates keep their order", () => {
    fc.assert(
      fc.property(anySamples, anyStep, (samples, stepMs) => {
        const grid = { from: 0, to: 1000, stepMs };
        const of = (agg: Aggregate) => align(samples, grid, agg);
        const [min, p50, p95, p99, max, mean] = (["min", "p50", "p95", "p99", "max", "mean"] as const).map(of);
        expect(min).toHaveLength(Math.ceil(1000 / stepMs));
        stepTimes(grid).forEach((start, step) => {
          const inside = within(samples, start, Math.min(start + stepMs, 1000));
          const at = (row: Float64Array | undefined) => row?.[step] ?? NONE;
          expect(Number.isNaN(at(min))).toBe(inside.length === 0);
          if (inside.length === 0) return;
          expect([at(min), at(max)]).toEqual([Math.min(...inside), Math.max(...inside)]);
          expect([at(p50), at(p95), at(p99)]).toEqual([0.5, 0.95, 0.99].map((q) => quantile(inside, q)));
          const rising = [at(min), at(p50), at(p95), at(p99), at(max)];
          expect(rising).toEqual(rising.toSorted((a, b) => a - b));
          expect(at(mean)).toBeGreaterThanOrEqual(at(min));
          expect(at(mean)).toBeLessThanOrEqual(at(max));
        });
      }),
      { seed: 71, numRuns: 200 },
    );
  });

  test("every sample is in exactly one step: sums do not depend on the step", () => {
    fc.assert(
      fc.property(anySamples, anyStep, (samples, stepMs) => {
        const sums = align(samples, { from: 0, to: 1000, stepMs }, "sum").filter((sum) => !Number.isNaN(sum));
        const all = within(samples, 0, 1000).reduce((sum, value) => sum + value, 0);
        expect(sums.reduce((sum, value) => sum + value, 0)).toBe(all);
      }),
      { seed: 72, numRuns: 300 },
    );
  });

  test("no sample lies inside a gap, and gaps are long, ordered and apart", () => {
    fc.assert(
      fc.property(anySamples, anyStep, (samples, stepMs) => {
        gapsOf(samples.times, samples.values, { from: 0, to: 1000, stepMs }).forEach(({ from, to }, index, gaps) => {
          expect(to - from).toBeGreaterThan(stepMs);
          expect(from).toBeGreaterThanOrEqual(gaps[index - 1]?.to ?? 0);
          expect(within(samples, from + 1, to)).toEqual([]);
        });
      }),
      { seed: 73, numRuns: 300 },
    );
  });
});

describe("from roll-ups", () => {
  const frameOf = ({ times, values }: Samples): Frame => ({ times, columns: [{ entity: HOST, metric: "a", values }] });

  test("a bucket a step, aggregates are those of the samples, to four digits", () => {
    fc.assert(
      fc.property(anySamples, fc.constantFrom("min", "mean", "max", "p95", "last"), (samples, agg: Aggregate) => {
        const grid = { from: 0, to: 1000, stepMs: 50 };
        const exact = align(samples, grid, agg);
        const [found = new Float64Array(20).fill(NONE)] = alignRollup(rollUp(frameOf(samples), 50, 0, 1000), {
          ...grid,
          agg,
        });
        expect(found.map((value) => Number(value.toPrecision(4)))).toEqual(
          exact.map((value) => Number(value.toPrecision(4))),
        );
      }),
      { seed: 74, numRuns: 300 },
    );
  });

  test.each<[Aggregate, number]>([
    ["min", 1],
    ["max", 9],
    ["last", 9],
    // Of the means 1 and 5, whatever number of samples each stands for.
    ["mean", 3],
    ["p50", 3],
    // Of the buckets' own 1 and 8.6.
    ["p95", 8.22],
  ])("%s of several buckets", (agg, expected) => {
    const rollup = rollUp(frameOf(samplesOf([0, 1], [1, 1], [2, 1], [60, 1], [61, 5], [62, 9])), 60, 0, 120);
    const [found] = alignRollup(rollup, { from: 0, to: 120, stepMs: 120, agg });
    expect(found?.[0]).toBeCloseTo(expected, 9);
  });

  test.each<Aggregate>(["p99", "sum", "rate"])("%s cannot be had", (agg) => {
    expect(() =>
      alignRollup(rollUp(frameOf(samplesOf([0, 1])), 60, 0, 60), { from: 0, to: 60, stepMs: 60, agg }),
    ).toThrow(RangeError);
  });
});

describe("several series made one", () => {
  test.each<[Across, (number | null)[]]>([
    ["sum", [6, 5, null]],
    ["mean", [3, 5, null]],
    ["min", [2, 5, null]],
    ["max", [4, 5, null]],
    ["p50", [3, 5, null]],
    ["p95", [3.9, 5, null]],
    ["p99", [3.98, 5, null]],
  ])("by %s: a series without a value is left out", (across, expected) => {
    const combined = combineAcross([Float64Array.of(4, NONE, NONE), Float64Array.of(2, 5, NONE)], across);
    expect(withNulls(combined)).toEqual(expected);
  });

  test("one alone stays as it is, and of none there is none", () => {
    const row = Float64Array.of(1, NONE, -3);
    for (const across of ACROSS) {
      expect(combineAcross([row], across)).toEqual(row);
      expect(combineAcross([], across)).toHaveLength(0);
    }
  });

  test("neither the order of series nor that of time and series matters to the least, the most and the sum", () => {
    const anyRow = fc.array(fc.oneof(fc.integer({ min: -99, max: 99 }), fc.constant(NONE)), {
      minLength: 12,
      maxLength: 12,
    });
    fc.assert(
      fc.property(
        fc.array(anyRow, { minLength: 1, maxLength: 6 }),
        fc.constantFrom("min", "max", "sum"),
        (all, agg: Across) => {
          const rows = all.map((row) => Float64Array.from(row));
          const combined = combineAcross(rows, agg);
          expect(combineAcross(rows.toReversed(), agg)).toEqual(combined);
          const times = Array.from({ length: 12 }, (_, index) => index);
          const grid = { from: 0, to: 12, stepMs: 4, agg };
          expect(combineAcross(alignColumns(times, rows, grid), agg)).toEqual(alignColumns(times, [combined], grid)[0]);
        },
      ),
      { seed: 75, numRuns: 300 },
    );
  });
});

describe("a VM's history over several hosts", () => {
  const frameOf = (times: number[], value: number): Frame => ({
    times,
    columns: [{ entity: "vm", metric: "a", values: Float64Array.from(times, () => value) }],
  });
  const placements = [
    { from: 0, to: 40 },
    { from: 20, to: 30 },
    { from: 30, to: 60 },
  ];
  // While it moved both hosts reported it, and each a little before and after.
  const frames = [frameOf([0, 10, 20, 25, 35], 1), frameOf([18, 20, 28, 31], 2), frameOf([29, 30, 40, 60], 3)];

  test("each sample is that of the placement of its time; the later one has the word", () => {
    const joined = joinPieces(placements.map((of, index) => ({ ...of, samples: frames[index] ?? frameOf([], 0) })));
    expect(joined.times).toEqual([0, 10, 20, 28, 30, 40]);
    expect(joined.columns.map(({ values }) => [...values])).toEqual([[1, 1, 2, 2, 3, 3]]);
  });

  test("buckets are of the placement in which they start", () => {
    const joined = joinRollups(
      placements.map((of, index) => ({ ...of, samples: rollUp(frames[index] ?? frameOf([], 0), 20, 0, 80) })),
    );
    expect(joined.times).toEqual([0, 20, 40]);
    expect(joined.columns.map(({ values }) => [...(values[0] ?? [])])).toEqual([[1, 2, 3]]);
  });

  test("without a placement it has none", () => {
    expect(joinPieces([]).times).toEqual([]);
    expect(joinRollups([]).times).toEqual([]);
  });
});
