import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Aggregate, AGGREGATES, alignSeries, type Point, quantile } from "../../worker/model/series.ts";

const points: Point[] = [
  [0, 4],
  [10, 1],
  [20, 3],
  [30, 10],
];

describe("alignment", () => {
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
    const { values } = alignSeries({ points, from: 0, to: 90, stepMs: 30, agg });
    expect(values.map((value) => value && Number(value.toFixed(9)))).toEqual(expected);
  });

  test("a rate is not carried over a gap, and one sample has none", () => {
    const counter: Point[] = [
      [0, 0],
      [10, 5],
      [20, 10],
      [30, 15],
      [200, 100],
    ];
    expect(alignSeries({ points: counter, from: 0, to: 240, stepMs: 40, agg: "rate" }).values).toEqual([
      500,
      null,
      null,
      null,
      null,
      null,
    ]);
  });

  test("the last step may be short, points outside are left out", () => {
    const { values } = alignSeries({ points, from: 10, to: 25, stepMs: 10, agg: "last" });
    expect(values).toEqual([1, 3]);
  });

  test("an empty range or step is refused", () => {
    for (const range of [
      { from: 5, to: 5, stepMs: 1 },
      { from: 0, to: 1, stepMs: 0 },
    ])
      expect(() => alignSeries({ points, agg: "min", ...range })).toThrow(RangeError);
  });
});

describe("gaps", () => {
  const gaps = (times: number[], stepMs: number) =>
    alignSeries({ points: times.map((time) => [time, 1]), from: 0, to: 100, stepMs, agg: "last" }).gaps;

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
});

const anySeries = fc
  .uniqueArray(fc.integer({ min: -100, max: 1100 }), { maxLength: 60 })
  .chain((times) =>
    fc
      .array(fc.integer({ min: -1000, max: 1000 }), { minLength: times.length, maxLength: times.length })
      .map((values) => times.toSorted((a, b) => a - b).map((time, index): Point => [time, values[index] ?? 0])),
  );

describe("for any series", () => {
  test("a step has a value exactly when it has a sample, and the aggregates keep their order", () => {
    fc.assert(
      fc.property(anySeries, fc.integer({ min: 1, max: 400 }), (series, stepMs) => {
        const of = (agg: Aggregate) => alignSeries({ points: series, from: 0, to: 1000, stepMs, agg }).values;
        const [min, p50, p95, p99, max, mean] = (["min", "p50", "p95", "p99", "max", "mean"] as const).map(of);
        expect(min).toHaveLength(Math.ceil(1000 / stepMs));
        min?.forEach((least, index) => {
          const start = index * stepMs;
          const inside = series.filter(([time]) => time >= start && time < Math.min(start + stepMs, 1000));
          expect(least === null).toBe(inside.length === 0);
          if (least === null) return;
          const rising = [least, p50?.[index] ?? 0, p95?.[index] ?? 0, p99?.[index] ?? 0, max?.[index] ?? 0];
          expect(rising).toEqual(rising.toSorted((a, b) => a - b));
          expect(mean?.[index]).toBeGreaterThanOrEqual(least - 1e-9);
          expect(mean?.[index]).toBeLessThanOrEqual((max?.[index] ?? 0) + 1e-9);
        });
      }),
    );
  });

  test("sums over the steps do not depend on the step", () => {
    fc.assert(
      fc.property(anySeries, fc.integer({ min: 1, max: 400 }), (series, stepMs) => {
        const sum = (step: number) =>
          alignSeries({ points: series, from: 0, to: 1000, stepMs: step, agg: "sum" }).values.reduce<number>(
            (all, value) => all + (value ?? 0),
            0,
          );
        expect(sum(stepMs)).toBe(sum(1000));
      }),
    );
  });

  test("no sample lies inside a gap, and gaps are long, ordered and apart", () => {
    fc.assert(
      fc.property(
        anySeries,
        fc.integer({ min: 1, max: 400 }),
        fc.constantFrom(...AGGREGATES),
        (series, stepMs, agg) => {
          const { gaps } = alignSeries({ points: series, from: 0, to: 1000, stepMs, agg });
          gaps.forEach(({ from, to }, index) => {
            expect(to - from).toBeGreaterThan(stepMs);
            expect(from).toBeGreaterThanOrEqual(gaps[index - 1]?.to ?? 0);
            expect(series.filter(([time]) => time > from && time < to)).toEqual([]);
          });
        },
      ),
    );
  });

  test("quantiles 0, 0.5 and 1 are least, median and most", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), (values) => {
        const sorted = values.toSorted((a, b) => a - b);
        expect(quantile(values, 0)).toBe(sorted[0]);
        expect(quantile(values, 1)).toBe(sorted.at(-1));
        const middle = [sorted[Math.floor((sorted.length - 1) / 2)] ?? 0, sorted[Math.floor(sorted.length / 2)] ?? 0];
        expect(quantile(values, 0.5)).toBe(((middle[0] ?? 0) + (middle[1] ?? 0)) / 2);
      }),
    );
  });
});
