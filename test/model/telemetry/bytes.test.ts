import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, ChunkError } from "../../../worker/model/telemetry/bytes.ts";

const SEED = 20_261_126;
const filled = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index * 7);

/** Lengths around those at which a varint grows by a byte. */
const LENGTHS = [0, 1, 126, 127, 128, 129, 1023, 1024, 16_383, 16_384, 16_385];

describe("bytes", () => {
  test("integers are read back: varints up to 2^53 - 1, signed ones of 52 bits, 32 bits without a sign", () => {
    const anySigned = fc.oneof(
      fc.integer({ min: -(2 ** 52) + 1, max: 2 ** 52 - 1 }),
      fc.integer({ min: -70, max: 70 }),
    );
    const anyNumber = fc.oneof(fc.maxSafeNat(), fc.nat(300), fc.constantFrom(2 ** 31 - 1, 2 ** 31, 2 ** 53 - 1));
    fc.assert(
      fc.property(fc.array(anySigned), fc.array(anyNumber), fc.nat(2 ** 32 - 1), (signed, numbers, word) => {
        const out = new ByteWriter();
        for (const value of signed) out.zigzag(value);
        out.uint32(word);
        for (const value of numbers) out.varint(value);
        const input = new ByteReader(out.finish(), 0);
        expect(signed.map(() => input.zigzag("a signed integer"))).toEqual(signed.map((value) => value + 0));
        expect(input.uint32("a word")).toBe(word);
        expect(numbers.map(() => input.varint("an integer"))).toEqual(numbers);
        input.end("all");
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test("signed integers alternate, so that those near 0 are short", () => {
    const out = new ByteWriter();
    for (const value of [0, -1, 1, -2, 2, -64, 64]) out.zigzag(value);
    expect([...out.finish()]).toEqual([0, 1, 2, 3, 4, 127, 0x80, 1]);
  });

  test.each(LENGTHS)(
    "a part of %i bytes stands behind its length, also within another and before a third",
    (length) => {
      const out = new ByteWriter();
      const outer = out.open();
      out.byte(9);
      const inner = out.open();
      out.bytes(filled(length));
      out.close(inner);
      out.close(outer);
      out.byte(8);
      const input = new ByteReader(out.finish(), 0);
      const end = input.count("the outer length", 1) + input.offset;
      expect(input.byte("nine")).toBe(9);
      expect(input.bytes(input.count("the inner length", 1), "the part")).toEqual(filled(length));
      expect(input.offset).toBe(end);
      expect(input.byte("eight")).toBe(8);
      input.end("all");
    },
  );

  test.each(LENGTHS)("%i bytes are framed by their length and zeros up to whole groups", (length) => {
    const out = new ByteWriter();
    out.bytes(filled(length));
    for (const group of [1, 3, 8]) {
      const framed = out.framed(group);
      expect(framed.length % group).toBe(0);
      const input = new ByteReader(framed, 0);
      expect(input.bytes(input.count("the length", 1), "the bytes")).toEqual(filled(length));
      expect(input.remaining).toBeLessThan(group);
      while (input.remaining > 0) expect(input.byte("a zero")).toBe(0);
    }
  });

  test("a writer that was reset has nothing left of before, and what it gave stays", () => {
    const out = new ByteWriter();
    out.bytes(filled(5000));
    const first = out.finish();
    out.reset();
    const start = out.open();
    out.close(start);
    out.byte(1);
    expect([...out.framed(3)]).toEqual([2, 0, 1]);
    expect(first).toEqual(filled(5000));
  });

  test("what is skipped counts in offsets, and what is not there is told by its offset", () => {
    const input = new ByteReader(filled(10), 100);
    input.skip(7);
    expect([input.offset, input.remaining]).toEqual([107, 3]);
    expect(() => input.uint32("a word")).toThrow(new ChunkError("ends before a word", 107));
    expect(() => input.bytes(4, "four")).toThrow(new ChunkError("ends before four", 107));
    expect(() => input.end("seven")).toThrow(new ChunkError("3 bytes too many after seven", 107));
    input.skip(3);
    expect(() => input.byte("another")).toThrow(new ChunkError("ends before another", 110));
    input.end("ten");
  });

  test.each<[string, number[], string]>([
    ["that does not end", [0x80], "ends before it (byte 1)"],
    ["over 2^53 - 1", [255, 255, 255, 255, 255, 255, 255, 127], "it is over 2^53 - 1 (byte 0)"],
    ["of nine bytes", [255, 255, 255, 255, 255, 255, 255, 255, 1], "it is longer than 8 bytes (byte 0)"],
    ["with a zero at its end", [0x80, 0], "it is not in its shortest form (byte 0)"],
  ])("a varint %s is refused", (_, bytes, message) => {
    expect(() => new ByteReader(Uint8Array.from(bytes), 0).varint("it")).toThrow(
      new RegExp(`^${RegExp.escape(message)}$`),
    );
  });
});
