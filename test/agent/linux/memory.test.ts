import fc from "fast-check";
import { expect, test } from "vitest";
import { drawDistinct, estimateNonzeroBytes, presentPages, seededRandom } from "../../../scripts/agent/linux/memory.ts";

test("pages are drawn without repeats, within bounds, in order, and the same for the same seed", () => {
  fc.assert(
    fc.property(fc.nat(5000), fc.nat(200), fc.integer(), (size, count, seed) => {
      const drawn = drawDistinct(size, count, seededRandom(seed));
      expect(drawn).toHaveLength(Math.min(size, count));
      expect(new Set(drawn).size).toBe(drawn.length);
      expect(drawn).toEqual(drawn.toSorted((a, b) => a - b));
      expect(drawn.every((each) => each >= 0 && each < size)).toBe(true);
      expect(drawDistinct(size, count, seededRandom(seed))).toEqual(drawn);
    }),
  );
});

test("every page is as likely to be drawn as any other", () => {
  const random = seededRandom(7);
  const hits = Array.from({ length: 10 }, () => 0);
  for (let round = 0; round < 5000; round++)
    for (const each of drawDistinct(10, 3, random)) hits[each] = (hits[each] ?? 0) + 1;
  // 1500 expected, standard deviation 32.
  for (const count of hits) expect(Math.abs(count - 1500)).toBeLessThan(160);
});

test("a page is present by bit 63 of its entry alone", () => {
  const entries = Buffer.alloc(4 * 8);
  entries.writeBigUInt64LE(1n << 63n, 8);
  entries.writeBigUInt64LE((1n << 62n) | 0xffffn, 16);
  entries.writeBigUInt64LE((1n << 63n) | (1n << 55n), 24);
  expect(presentPages(entries)).toEqual([1, 3]);
  expect(presentPages(entries.subarray(0, 15))).toEqual([]);
});

test("memory that may not be read gives no figure", async () => {
  const nowhere = { startAddress: 4096, sizeBytes: 8192, residentBytes: 0, swappedBytes: 0 };
  expect(await estimateNonzeroBytes(0, nowhere, 1)).toBeNull();
});
