import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../worker/model/canonical.ts";

/** The same value with the keys of every object in reverse order. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, field]) => [key, reversed(field)]),
  );
}

describe("canonicalJson", () => {
  test("the order of keys never matters", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(canonicalJson(reversed(value))).toBe(canonicalJson(value));
      }),
      { seed: 1 },
    );
  });

  test("what it writes reads back as the same value", () => {
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
      { seed: 2 },
    );
  });

  test.each([
    [{ b: 1, a: [true, null, "x\n"] }, '{"a":[true,null,"x\\n"],"b":1}'],
    [{ 10: 1, 9: 2, a: undefined }, '{"10":1,"9":2}'],
    [{ n: 1e21, m: -0, k: 0.1 }, '{"k":0.1,"m":0,"n":1e+21}'],
    ["é", '"é"'],
  ])("%j is spelled in one way", (value, text) => {
    expect(canonicalJson(value)).toBe(text);
  });

  test.each([[Number.NaN], [Number.POSITIVE_INFINITY], [undefined], [[undefined]], [10n], [{ f: () => 1 }]])(
    "what JSON cannot say (%s) is refused, so that it never shares a hash with something else",
    (value) => {
      expect(() => canonicalJson(value)).toThrow(TypeError);
    },
  );
});
