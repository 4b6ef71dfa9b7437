import { expect, test } from "vitest";
import { formatLayout } from "../../worker/model/telemetry/known.ts";
import { createLayoutCache } from "../../worker/store/layout-cache.ts";

const layout = (name: string, count: number): string =>
  formatLayout(Array.from({ length: count }, (_, index) => ({ entity: "", metric: `${name}_${index}` })));

test("a layout is parsed once, and anew when others have been used since that have no less series than may be kept", () => {
  const cache = createLayoutCache(10);
  const first = cache.get(layout("a", 4));
  expect(first.map(({ metric }) => metric)).toEqual(["a_0", "a_1", "a_2", "a_3"]);
  cache.get(layout("b", 4));
  expect(cache.get(layout("a", 4))).toBe(first);
  const second = cache.get(layout("b", 4));
  cache.get(layout("c", 4));
  expect(cache.get(layout("b", 4))).toBe(second);
  expect(cache.get(layout("a", 4))).not.toBe(first);
});

test("a layout with more series than may be kept is given all the same", () => {
  expect(createLayoutCache(10).get(layout("a", 11))).toHaveLength(11);
});

test("what is no layout is refused each time", () => {
  const cache = createLayoutCache(10);
  for (let turn = 0; turn < 2; turn++) expect(() => cache.get('[[["a"]],[["",1]]]')).toThrow(RangeError);
});
