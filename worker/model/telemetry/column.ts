// The coding of one column of a frame, writer and reader side by side (FORMAT.md, "Column"). A denser coding gets the next
// version of the frame and a file beside this one.
import type { ByteReader, ByteWriter } from "./bytes.ts";

const EMPTY = 0;
const CONSTANT = 1;
const INTEGERS = 2;
const FLOATS = 3;
/** Set beside the coding when a bitmap of the present values comes first. */
const GAPS = 0x80;

/** Integers up to here keep the zigzag of their greatest difference, 4 * INTEGER_MAX, within 2^53 - 1. */
const INTEGER_MAX = 2 ** 51 - 1;

const isSmallInteger = (value: number): boolean =>
  Number.isInteger(value) && Math.abs(value) <= INTEGER_MAX && !Object.is(value, -0);

function codingOf(present: readonly number[]): number {
  if (present.length === 0) return EMPTY;
  if (present.length > 1 && present.every((value) => Object.is(value, present[0]))) return CONSTANT;
  return present.every(isSmallInteger) ? INTEGERS : FLOATS;
}

/** Writes the values of one series; `null` is a gap. The reader needs to know how many there are. */
export function writeColumn(out: ByteWriter, values: readonly (number | null)[]): void {
  const present = values.filter((value) => value !== null);
  const coding = codingOf(present);
  const gaps = coding !== EMPTY && present.length < values.length;
  out.byte(gaps ? coding | GAPS : coding);
  if (gaps) writeBitmap(out, values);
  let previous = 0;
  for (const value of coding === CONSTANT ? present.slice(0, 1) : present) {
    if (coding === INTEGERS) {
      const delta = value - previous;
      out.varint(delta < 0 ? -2 * delta - 1 : 2 * delta);
      previous = value;
    } else out.float64(value);
  }
}

function writeBitmap(out: ByteWriter, values: readonly (number | null)[]): void {
  for (let start = 0; start < values.length; start += 8) {
    let byte = 0;
    for (let bit = 0; bit < 8; bit++) if ((values[start + bit] ?? null) !== null) byte |= 1 << bit;
    out.byte(byte);
  }
}

/** The next value, on every call, of a column of this coding. */
function valueReader(input: ByteReader, coding: number): () => number {
  if (coding === CONSTANT) {
    const constant = input.float64("a constant");
    return () => constant;
  }
  if (coding === FLOATS) return () => input.float64("a value");
  let value = 0;
  return () => {
    const zigzag = input.varint("a difference");
    value += zigzag % 2 === 0 ? zigzag / 2 : -(zigzag + 1) / 2;
    if (Math.abs(value) > INTEGER_MAX) throw input.fail("an integer out of range");
    return value;
  };
}

/** Reads a column of `count` values, to the end of `input`. */
export function readColumn(input: ByteReader, count: number): (number | null)[] {
  const tag = input.byte("the coding of a column");
  const coding = tag & ~GAPS;
  if (coding > FLOATS || tag === (EMPTY | GAPS)) throw input.fail(`unknown column coding ${tag}`);
  if (coding === EMPTY) {
    input.end("an empty column");
    return Array.from({ length: count }, () => null);
  }
  const bitmap = (tag & GAPS) === 0 ? null : input.bytes(Math.ceil(count / 8), "the bitmap");
  if (bitmap !== null && count % 8 !== 0 && (bitmap[bitmap.length - 1] ?? 0) >> (count % 8) !== 0)
    throw input.fail("a bitmap longer than the times");
  const next = valueReader(input, coding);
  const values: (number | null)[] = [];
  for (let index = 0; index < count; index++) {
    const present = bitmap === null || (((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;
    values.push(present ? next() : null);
  }
  input.end("a column");
  return values;
}
