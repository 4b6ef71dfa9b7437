import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  type Column,
  EMPTY_FRAME,
  firstAtOrAfter,
  type Frame,
  HOST,
  mergeFrames,
  seriesKey,
  sliceFrame,
} from "../../../worker/model/telemetry/frame.ts";
import { samplesOf } from "./chunk-rows.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";

const column = (metric: string, ...values: number[]): Column => ({
  entity: HOST,
  metric,
  values: Float64Array.from(values),
});

const SERIES = [HOST, VM].flatMap((entity) => ["a", "b"].map((metric) => ({ entity, metric })));
const anyValue = fc.oneof(
  fc.constant(Number.NaN),
  fc.constantFrom(0, -0),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const anyFrame: fc.Arbitrary<Frame> = fc
  .tuple(fc.uniqueArray(fc.nat(20), { maxLength: 8 }), fc.nat(40), fc.shuffledSubarray(SERIES))
  .chain(([offsets, start, series]) => {
    const values = fc.array(anyValue, { minLength: offsets.length, maxLength: offsets.length });
    return fc.array(values, { minLength: series.length, maxLength: series.length }).map((all) => ({
      times: offsets.map((offset) => start + offset).toSorted((a, b) => a - b),
      columns: series.map((one, place) => ({ ...one, values: Float64Array.from(all[place] ?? []) })),
    }));
  });
const anyFrames = fc.array(anyFrame, { maxLength: 5 });

describe("frames merged", () => {
  test("have every sample; of two at one time that of the later frame, and never a gap over a sample", () => {
    fc.assert(
      fc.property(anyFrames, (frames) => {
        expect(samplesOf(mergeFrames(frames))).toEqual(samplesOf(...frames));
      }),
      { seed: 75, numRuns: 1000 },
    );
  });

  test("have every time and series once, times rising, a value for each time", () => {
    fc.assert(
      fc.property(anyFrames, (frames) => {
        const { times, columns } = mergeFrames(frames);
        expect(times).toEqual([...new Set(frames.flatMap((frame) => frame.times))].toSorted((a, b) => a - b));
        const keys = columns.map(({ entity, metric }) => seriesKey(entity, metric));
        const all = frames.flatMap((frame) => frame.columns.map(({ entity, metric }) => seriesKey(entity, metric)));
        expect(keys.toSorted()).toEqual([...new Set(all)].toSorted());
        expect(columns.every(({ values }) => values.length === times.length)).toBe(true);
      }),
      { seed: 76, numRuns: 500 },
    );
  });

  test("in two steps are as merged in one", () => {
    fc.assert(
      fc.property(anyFrames, anyFrames, (some, more) => {
        expect(mergeFrames([mergeFrames(some), mergeFrames(more)])).toEqual(mergeFrames([...some, ...more]));
      }),
      { seed: 77, numRuns: 500 },
    );
  });

  test("are left as they were", () => {
    const frames: Frame[] = [
      { times: [1, 2], columns: [column("a", 1, 2)] },
      { times: [2, 3], columns: [column("a", 3, 4)] },
    ];
    const before = structuredClone(frames);
    expect(mergeFrames(frames)).toEqual({ times: [1, 2, 3], columns: [column("a", 1, 3, 4)] });
    expect(frames).toEqual(before);
  });

  test("of none are empty, of one are that", () => {
    const frame: Frame = { times: [1], columns: [column("a", Number.NaN)] };
    expect(mergeFrames([])).toEqual(EMPTY_FRAME);
    expect(mergeFrames([frame])).toEqual(frame);
    expect(mergeFrames([EMPTY_FRAME, frame, EMPTY_FRAME])).toEqual(frame);
  });
});

describe("a slice of a frame", () => {
  const frame: Frame = { times: [10, 20, 30], columns: [column("a", 1, Number.NaN, 3), column("b", Number.NaN, 5, 6)] };

  test.each<[from: number, to: number, times: number[], a: number[]]>([
    [10, 30, [10, 20], [1, Number.NaN]],
    [11, 31, [20, 30], [Number.NaN, 3]],
    [20, 21, [20], [Number.NaN]],
    [20, 20, [], []],
    [31, 99, [], []],
    [0, 10, [], []],
    [-Infinity, Infinity, [10, 20, 30], [1, Number.NaN, 3]],
  ])("from %i to before %i", (from, to, times, a) => {
    const { times: kept, columns } = sliceFrame(frame, from, to);
    expect(kept).toEqual(times);
    expect(columns.map(({ metric }) => metric)).toEqual(["a", "b"]);
    expect([...(columns[0]?.values ?? [])]).toEqual(a);
  });

  test("and the rest of it are all of it", () => {
    fc.assert(
      fc.property(anyFrame, fc.array(fc.nat(70), { maxLength: 4 }), (whole, cuts) => {
        const borders = [-Infinity, ...cuts.toSorted((a, b) => a - b), Infinity];
        const parts = borders.slice(1).map((to, index) => sliceFrame(whole, borders[index] ?? 0, to));
        expect(parts.flatMap(({ times }) => times)).toEqual(whole.times);
        expect(mergeFrames(parts)).toEqual(whole);
      }),
      { seed: 78, numRuns: 500 },
    );
  });
});

test("the place of a time among rising ones is that of the first that is not before it", () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(30)), fc.integer({ min: -1, max: 31 }), (times, time) => {
      const rising = times.toSorted((a, b) => a - b);
      const found = rising.findIndex((one) => one >= time);
      expect(firstAtOrAfter(rising, time)).toBe(found === -1 ? rising.length : found);
    }),
    { seed: 79, numRuns: 500 },
  );
});
