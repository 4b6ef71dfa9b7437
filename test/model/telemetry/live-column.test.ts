import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter } from "../../../worker/model/telemetry/bytes.ts";
import { readLiveColumn, writeLiveColumn } from "../../../worker/model/telemetry/live-column.ts";
import { anyValue, anyValues } from "./any-packed.ts";

const NONE = Number.NaN;
const GAP = Number.NaN;

function write(values: readonly number[], before: number): Uint8Array {
  const out = new ByteWriter();
  writeLiveColumn(out, Float64Array.from(values), before);
  return out.finish();
}

function read(bytes: Uint8Array, count: number, before: number): number[] | null {
  const input = new ByteReader(bytes, 0);
  const values = readLiveColumn(input, input.count("the length", 1), count, before);
  input.end("the column");
  return values && Array.from(values);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const finite = (value: number): number => (Math.abs(value) === Infinity ? 0 : value);

describe("a live column", () => {
  test("is read back bit for bit, whatever stood before it", () => {
    const anyBefore = fc.oneof(fc.constant(NONE), anyValue);
    const anyColumn = fc.integer({ min: 1, max: 40 }).chain(anyValues);
    fc.assert(
      fc.property(anyColumn, anyBefore, (column, before) => {
        const values = column.map(finite);
        const isEmpty = values.every((value) => Number.isNaN(value));
        expect(read(write(values, before), values.length, before)).toEqual(isEmpty ? null : values);
      }),
      { seed: 20_261_126, numRuns: 3000 },
    );
  });

  test("takes a float's bytes and its tag at most, and a bitmap where it has gaps", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 15 }).chain(anyValues), anyValue, (column, before) => {
        const values = column.map(finite);
        const present = values.filter((value) => !Number.isNaN(value)).length;
        // A length of up to two bytes.
        expect(write(values, before).length).toBeLessThanOrEqual(3 + 2 + 8 * present);
      }),
      { seed: 20_261_126, numRuns: 1000 },
    );
  });

  test.each<[string, number[], number, string]>([
    ["gaps alone", [GAP, GAP], 5, "01 00"],
    ["one value as before", [5, 5, 5], 5, "00"],
    ["one value as before, which no decimals hold", [1 / 3, 1 / 3], 1 / 3, "00"],
    ["one value", [5, 5, 5], NONE, "02 01 0a"],
    ["one value, another than before", [5, 5, 5], 7, "02 05 03"],
    ["0 as before: it may have been -0", [0, 0], 0, "02 05 00"],
    ["integers", [3, 4, 2], NONE, "04 02 06 02 03"],
    ["integers that go on", [3, 4, 2], 3, "04 06 00 02 03"],
    ["integers with a gap", [3, GAP, 2], NONE, "04 0a 05 06 01"],
    ["one value with a gap", [GAP, 3], 3, "03 0d 02 00"],
    ["decimals, as many as all need", [0.5, 0.25, 1], NONE, "05 22 64 31 9601"],
    ["decimals of the value before", [1, 2], 0.5, "03 16 0a 14"],
    ["a value before that they do not hold", [1, 2], 1 / 3, "03 02 02 02"],
    ["integers of which the low bits are 0", [8192, 4096, 12288], NONE, "05 03 0c 04 01 04"],
    ["those that go on", [8192, 4096, 12288], 4096, "05 07 0c 02 01 04"],
    ["those that go on from one with fewer such bits", [8192, 4096, 8192], 16, "08 07 04 fe07 ff03 8004"],
    ["up to three such bits, which are not worth a byte", [8, 16, 24], NONE, "04 02 10 10 10"],
    ["the largest integer", [2 ** 51 - 1], NONE, "09 01 feffffffffffff07"],
    ["one past it", [2 ** 51], NONE, "09 04 0000000000002043"],
    ["nine decimals", [0.123_456_789], NONE, "05 91 aab4de75"],
    ["ten decimals", [0.123_456_789_1], NONE, "09 04 df56a737dd9abf3f"],
    ["-0", [-0, -0], -0, "11 04 0000000000000080 0000000000000080"],
    ["-0 among integers", [0, -0], NONE, "11 04 0000000000000000 0000000000000080"],
    ["floats with gaps", [GAP, 1e308, GAP], 5, "0a 0c 02 a0c8eb85f3cce17f"],
  ])("of %s has these bytes", (_, values, before, bytes) => {
    const wrote = write(values, before);
    expect(hex(wrote)).toBe(bytes.replaceAll(" ", ""));
    const isEmpty = values.every((value) => Number.isNaN(value));
    expect(read(wrote, values.length, before)).toEqual(isEmpty ? null : values);
  });

  test("is written the same after a longer one: nothing of that one is left", () => {
    const first = hex(write([1, 2, 3], NONE));
    write(
      Array.from({ length: 1000 }, (_, index) => index * 4096 + 0.5),
      NONE,
    );
    expect(hex(write([1, 2, 3], NONE))).toBe(first);
  });
});
