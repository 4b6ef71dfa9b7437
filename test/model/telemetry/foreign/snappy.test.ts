import { createRequire } from "node:module";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { unsnappy } from "../../../../worker/model/telemetry/foreign/snappy.ts";
import { WireError } from "../../../../worker/model/telemetry/foreign/wire.ts";

// The package has no types.
const { compress, uncompress } = createRequire(import.meta.url)("snappyjs") as {
  compress: (raw: Uint8Array) => Uint8Array;
  uncompress: (block: Uint8Array, bytesMax: number) => Uint8Array;
};

const MAX = 1_000_000;
const of = (...bytes: number[]): Uint8Array => Uint8Array.from(bytes);

/** Bytes with repetitions near and far, so that every kind of copy comes up. */
const anyText = fc
  .array(fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 80 }), fc.integer({ min: 1, max: 200 })), { maxLength: 12 })
  .map((runs) => Uint8Array.from(runs.flatMap(([run, times]) => Array.from({ length: times }, () => [...run]).flat())));

const errorOf = (bytes: Uint8Array, max = MAX): WireError | null => {
  try {
    unsnappy(bytes, max);
    return null;
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
};

describe("snappy", () => {
  test("gives back what another compressor packed", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        expect(unsnappy(compress(text), MAX)).toEqual(text);
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  test("every kind of element", () => {
    expect(unsnappy(of(0), MAX)).toEqual(of());
    expect(unsnappy(of(3, 8, 1, 2, 3), MAX)).toEqual(of(1, 2, 3));
    // A literal whose length has a byte of its own.
    const long = Uint8Array.from({ length: 100 }, (_, index) => index);
    expect(unsnappy(of(100, 60 << 2, 99, ...long), MAX)).toEqual(long);
    // Copies with 1, 2 and 4 bytes of offset; the range overlaps and repeats.
    expect(unsnappy(of(7, 4, 1, 2, 5, 2), MAX)).toEqual(of(1, 2, 1, 2, 1, 2, 1));
    expect(unsnappy(of(5, 4, 1, 2, (2 << 2) | 2, 2, 0), MAX)).toEqual(of(1, 2, 1, 2, 1));
    expect(unsnappy(of(5, 4, 1, 2, (2 << 2) | 3, 1, 0, 0, 0), MAX)).toEqual(of(1, 2, 2, 2, 2));
  });

  test.each([
    ["nothing at all", of(), 0],
    ["a length that does not end", of(0x80, 0x80), 2],
    ["a length of over 32 bits", of(0xff, 0xff, 0xff, 0xff, 0x7f), 0],
    ["a length that so few bytes cannot give", of(100, 0), 0],
    ["a literal that is cut off", of(3, 8, 1, 2), 1],
    ["a literal's length that is cut off", of(3, 61 << 2, 1), 1],
    ["a copy from before the start", of(6, 0, 1, 5, 2), 3],
    ["a copy from where it stands", of(6, 0, 1, 5, 0), 3],
    ["an offset that is cut off", of(6, 0, 1, 6, 1), 3],
    ["a literal beyond the announced length", of(1, 4, 1, 2), 1],
    ["a copy beyond the announced length", of(3, 0, 1, 5, 1), 3],
    ["less than the announced length", of(3, 4, 1, 2), 4],
  ])("%s is malformed, and the error says where", (_, bytes, offset) => {
    expect(errorOf(bytes)).toMatchObject({ kind: "malformed", offset });
  });

  test("what would inflate to more than is taken is refused unread", () => {
    expect(errorOf(of(0xff, 0xff, 0xff, 0xff, 0x0f))).toMatchObject({ kind: "too_large", offset: 0 });
    expect(errorOf(compress(new Uint8Array(1001)), 1000)).toMatchObject({ kind: "too_large" });
    expect(errorOf(compress(new Uint8Array(1000)), 1000)).toBeNull();
  });

  test("any bytes are an error or what the other decoder says", () => {
    const damaged = fc.tuple(anyText, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([text, place, byte]) => {
      const bytes = compress(text);
      bytes[place % bytes.length] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 60 }), damaged), (bytes) => {
        // The other decoder takes some broken blocks, never the other way round.
        fc.pre(errorOf(bytes) === null);
        expect(unsnappy(bytes, MAX)).toEqual(uncompress(bytes, MAX));
      }),
      { seed: 2, numRuns: 1000, maxSkipsPerRun: 1000 },
    );
  });
});
