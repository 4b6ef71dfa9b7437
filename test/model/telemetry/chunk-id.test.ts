import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  chunkId,
  chunkIdRange,
  type ChunkKey,
  chunkKey,
  hourOf,
  hoursBetween,
  partsOf,
  TIERS,
} from "../../../worker/model/telemetry/chunk-id.ts";

const anyKey: fc.Arbitrary<ChunkKey> = fc.record({
  hostNumber: fc.integer({ min: 0, max: 2 ** 22 - 1 }),
  tier: fc.constantFrom("raw", "5min", "1h"),
  hour: fc.integer({ min: 0, max: 2 ** 22 - 1 }),
  part: fc.integer({ min: 0, max: 127 }),
});

describe("a chunk id", () => {
  test.each<[ChunkKey, number]>([
    [{ hostNumber: 0, tier: "raw", hour: 0, part: 0 }, 0],
    [{ hostNumber: 0, tier: "raw", hour: 0, part: 127 }, 127],
    [{ hostNumber: 0, tier: "raw", hour: 1, part: 0 }, 128],
    [{ hostNumber: 0, tier: "raw", hour: 4_194_303, part: 127 }, 2 ** 29 - 1],
    [{ hostNumber: 0, tier: "5min", hour: 0, part: 0 }, 2 ** 29],
    [{ hostNumber: 0, tier: "1h", hour: 0, part: 0 }, 2 ** 30],
    [{ hostNumber: 1, tier: "raw", hour: 0, part: 0 }, 2 ** 31],
    [{ hostNumber: 4_194_303, tier: "1h", hour: 4_194_303, part: 127 }, 2 ** 53 - 2 ** 29 - 1],
  ])("of %o is %i", (key, id) => {
    expect(chunkId(key)).toBe(id);
    expect(chunkKey(id)).toEqual(key);
  });

  test("is a safe integer, has its key as inverse and is ordered by host, tier, hour and part", () => {
    const order = (a: ChunkKey, b: ChunkKey): number =>
      a.hostNumber - b.hostNumber || TIERS[a.tier] - TIERS[b.tier] || a.hour - b.hour || a.part - b.part;
    fc.assert(
      fc.property(anyKey, anyKey, (a, b) => {
        expect(Number.isSafeInteger(chunkId(a))).toBe(true);
        expect(chunkKey(chunkId(a))).toEqual(a);
        expect(partsOf(chunkId(a))).toEqual(chunkIdRange(a.hostNumber, a.tier, a.hour, a.hour));
        expect(Math.sign(chunkId(a) - chunkId(b))).toBe(Math.sign(order(a, b)));
      }),
    );
  });

  test("lies in a range exactly when its host, tier and hour do", () => {
    fc.assert(
      fc.property(anyKey, fc.nat(3), fc.nat(3), (key, before, after) => {
        const { hostNumber, tier, hour } = key;
        const from = Math.max(0, hour - before);
        const to = Math.min(2 ** 22 - 1, hour + after);
        const { first, last } = chunkIdRange(hostNumber, tier, from, to);
        expect(first <= chunkId(key) && chunkId(key) <= last).toBe(true);
        expect(chunkKey(first)).toEqual({ hostNumber, tier, hour: from, part: 0 });
        expect(chunkKey(last)).toEqual({ hostNumber, tier, hour: to, part: 127 });
      }),
    );
  });

  test.each([
    { hostNumber: 2 ** 22, hour: 0, part: 0 },
    { hostNumber: -1, hour: 0, part: 0 },
    { hostNumber: 0.5, hour: 0, part: 0 },
    { hostNumber: 0, hour: 2 ** 22, part: 0 },
    { hostNumber: 0, hour: 0, part: 128 },
    { hostNumber: 0, hour: Number.NaN, part: 0 },
  ])("is never made of %o", (key) => {
    expect(() => chunkId({ ...key, tier: "raw" })).toThrow(RangeError);
  });

  test.each([-1, 0.5, 2 ** 53, 3 * 2 ** 29])("%d is none", (id) => {
    expect(() => chunkKey(id)).toThrow(RangeError);
  });

  test("hours begin on the hour", () => {
    expect([hourOf(0), hourOf(3_599_999), hourOf(3_600_000)]).toEqual([0, 0, 1]);
  });
});

test("the hours of a range include that in which it starts, not that at which it ends", () => {
  expect(hoursBetween(3_600_000, 7_200_000)).toEqual({ fromHour: 1, toHour: 1 });
  expect(hoursBetween(3_599_999, 7_200_001)).toEqual({ fromHour: 0, toHour: 2 });
});
