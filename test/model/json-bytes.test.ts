import fc from "fast-check";
import { expect, test } from "vitest";
import { createJsonBytes } from "../../worker/model/json-bytes.ts";

const written = (value: number): string => {
  const out = createJsonBytes(1);
  out.number(value);
  return new TextDecoder().decode(out.take());
};

const decimal = fc
  .tuple(fc.maxSafeInteger(), fc.integer({ min: 0, max: 9 }))
  .map(([whole, decimals]) => whole / 10 ** decimals);

test("a finite number is read back as the same one", () => {
  const anyNumber = fc.oneof(decimal, fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer());
  fc.assert(
    fc.property(anyNumber, (value) => {
      expect(JSON.parse(written(value))).toBe(value === 0 ? 0 : value);
    }),
    { seed: 7, numRuns: 20_000 },
  );
});

test.each([
  [0, "0"],
  [-0, "0"],
  [-1.5, "-1.5"],
  [0.000001, "0.000001"],
  [1e-7, "1e-7"],
  [10.05, "10.05"],
  [1_795_399_200_000, "1795399200000"],
  [2 ** 53, "9007199254740992"],
  [1e21, "1e+21"],
  [Number.MAX_VALUE, "1.7976931348623157e+308"],
  [Number.NaN, "null"],
  [Number.POSITIVE_INFINITY, "null"],
])("%d is written as %s", (value, expected) => {
  expect(written(value)).toBe(expected);
});

test("what does not fit gets more room; text is UTF-8", () => {
  const out = createJsonBytes(0);
  const parts = Array.from({ length: 50 }, (_, index) => `"ä€😀${index}",`);
  for (const part of parts) out.text(part);
  out.raw(new TextEncoder().encode("raw"));
  expect(new TextDecoder().decode(out.take())).toBe(`${parts.join("")}raw`);
});
