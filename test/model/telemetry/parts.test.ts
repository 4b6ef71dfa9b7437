import { describe, expect, test } from "vitest";
import { isMetricName, metricBounds, metricPattern } from "../../../worker/model/telemetry/catalogue.ts";
import { chunkId, PART_BYTES_MAX } from "../../../worker/model/telemetry/chunk-id.ts";
import { hoursBetween, hoursTouched, placeFrames } from "../../../worker/model/telemetry/parts.ts";

const HOST = 7;
const HOUR = 498_722;
const id = (part: number, hour = HOUR): number => chunkId({ hostNumber: HOST, tier: "raw", hour, part });
const frame = (bytes: number, hour = HOUR) => ({ hour, frame: new Uint8Array(bytes).fill(1) });

describe("a frame is appended", () => {
  test.each<[string, { id: number; bytes: number }[], number[], [number, number][]]>([
    ["to the first part of an empty hour", [], [5], [[id(0), 5]]],
    ["to the part that is there", [{ id: id(0), bytes: 10 }], [5], [[id(0), 5]]],
    ["until the part is full to the byte", [{ id: id(0), bytes: PART_BYTES_MAX - 5 }], [5], [[id(0), 5]]],
    ["to the next part where it would be too large", [{ id: id(0), bytes: PART_BYTES_MAX - 4 }], [5], [[id(1), 5]]],
    [
      "to the last part, whatever room an earlier one has",
      [
        { id: id(0), bytes: 1 },
        { id: id(3), bytes: 1 },
      ],
      [5],
      [[id(3), 5]],
    ],
    [
      "together with others, as far as they fit",
      [],
      [400_000, 400_000, 400_000],
      [
        [id(0), 800_000],
        [id(1), 400_000],
      ],
    ],
  ])("%s", (_, stored, frames, expected) => {
    const appends = placeFrames(
      HOST,
      frames.map((bytes) => frame(bytes)),
      stored,
    );
    expect(appends.map((append) => [append.id, append.data.length])).toEqual(expected);
  });

  test("to its own hour, others aside", () => {
    const appends = placeFrames(HOST, [frame(5, HOUR - 1), frame(6)], [{ id: id(2, HOUR - 1), bytes: 9 }]);
    expect(appends.map((append) => [append.id, append.data.length])).toEqual([
      [id(2, HOUR - 1), 5],
      [id(0), 6],
    ]);
  });
});

test("the hours of a batch and of a range include their edges, not the end", () => {
  expect(hoursTouched([])).toBeNull();
  expect(hoursTouched([frame(1, 5), frame(1, 3)])).toEqual({ fromHour: 3, toHour: 5 });
  expect(hoursBetween(3_600_000, 7_200_000)).toEqual({ fromHour: 1, toHour: 1 });
  expect(hoursBetween(3_599_999, 7_200_001)).toEqual({ fromHour: 0, toHour: 2 });
});

describe("names of metrics", () => {
  test.each([
    ["cpu_used_cores", "cpu_used_cores", true],
    ["cpu_used_cores", "cpu_used", false],
    ["*", "anything", true],
    ["memory_*", "memory_used_bytes", true],
    ["memory_*", "swap_in", false],
    ["*_bytes", "memory_used_bytes", true],
    ["*_bytes", "memory_used_bytes_x", false],
    ["disk_*_per_second", "disk_read_bytes_per_second", true],
    ["a*b*b", "ab", false],
    ["a*b*b", "abb", true],
    ["ab*ba", "aba", false],
  ])("the pattern %s and %s: %s", (pattern, name, expected) => {
    expect(metricPattern(pattern)(name)).toBe(expected);
  });

  test("a peer's series has the bounds of its family, an unknown name has none", () => {
    const peer = "peer_bytes_per_second:0b5f4a2e8c1d4e3f9a6b7c8d9e0f1a2b";
    expect(isMetricName(peer)).toBe(true);
    expect(metricBounds(peer)).toMatchObject({ name: "peer_bytes_per_second", min: 0 });
    expect(metricBounds("my_metric")).toBeUndefined();
  });
});
