import { expect, test } from "vitest";
import { type BatchRing, batchRing, lookup, remember } from "../../../worker/model/telemetry/batch-ring.ts";

const HOUR = 3_600_000;
const NOW = 1_795_399_200_000;
const entry = (id: string, at = NOW, refused: string[] = []): BatchRing[number] => ({
  id,
  hash: `hash of ${id}`,
  at,
  answer: {
    stored: 3,
    refused: refused.map((series) => ({ series, reason: "malformed" })),
    refusedCount: refused.length,
  },
});

test("a batch is new, the same again, or in conflict", () => {
  const ring = remember([], entry("b1"), NOW);
  expect(lookup(ring, "b2", "hash of b2")).toBe("new");
  expect(lookup(ring, "b1", "hash of b1")).toEqual({ answer: entry("b1").answer });
  expect(lookup(ring, "b1", "hash of b2")).toBe("conflict");
});

test("the last 256 are remembered, oldest first", () => {
  let ring: BatchRing = [];
  for (let index = 0; index < 300; index++) ring = remember(ring, entry(`b${index}`), NOW);
  expect(ring.map(({ id }) => id)).toEqual(Array.from({ length: 256 }, (_, index) => `b${index + 44}`));
  expect(batchRing.parse(JSON.parse(JSON.stringify(ring)))).toEqual(ring);
});

test("nothing is remembered longer than 48 h", () => {
  const ring = [entry("old", NOW - 48 * HOUR - 1), entry("young", NOW - 48 * HOUR)];
  expect(remember(ring, entry("new"), NOW).map(({ id }) => id)).toEqual(["young", "new"]);
});

test("long answers make the ring shorter, never empty", () => {
  const refused = Array.from({ length: 50 }, () => "x".repeat(200));
  let ring: BatchRing = [];
  for (let index = 0; index < 60; index++) ring = remember(ring, entry(`b${index}`, NOW, refused), NOW);
  expect(JSON.stringify(ring).length).toBeLessThan(310_000);
  expect(ring.length).toBeGreaterThan(10);
  expect(ring.at(-1)?.id).toBe("b59");
  expect(remember([], entry("huge", NOW, ["x".repeat(400_000)]), NOW)).toHaveLength(1);
});
