import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, ChunkError } from "../../../worker/model/telemetry/bytes.ts";
import type { Frame } from "../../../worker/model/telemetry/frame.ts";
import { layoutOf, readLive, writeLiveFrame } from "../../../worker/model/telemetry/live.ts";
import { anyBatches, joined, written } from "./any-live.ts";
import { anyMutations, mutated } from "./any-mutation.ts";
import { VM_A } from "./any-packed.ts";

const SEED = 20_261_126;
const ALL = (): boolean => true;

const VERSION = 1;
const NAMED = 0x80;
const RELATIVE = 0x40;

/** Refused with an offset among the bytes, or an answer that any writer could have meant, no larger than its bytes allow. */
function expectRefusedOrWellFormed(bytes: Uint8Array): "refused" | "read" {
  let read: Frame;
  try {
    read = readLive(bytes, ALL);
  } catch (error) {
    if (!(error instanceof ChunkError) || error.offset < 0 || error.offset > bytes.length) throw error;
    return "refused";
  }
  const { times, columns } = read;
  expect(times.length).toBeLessThanOrEqual(bytes.length);
  expect(columns.length).toBeLessThanOrEqual(bytes.length);
  expect(times.every((time, index) => Number.isSafeInteger(time) && time > (times[index - 1] ?? -1))).toBe(true);
  expect(columns.every(({ values }) => values.length === times.length)).toBe(true);
  expect(columns.every(({ values }) => values.some((value) => !Number.isNaN(value)))).toBe(true);
  expect(columns.every(({ values }) => values.every((value) => Math.abs(value) !== Infinity))).toBe(true);
  return "read";
}

/** FNV-1a, as it stands in frames for their series. */
const checkOf = (names: Uint8Array): number =>
  names.reduce((value, byte) => Math.imul(value ^ byte, 0x01000193) >>> 0, 0x811c9dc5);

/** A frame of any bytes, its length, names and check as they must be. */
function frameOf(tag: number, names: Uint8Array | null, rest: readonly number[], check?: number): Uint8Array {
  const out = new ByteWriter();
  out.byte(tag);
  out.uint32(check ?? checkOf(names ?? new Uint8Array()));
  if (names !== null) {
    out.varint(names.length);
    out.bytes(names);
  }
  out.bytes(Uint8Array.from(rest));
  return out.framed(3);
}

const ONE = layoutOf([{ entity: "", metric: "cpu_used_cores" }]);
const one = (...rest: number[]): Uint8Array => frameOf(VERSION | NAMED, ONE.names, rest);
const next = (tag: number, ...rest: number[]): Uint8Array => frameOf(VERSION | tag, null, rest, ONE.check);

describe("harmed live frames", () => {
  test("altered in several places: refused or well-formed, and always an end", () => {
    fc.assert(
      fc.property(anyBatches, anyMutations, (batches, how) => {
        expectRefusedOrWellFormed(mutated(joined(written(batches)), how));
      }),
      { seed: SEED, numRuns: 2000 },
    );
  });

  test("cut off within a frame are refused; cut off between two, they are those before", () => {
    fc.assert(
      fc.property(anyBatches, fc.nat(), (batches, place) => {
        const parts = written(batches);
        const bytes = joined(parts);
        const cut = place % bytes.length;
        let end = 0;
        const isBetween = parts.some(({ length }) => (end += length) === cut) || cut === 0;
        expect(expectRefusedOrWellFormed(bytes.slice(0, cut))).toBe(isBetween ? "read" : "refused");
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  test("in another order, or some of them lost: refused or well-formed", () => {
    const anyOrder = fc.array(fc.nat(), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(anyBatches, anyOrder, (batches, order) => {
        const parts = written(batches);
        expectRefusedOrWellFormed(joined(order.map((place) => parts[place % parts.length] ?? new Uint8Array())));
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  test("behind frames of other series are refused", () => {
    const values = Float64Array.of(1);
    const column = { entity: "", metric: "other", values };
    const other = writeLiveFrame({ times: [1], columns: [column] }, layoutOf([column]), true);
    const own = writeLiveFrame({ times: [2], columns: [{ ...column, metric: "cpu_used_cores" }] }, ONE, false);
    expect(() => readLive(joined([other, own]), ALL)).toThrow("a frame that does not follow one of its series");
    expect(() => readLive(own, ALL)).toThrow("a frame that does not follow one of its series");
  });

  test("with any names that pass their check, and any times and columns: refused or well-formed, and always an end", () => {
    const anyRest = fc.array(fc.oneof(fc.nat(3), fc.nat(255)), { maxLength: 60 });
    const tags = [VERSION | NAMED, VERSION, VERSION | RELATIVE];
    const anyFrames = fc.array(fc.tuple(fc.constantFrom(...tags), anyRest), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(anyBatches, anyMutations, fc.boolean(), anyFrames, (batches, how, isAltered, frames) => {
        const { names } = layoutOf(batches[0]?.frame.columns ?? []);
        const altered = isAltered ? mutated(names, how) : names;
        const check = checkOf(altered);
        const parts = frames.map(([tag, rest], index) =>
          index === 0
            ? frameOf(VERSION | NAMED, altered, rest)
            : frameOf(tag, (tag & NAMED) === 0 ? null : altered, rest, check),
        );
        expectRefusedOrWellFormed(joined(parts));
      }),
      { seed: SEED, numRuns: 3000 },
    );
  });

  test("random bytes: refused or well-formed, and always an end", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(null, 0x01, 0x41, 0x81, 0xc1), (bytes, tag) => {
        if (tag !== null && bytes.length > 1) bytes.set([bytes.length - 1, tag]);
        expectRefusedOrWellFormed(bytes);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  test("that ask for more memory than frames take are refused before it is taken", () => {
    const series = Array.from({ length: 4000 }, () => ({ entity: VM_A, metric: "cpu_used_cores" }));
    const { names } = layoutOf(series);
    const rest = new ByteWriter();
    rest.varint(4000);
    for (let each = 0; each < 4000; each++) rest.varint(1);
    // Constants, three bytes each.
    for (let each = 0; each < 4000; each++) rest.bytes(Uint8Array.of(2, 1, 2));
    const bytes = frameOf(VERSION | NAMED, names, [...rest.finish()]);
    expect(() => readLive(bytes, ALL)).toThrow("16000000 values in a frame");
    expect(() => readLive(one(0xff, 0xff, 0xff, 0xff, 0x0f, 1), ALL)).toThrow("the number of times is 4294967295");
  });

  test.each<[string, Uint8Array, string]>([
    ["of another version", frameOf(2 | NAMED, ONE.names, []), "unknown version 2 of a live frame (byte"],
    ["of no bytes", Uint8Array.of(0, 0, 0), "a frame of 0 bytes (byte 0)"],
    ["longer than what is there", Uint8Array.of(3, 1, 0), "a frame of 3 bytes (byte 0)"],
    ["of no length that ends", Uint8Array.of(0x80, 0x80), "ends before the length of a frame"],
    ["that go on from frames and name their series", frameOf(0xc1, ONE.names, []), "goes on from others"],
    ["with names of another check", frameOf(0x81, ONE.names, [], 1), "names that are not those of the frame"],
    ["of an unknown kind of entity", frameOf(0x81, Uint8Array.of(1, 2, 1, 1), []), "unknown kind of entity 2"],
    ["of an unknown metric", frameOf(0x81, Uint8Array.of(1, 0, 1, 99), []), "unknown metric number 99"],
    [
      "of more names than there are",
      frameOf(0x81, Uint8Array.of(1, 0, 1, 1, 1), []),
      "1 bytes too many after the names",
    ],
    ["of no time", one(0, 2, 1, 2), "a frame of no time"],
    ["of times that do not rise", one(2, 5, 0, 2, 1, 2), "times that do not rise"],
    ["of too late a time", one(2, 255, 255, 255, 255, 255, 255, 255, 15, 1, 2, 1, 2), "a time over 2^53 - 1"],
    ["without a column", one(1, 5), "ends before the length of a column"],
    ["with bytes after their columns", one(1, 5, 2, 1, 2, 0), "1 bytes too many after the columns"],
    ["of a column like none before", one(1, 5, 0), "of which nothing is known"],
    ["of a column that goes on from none", one(1, 5, 2, 5, 2), "goes on from another one"],
    ["of gaps with a bitmap", one(1, 5, 2, 8, 0), "unknown column coding 8"],
    ["of gaps with decimals", one(1, 5, 1, 0x10), "unknown column coding 16"],
    ["of gaps with values", one(1, 5, 2, 0, 0), "an empty column with values"],
    ["of floats with decimals", one(1, 5, 9, 0x14, 0, 0, 0, 0, 0, 0, 0, 0), "unknown column coding 20"],
    ["of ten decimals", one(1, 5, 2, 0xa2, 2), "unknown column coding 162"],
    ["of a float that is not finite", one(1, 5, 9, 4, 0, 0, 0, 0, 0, 0, 0xf0, 0x7f), "is not a finite number"],
    ["of a bitmap of gaps alone", one(1, 5, 2, 0x0a, 0), "a bitmap without a value"],
    ["of a bitmap that is too long", one(1, 5, 3, 0x0a, 3, 2), "a bitmap of more than 1 values"],
    ["of a shift over 31", one(1, 5, 3, 3, 32, 2), "a shift of 32 bits"],
    ["of a shift out of range", one(1, 5, 6, 3, 31, 0xff, 0xff, 0xff, 0x7f), "an integer out of range"],
    ["of a column that is too short", one(1, 5, 3, 2, 2, 2), "a column that does not end after 3 bytes"],
    ["of a column that is too long", one(2, 5, 1, 1, 2, 2, 2), "a column that does not end after 1 bytes"],
    [
      "of an integer over 2^51",
      one(1, 5, 9, 2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f),
      "an integer out of range",
    ],
    [
      "that go on from what their decimals do not hold",
      joined([one(1, 5, 2, 0x11, 2), next(RELATIVE, 1, 5, 2, 0x05, 2)]),
      "goes on from another one",
    ],
    [
      "that go on from nothing, behind one that does",
      joined([one(1, 5, 1, 0), next(RELATIVE, 1, 6, 0)]),
      "of which nothing is known",
    ],
    ["with another end than zeros", Uint8Array.from([...one(1, 5, 2, 1, 2).slice(0, -1), 1]), "zeros do not follow"],
  ])("%s are refused", (_, bytes, message) => {
    expect(() => readLive(bytes, ALL)).toThrow(ChunkError);
    expect(() => readLive(bytes, ALL)).toThrow(message);
  });
});
