import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkError } from "../../../worker/model/telemetry/bytes.ts";
import {
  addValues,
  countOf,
  EMPTY_SKETCH,
  merge,
  quantileOf,
  readSketch,
  SKETCH_ERROR_RATIO,
  SKETCH_TINY,
  type Sketch,
  sketchOf,
  subtract,
  writeSketch,
} from "../../../worker/model/telemetry/sketch.ts";

const of = (...values: number[]): Sketch => sketchOf(Float64Array.from(values));

/** What a sketch is measured against: the value at the nearest rank, in which the tiniest are 0. */
function exact(values: Iterable<number>, q: number): number {
  const sorted = Float64Array.from(values, (value) => (Math.abs(value) < SKETCH_TINY ? 0 : value)).sort();
  return sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? Number.NaN;
}

function expectWithinError(sketch: Sketch, values: Iterable<number>, q: number): void {
  const wanted = exact(values, q);
  const found = quantileOf(sketch, q) ?? Number.NaN;
  expect(Math.abs(found - wanted)).toBeLessThanOrEqual(SKETCH_ERROR_RATIO * Math.abs(wanted));
}

const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const anyValue = fc.oneof(
  finite,
  fc.double({ noNaN: true, min: -100, max: 100 }),
  fc.integer({ min: 0, max: 50 }),
  fc.integer({ min: -30, max: 62 }).map((exponent) => 2 ** exponent),
  fc.constantFrom(0, -0, 1e-9, -1e-9, 9.99e-10, 5e-324, Number.MAX_VALUE, -Number.MAX_VALUE),
);
const anyValues = fc.array(anyValue, { minLength: 1, maxLength: 80 });
const anyQuantile = fc.oneof(fc.constantFrom(0, 0.5, 0.95, 1), fc.double({ min: 0, max: 1, noNaN: true }));

describe("a quantile sketch", () => {
  test.each<[string, number[], number, number | null]>([
    ["nothing has no quantile", [], 0.5, null],
    ["NaN is no value", [Number.NaN], 0.5, null],
    ["zeros are exact", [0, 0, 0, 5], 0.5, 0],
    ["tiny values count as 0", [9e-10, -9e-10], 1, 0],
  ])("%s", (_, values, q, expected) => {
    expect(quantileOf(of(...values), q)).toBe(expected);
  });

  test("every answer is within the promised ratio of the value at that rank", () => {
    fc.assert(
      fc.property(anyValues, anyQuantile, (values, q) => expectWithinError(of(...values), values, q)),
      { seed: 4, numRuns: 2000 },
    );
  });

  test("so it is all over the smallest, a middling and the largest octave", () => {
    for (let value = 1; value < 2; value += 1 / 8192 - 1e-9)
      for (const scale of [2 ** -29, 1, 2 ** 1023]) expectWithinError(of(value * scale), [value * scale], 1);
  });

  test("and after merges and subtractions, which leave what counting the rest gives", () => {
    fc.assert(
      fc.property(fc.array(anyValues, { minLength: 1, maxLength: 6 }), anyValues, anyQuantile, (parts, rest, q) => {
        let sketch = of(...rest);
        for (const part of parts) sketch = addValues(sketch, Float64Array.from(part));
        expect(sketch).toEqual(of(...rest, ...parts.flat()));
        expectWithinError(sketch, [...rest, ...parts.flat()], q);
        for (const part of parts) sketch = subtract(sketch, of(...part));
        expect(sketch).toEqual(of(...rest));
        expectWithinError(sketch, rest, q);
      }),
      { seed: 5, numRuns: 500 },
    );
  });

  test("merging does not depend on the order; counts add up", () => {
    fc.assert(
      fc.property(anyValues, anyValues, (a, b) => {
        expect(merge(of(...a), of(...b))).toEqual(merge(of(...b), of(...a)));
        expect(countOf(merge(of(...a), of(...b)))).toBe(a.length + b.length);
      }),
      { seed: 6, numRuns: 200 },
    );
  });

  test("what was not put in cannot be taken out", () => {
    expect(subtract(of(1, 1, 2), of(1, 2))).toEqual(of(1));
    expect(subtract(of(1), of(1))).toEqual(EMPTY_SKETCH);
    for (const other of [of(1, 1), of(3), of(-1), of(0)]) expect(() => subtract(of(1, 2), other)).toThrow(RangeError);
    expect(() => subtract(EMPTY_SKETCH, of(1))).toThrow(RangeError);
  });

  test("infinite values and quantiles outside 0…1 are refused", () => {
    for (const value of [Infinity, -Infinity]) expect(() => of(1, value)).toThrow(RangeError);
    for (const q of [-0.1, 1.1, Number.NaN]) expect(() => quantileOf(of(1), q)).toThrow(RangeError);
  });

  test("values may lie anywhere in a larger buffer", () => {
    expect(sketchOf(Float64Array.of(7, 1, 2, 9).subarray(1, 3))).toEqual(of(1, 2));
  });
});

describe("a sketch as bytes", () => {
  test("comes back as it was", () => {
    fc.assert(
      fc.property(fc.array(anyValue, { maxLength: 60 }), (values) => {
        expect(readSketch(writeSketch(of(...values)))).toEqual(of(...values));
      }),
      { seed: 7, numRuns: 500 },
    );
  });

  test("a day of a load that varies by a third of itself takes under 100 bytes", () => {
    const day = Float64Array.from(
      { length: 5760 },
      (_, index) => 2 + 0.5 * Math.sin(index) + 0.25 * Math.sin(index / 9),
    );
    expect(writeSketch(sketchOf(day)).length).toBeLessThan(100);
  });

  /** Of what is no sketch, 0; anything but a ChunkError is thrown. */
  function countRead(bytes: Uint8Array): number {
    try {
      return countOf(readSketch(bytes));
    } catch (error) {
      if (error instanceof ChunkError) return 0;
      throw error;
    }
  }

  test("any other bytes are refused or are a sketch, never an endless loop", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        expect(countRead(bytes)).toBeGreaterThanOrEqual(0);
      }),
      { seed: 8, numRuns: 2000 },
    );
    const bytes = writeSketch(of(1, 5, 5, 90));
    for (let end = 0; end < bytes.length; end++) expect(() => readSketch(bytes.subarray(0, end))).toThrow(ChunkError);
    expect(() => readSketch(Uint8Array.of(...bytes, 0))).toThrow(ChunkError);
  });
});
