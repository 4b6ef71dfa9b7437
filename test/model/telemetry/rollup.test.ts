import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quantile } from "../../../worker/model/quantile.ts";
import { type Frame, HOST } from "../../../worker/model/telemetry/frame.ts";
import { EMPTY_ROLLUP, mergeRollup, type Rollup, rollUp } from "../../../worker/model/telemetry/rollup.ts";
import { roundDigits } from "../../../worker/model/telemetry/rounding.ts";

const NONE = Number.NaN;
const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";

/** A frame of series by metric; all are the host's. */
const frameOf = (times: number[], series: Record<string, number[]>): Frame => ({
  times,
  columns: Object.entries(series).map(([metric, values]) => ({
    entity: HOST,
    metric,
    values: Float64Array.from(values),
  })),
});

/** Plain numbers, so that tests compare what arrays hold and not which buffer they look at. */
const plain = ({ times, columns }: Rollup) => ({
  times: [...times],
  columns: columns.map(({ entity, metric, values }) => [entity, metric, values.map((of) => [...of])] as const),
});

describe("a roll-up", () => {
  test("holds min, mean, max, p95 and last of every bucket, to four digits", () => {
    const frame = frameOf([0, 15, 30, 45, 60, 75], {
      a: [4, 1, 3, 10, 2, NONE],
      b: [NONE, NONE, NONE, NONE, 1 / 3, 1],
    });
    expect(plain(rollUp(frame, 60, 0, 120))).toEqual({
      times: [0, 60],
      columns: [
        [
          HOST,
          "a",
          [
            [1, 2],
            [4.5, 2],
            [10, 2],
            [9.1, 2],
            [10, 2],
          ],
        ],
        [
          HOST,
          "b",
          [
            [NONE, 0.3333],
            [NONE, 0.6667],
            [NONE, 1],
            [NONE, 0.9667],
            [NONE, 1],
          ],
        ],
      ],
    });
  });

  test("leaves out what has no sample: buckets, series, and what is outside the range", () => {
    const frame = frameOf([0, 60, 120, 180, 240], { a: [1, 2, NONE, 4, 5], b: [1, NONE, NONE, NONE, 5] });
    const rolled = plain(rollUp(frame, 60, 60, 240));
    expect(rolled.times).toEqual([60, 180]);
    expect(rolled.columns).toEqual([
      [
        HOST,
        "a",
        [
          [2, 4],
          [2, 4],
          [2, 4],
          [2, 4],
          [2, 4],
        ],
      ],
    ]);
    expect(rollUp(frame, 60, 300, 360)).toEqual(EMPTY_ROLLUP);
  });

  test("of the largest numbers there are is finite", () => {
    const frame = frameOf([0, 1, 2], { a: [Number.MAX_VALUE, Number.MAX_VALUE, 1] });
    const [column] = rollUp(frame, 60, 0, 60).columns;
    expect(column?.values.map(([figure]) => figure)).toEqual([1, 1.198e308, Number.MAX_VALUE, Number.MAX_VALUE, 1]);
  });

  test("an empty range or bucket is refused", () => {
    for (const [bucketMs, from, to] of [
      [0, 0, 60],
      [NONE, 0, 60],
      [60, 60, 60],
    ] as const)
      expect(() => rollUp(frameOf([0], { a: [1] }), bucketMs, from, to)).toThrow(RangeError);
  });
});

const anyValue = fc.oneof(
  fc.constant(NONE),
  fc.integer({ min: -50, max: 50 }),
  fc.double({ min: -1e9, max: 1e9, noNaN: true }),
);

/** Two series of the host and one of a VM at up to 40 times. */
const anyFrame: fc.Arbitrary<Frame> = fc
  .uniqueArray(fc.integer({ min: 0, max: 999 }), { maxLength: 40 })
  .chain((times) =>
    fc
      .array(fc.array(anyValue, { minLength: times.length, maxLength: times.length }), { minLength: 3, maxLength: 3 })
      .map(([a = [], b = [], c = []]): Frame => {
        const frame = frameOf(
          times.toSorted((x, y) => x - y),
          { a, b },
        );
        return { ...frame, columns: [...frame.columns, { entity: VM, metric: "a", values: Float64Array.from(c) }] };
      }),
  );

describe("for any samples", () => {
  test("every bucket says of its samples what counting them says", () => {
    fc.assert(
      fc.property(anyFrame, fc.integer({ min: 1, max: 300 }), (frame, bucketMs) => {
        const { times, columns } = rollUp(frame, bucketMs, 100, 900);
        for (const column of frame.columns) {
          const found = columns.find(({ entity, metric }) => entity === column.entity && metric === column.metric);
          for (let start = 100; start < 900; start += bucketMs) {
            const isInside = (time: number) => time >= start && time < Math.min(start + bucketMs, 900);
            const samples = [...column.values].filter(
              (value, index) => !Number.isNaN(value) && isInside(frame.times[index] ?? 0),
            );
            const place = times.indexOf(start);
            const [min, mean, max, p95, last] = found?.values.map((figures) => figures[place] ?? NONE) ?? [];
            expect(Number.isNaN(min ?? NONE)).toBe(samples.length === 0);
            if (samples.length === 0) continue;
            expect([min, max, last]).toEqual(
              [Math.min(...samples), Math.max(...samples), samples.at(-1) ?? NONE].map((value) =>
                roundDigits(value, 4),
              ),
            );
            expect(p95).toBe(roundDigits(quantile(samples, 0.95), 4));
            const sum = samples.reduce((all, value) => all + value, 0);
            expect(Math.abs((mean ?? NONE) - sum / samples.length)).toBeLessThanOrEqual(
              5.1e-4 * Math.abs(sum / samples.length) + 1e-6,
            );
            expect(min).toBeLessThanOrEqual(Math.min(mean ?? NONE, p95 ?? NONE));
            expect(max).toBeGreaterThanOrEqual(Math.max(mean ?? NONE, p95 ?? NONE));
          }
        }
      }),
      { seed: 11, numRuns: 300 },
    );
  });

  test("a row filled bucket by bucket, in any order and twice, is the roll-up of all", () => {
    fc.assert(
      fc.property(anyFrame, fc.shuffledSubarray([0, 1, 2, 3, 0, 1, 2, 3], { minLength: 8 }), (frame, order) => {
        let row = EMPTY_ROLLUP;
        for (const part of order) row = mergeRollup(row, rollUp(frame, 50, part * 250, (part + 1) * 250));
        const sorted = (rollup: Rollup) => {
          const { times, columns } = plain(rollup);
          return { times, columns: columns.toSorted((x, y) => (String(x) < String(y) ? -1 : 1)) };
        };
        expect(sorted(row)).toEqual(sorted(rollUp(frame, 50, 0, 1000)));
      }),
      { seed: 12, numRuns: 300 },
    );
  });
});

describe("a bucket put in again", () => {
  const rolled = (series: Record<string, number[]>) => rollUp(frameOf([0, 60], series), 60, 0, 120);

  test("replaces all that was said of it, also of series it no longer has; other buckets stay", () => {
    const fresh = rollUp(frameOf([60], { b: [9], c: [8] }), 60, 0, 120);
    const merged = plain(mergeRollup(rolled({ a: [1, 2], b: [3, 4], d: [NONE, 5] }), fresh));
    expect(merged.times).toEqual([0, 60]);
    expect(merged.columns.map(([, metric, values]) => [metric, values[0]])).toEqual([
      ["a", [1, NONE]],
      ["b", [3, 9]],
      ["c", [NONE, 8]],
    ]);
  });

  test("nothing changes nothing", () => {
    const row = rolled({ a: [1, 2] });
    expect(plain(mergeRollup(row, EMPTY_ROLLUP))).toEqual(plain(row));
    expect(plain(mergeRollup(EMPTY_ROLLUP, row))).toEqual(plain(row));
  });
});
