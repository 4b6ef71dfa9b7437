import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quantile, quantileInPlace } from "../../worker/model/quantile.ts";

const finite = fc.double({ noNaN: true, noDefaultInfinity: true });
const anyValues = fc.array(fc.oneof(fc.integer({ min: -5, max: 5 }), finite), { minLength: 1, maxLength: 200 });
const anyQuantile = fc.oneof(fc.constantFrom(0, 0.5, 0.95, 0.99, 1), fc.double({ min: 0, max: 1, noNaN: true }));

describe("a quantile", () => {
  test.each<[number[], number, number]>([
    [[], 0.5, Number.NaN],
    [[7], 0.95, 7],
    [[4, 1, 3], 0.5, 3],
    [[4, 1], 0.5, 2.5],
    [[4, 1, 3], 0.95, 3.9],
    [[-Number.MAX_VALUE, Number.MAX_VALUE], 0.5, 0],
  ])("of %j at %d is %d", (values, q, expected) => {
    expect(quantile(values, q)).toBe(expected);
  });

  test("lies between the two closest ranks of the sorted values, at their share of the way", () => {
    fc.assert(
      fc.property(anyValues, anyQuantile, (values, q) => {
        const sorted = Float64Array.from(values).sort();
        const rank = q * (sorted.length - 1);
        const low = sorted[Math.floor(rank)] ?? Number.NaN;
        const high = sorted[Math.ceil(rank)] ?? Number.NaN;
        const found = quantile(values, q);
        expect(found).toBeGreaterThanOrEqual(low);
        expect(found).toBeLessThanOrEqual(high);
        const share = rank - Math.floor(rank);
        const wanted = low * (1 - share) + high * share;
        expect(Math.abs(found - wanted)).toBeLessThanOrEqual(1e-12 * Math.max(Math.abs(low), Math.abs(high)));
      }),
      { seed: 1, numRuns: 1000 },
    );
  });

  test("looks at the first values only", () => {
    fc.assert(
      fc.property(anyValues, anyValues, anyQuantile, (values, others, q) => {
        const found = quantileInPlace(Float64Array.of(...values, ...others), values.length, q);
        expect(found).toBe(quantile(values, q));
      }),
      { seed: 2 },
    );
  });

  test("of an order that is bad for selection is found all the same", () => {
    const length = 20_000;
    // Organ pipe, and runs of equal values.
    for (const of of [(i: number) => Math.min(i, length - i), (i: number) => i % 3]) {
      const values = Float64Array.from({ length }, (_, index) => of(index));
      const sorted = values.toSorted();
      expect(quantileInPlace(values, length, 0.5)).toBe(((sorted[9999] ?? 0) + (sorted[10_000] ?? 0)) / 2);
    }
  });
});
