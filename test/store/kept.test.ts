import fc from "fast-check";
import { expect, test } from "vitest";
import { createKept } from "../../worker/store/kept.ts";

type Step = { do: "set"; key: string; size: number } | { do: "get"; key: string } | { do: "drop"; key: string };

const key = fc.constantFrom("a", "b", "c", "d");
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant("set" as const), key, size: fc.integer({ min: 0, max: 12 }) }),
  fc.record({ do: fc.constant("get" as const), key }),
  fc.record({ do: fc.constant("drop" as const), key }),
);

test("what is kept is what was put last and used last, as much of it as may be", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 40 }), (steps) => {
      const kept = createKept<{ size: number }>(10, ({ size }) => size);
      // The whole truth, the least recently used first.
      let isTrue = true;
      let model: { key: string; value: { size: number } }[] = [];
      const without = (one: string) => model.filter((entry) => entry.key !== one);
      for (const step of steps) {
        if (step.do === "drop") {
          kept.drop(step.key);
          model = without(step.key);
        } else if (step.do === "get") {
          const found = model.find((entry) => entry.key === step.key);
          isTrue &&= kept.get(step.key) === found?.value;
          if (found) model = [...without(step.key), found];
        } else {
          const value = { size: step.size };
          kept.set(step.key, value);
          model = step.size > 10 ? without(step.key) : [...without(step.key), { key: step.key, value }];
          while (model.reduce((sum, entry) => sum + entry.value.size, 0) > 10) model.shift();
        }
      }
      expect(isTrue && model.every((entry) => kept.get(entry.key) === entry.value)).toBe(true);
    }),
    { seed: 5, numRuns: 1000 },
  );
});

test("what a key takes may count as well, so that keeping nothing under ever new names has an end", () => {
  const kept = createKept<string>(100, (value, key) => value.length + key.length);
  for (let name = 0; name < 1000; name++) kept.set(`name-${name}`, "");
  const left = Array.from({ length: 1000 }, (_, name) => kept.get(`name-${name}`)).filter(
    (value) => value !== undefined,
  );
  expect(left).toHaveLength(Math.floor(100 / "name-999".length));
});
