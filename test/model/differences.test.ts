import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { canonicalJson } from "../../worker/model/canonical.ts";
import { differencesOf } from "../../worker/model/differences.ts";

describe("differences of two pieces of JSON", () => {
  test.each<[stored: unknown, replayed: unknown, paths: string[]]>([
    [{ a: [1, 2] }, { a: [1, 3] }, ["a.1"]],
    [{ a: [1, 2] }, { a: [1] }, ["a.1"]],
    [{ a: 1 }, { b: 1 }, ["a", "b"]],
    [{ a: { b: null } }, { a: null }, ["a"]],
    [{ a: [] }, { a: {} }, ["a"]],
    [1, 2, [""]],
  ])("%j against %j is at %j", (stored, replayed, paths) => {
    expect(differencesOf(stored, replayed, 10).map(({ path }) => path)).toEqual(paths);
  });

  test("a value that one side lacks is said to be missing there", () => {
    expect(differencesOf({ a: 1 }, { b: 2 }, 10)).toEqual([
      { path: "a", stored: 1, replayed: null, missing: "replayed" },
      { path: "b", stored: null, replayed: 2, missing: "stored" },
    ]);
  });

  test("there are none exactly where the canonical JSON is the same, and never more than asked for", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
        // JSON has no -0.
        const [a, b] = [JSON.parse(JSON.stringify(one)), JSON.parse(JSON.stringify(other))] as unknown[];
        expect(differencesOf(a, b, 1).length === 0).toBe(canonicalJson(a) === canonicalJson(b));
        expect(differencesOf(a, a, 1)).toEqual([]);
        expect(differencesOf(a, b, 2).length).toBeLessThanOrEqual(2);
      }),
      { seed: 3 },
    );
  });
});
