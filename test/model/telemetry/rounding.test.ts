import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { roundDigits } from "../../../worker/model/telemetry/rounding.ts";

const anyNumber = fc.oneof(
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.double({ noNaN: true, min: -1e6, max: 1e6 }),
  fc.integer().map((integer) => integer / 1000),
  // Ties, and the neighbourhood of powers of ten.
  fc
    .tuple(fc.integer({ min: 1, max: 99_999 }), fc.integer({ min: -30, max: 30 }))
    .map(([a, e]) => Number(`${a}5e${e}`)),
  fc
    .tuple(fc.integer({ min: -30, max: 30 }), fc.integer({ min: -3, max: 3 }))
    .map(([e, ulps]) => Number(`1e${e}`) * (1 + ulps * Number.EPSILON)),
);

describe("rounding to significant digits", () => {
  test("is what toPrecision says, for any number", () => {
    fc.assert(
      fc.property(anyNumber, fc.integer({ min: 1, max: 9 }), (value, digits) => {
        expect(roundDigits(value, digits)).toBe(Number(value.toPrecision(digits)) || value * 0);
      }),
      { seed: 4, numRuns: 20_000 },
    );
  });

  test("integers of as many digits stay as they are", () => {
    for (let integer = -9999; integer < 10_000; integer++) expect(roundDigits(integer, 4)).toBe(integer);
  });

  test("keeps the order and is done once", () => {
    fc.assert(
      fc.property(anyNumber, anyNumber, (a, b) => {
        expect(roundDigits(Math.min(a, b), 4)).toBeLessThanOrEqual(roundDigits(Math.max(a, b), 4));
        expect(roundDigits(roundDigits(a, 4), 4)).toBe(roundDigits(a, 4));
      }),
      { seed: 5, numRuns: 5000 },
    );
  });
});
