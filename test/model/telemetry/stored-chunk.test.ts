import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkError } from "../../../worker/model/telemetry/bytes.ts";
import { PART_BYTES_MAX } from "../../../worker/model/telemetry/chunk-id.ts";
import { EMPTY_FRAME, type Frame, HOST, mergeFrames } from "../../../worker/model/telemetry/frame.ts";
import { layoutOf, writeLiveFrame } from "../../../worker/model/telemetry/live.ts";
import { type PackedContent, packFrame } from "../../../worker/model/telemetry/packed/frame.ts";
import { FRAME_TIMES_MAX } from "../../../worker/model/telemetry/packed/header.ts";
import {
  chunkFrame,
  frameOf,
  packParts,
  rawContent,
  type StoredChunk,
  unpack,
} from "../../../worker/model/telemetry/stored-chunk.ts";
import { anyBatches, joined, samplesOf, written } from "./any-live.ts";
import { anyContent, seriesOf, VM_A } from "./any-packed.ts";

const chunk = (id: number, stated: Partial<StoredChunk>): StoredChunk => ({
  id,
  revision: 1,
  head: null,
  live: null,
  packed: null,
  ...stated,
});

type Sample = [time: number, value: number];
const frame = (samples: readonly Sample[], entity = HOST, metric = "a"): Frame => ({
  times: samples.map(([time]) => time),
  columns: [{ entity, metric, values: Float64Array.from(samples, ([, value]) => value) }],
});
const live = (...frames: Frame[]): Uint8Array =>
  joined(frames.map((each) => writeLiveFrame(each, layoutOf(each.columns), true)));
const packed = (each: Frame): Uint8Array => packFrame(rawContent(each));

describe("the samples of an hour's chunks", () => {
  test.each<[string, StoredChunk[], Sample[]]>([
    ["are none where there is no chunk", [], []],
    ["are none where nothing is left in one", [chunk(0, {})], []],
    [
      "are what was packed, and over it what was appended since",
      [
        chunk(0, {
          packed: packed(
            frame([
              [1, 10],
              [2, 20],
            ]),
          ),
          head: live(frame([[2, 21]]), frame([[3, 31]]), frame([[3, 32]])),
        }),
      ],
      [
        [1, 10],
        [2, 21],
        [3, 32],
      ],
    ],
    [
      "are those of the later part where both have one",
      [chunk(0, { head: live(frame([[1, 11]])) }), chunk(1, { packed: packed(frame([[1, 12]])) })],
      [[1, 12]],
    ],
    [
      "stay where a later frame has a gap",
      [chunk(0, { packed: packed(frame([[1, 10]])) }), chunk(1, { head: live(frame([[1, Number.NaN]])) })],
      [[1, 10]],
    ],
  ])("%s", (_, chunks, expected) => {
    expect(samplesOf([chunkFrame(chunks)])).toEqual(expected.map(([time, value]) => ["/a", time, value]));
  });

  test("are of the host and of VMs, of whichever it is that was written", () => {
    const chunks = [chunk(0, { head: live(frame([[1, 10]])), live: live(frame([[2, 20]], VM_A)) })];
    expect(samplesOf([chunkFrame(chunks)])).toEqual([
      ["/a", 1, 10],
      [`${VM_A}/a`, 2, 20],
    ]);
  });

  test("of some metrics are those samples of all of them, wherever they stand", () => {
    fc.assert(
      fc.property(anyBatches, fc.nat(), (batches, cut) => {
        const frames = batches.map(({ frame: each }) => each);
        const at = cut % (frames.length + 1);
        const old = mergeFrames(frames.slice(0, at));
        const chunks = [
          chunk(0, {
            packed: old.columns.length === 0 ? null : packed(old),
            live: joined(written(batches.slice(at))),
          }),
        ];
        const all = samplesOf([mergeFrames(frames)]);
        expect(samplesOf([chunkFrame(chunks)])).toEqual(all);
        const isWanted = (name: string): boolean => name.length % 2 === 1;
        const some = all.filter(([key]) => isWanted(key.slice(key.indexOf("/") + 1)));
        expect(samplesOf([chunkFrame(chunks, isWanted)])).toEqual(some);
      }),
      { seed: 61, numRuns: 200 },
    );
  });

  test("cannot be read from a chunk that was cut anywhere", () => {
    const whole = packed(
      frame([
        [1, 10],
        [2, 20.5],
        [3, 31],
      ]),
    );
    for (let length = 0; length < whole.length; length++)
      expect(() => unpack(whole.subarray(0, length))).toThrow(ChunkError);
  });
});

/** The parts' content one after the other; fails where their times do not follow one another. */
function rejoined(parts: readonly Uint8Array[]): PackedContent {
  const contents = parts.map((part) => unpack(part));
  const times = contents.flatMap((content) => content.times);
  expect(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0))).toBe(true);
  const [first = rawContent(EMPTY_FRAME)] = contents;
  const columns = first.columns.map((column, place) => ({
    ...column,
    values: column.values.map((_, aggregate) =>
      Float64Array.from(contents.flatMap(({ columns: own }) => [...(own[place]?.values[aggregate] ?? [])])),
    ),
  }));
  return { ...first, times, columns };
}

describe("packed content", () => {
  test("is one part where it fits, and gives back every value", () => {
    fc.assert(
      fc.property(anyContent, (content) => {
        const parts = packParts(content);
        expect(parts).toHaveLength(content.columns.length === 0 ? 0 : 1);
        for (const part of parts) {
          expect(unpack(part).times).toEqual(content.times);
          expect(seriesOf(unpack(part))).toEqual(seriesOf(content));
        }
      }),
      { seed: 62, numRuns: 200 },
    );
  });

  test("of raw samples is the frame that it was made of", () => {
    const content = rawContent(
      frame([
        [1, -0],
        [2, Number.NaN],
      ]),
    );
    expect(frameOf(content)).toEqual(
      frame([
        [1, -0],
        [2, Number.NaN],
      ]),
    );
  });

  test("that would be too large for a row is parts of fewer times, each within the limit", () => {
    // Values that no codec makes smaller: 800 x 200 of eight bytes are 1.28 MB.
    const times = Array.from({ length: 800 }, (_, index) => 1000 * index);
    let seed = 1;
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647;
    const columns = Array.from({ length: 200 }, (_, index) => ({
      entity: HOST,
      metric: `m${String(index).padStart(3, "0")}`,
      values: [Float64Array.from(times, random)],
    }));
    const content = { times, aggregates: 1, columns };
    const parts = packParts(content);
    expect(parts.length).toBeGreaterThan(1);
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(PART_BYTES_MAX);
    expect(rejoined(parts)).toEqual(content);
  });

  test("of more times than a frame may have is several parts", () => {
    const times = Array.from({ length: FRAME_TIMES_MAX + 1 }, (_, index) => index);
    const content = rawContent({
      times,
      columns: [{ entity: HOST, metric: "a", values: Float64Array.from(times, (time) => time % 7) }],
    });
    const parts = packParts(content);
    expect(parts).toHaveLength(2);
    expect(rejoined(parts)).toEqual(content);
  });
});
