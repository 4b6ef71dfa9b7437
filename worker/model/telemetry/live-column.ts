// The coding of one column of a live frame, writer and reader side by side (FORMAT.md, "Live columns").
import type { ByteReader, ByteWriter } from "./bytes.ts";

// Tag: three bits of coding, one that says whether a bitmap of the present values comes first, four of decimals. The codings of
// integers come in two kinds: from 0, and from the last value of the frame before.
const EMPTY = 0;
const CONSTANT = 1;
const INTEGERS = 2;
const SHIFTED = 3;
const FLOATS = 4;
/** Added to CONSTANT, INTEGERS and SHIFTED. */
const RELATIVE = 4;
const GAPS = 0x08;
const DECIMALS_MAX = 9;

/** Differences of integers up to here keep their zigzag within 2^53 - 1. */
const INTEGER_MAX = 2 ** 51 - 1;

const POWERS = Float64Array.from({ length: DECIMALS_MAX + 1 }, (_, decimals) => 10 ** decimals);

let integers = new Float64Array(64);

/**
 * Decimals with which all values, and `before` unless it is NaN, are integers that give them back exactly; those of the values
 * are then in `integers`. -1: those that one needs do not do for all.
 */
function scale(values: Float64Array, before: number): number {
  let decimals = decimalsOf(before, 0);
  for (let index = 0; index < values.length && decimals !== -1; index++)
    decimals = decimalsOf(values[index] ?? Number.NaN, decimals);
  if (decimals === -1) return -1;
  const power = POWERS[decimals] ?? 1;
  if (integers.length < values.length) integers = new Float64Array(values.length);
  // A value that needs few decimals may not come back from more of them.
  if (!comesBack(before, power)) return -1;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? Number.NaN;
    if (!comesBack(value, power)) return -1;
    integers[index] = Math.round(value * power);
  }
  return decimals;
}

/** Whether a value is an integer that gives it back, in units of 1 / `power`. NaN is. */
function comesBack(value: number, power: number): boolean {
  if (value !== value) return true;
  const integer = Math.round(value * power);
  // -0 would come back as 0.
  if (integer === 0) return Object.is(value, 0);
  return integer / power === value && integer <= INTEGER_MAX && integer >= -INTEGER_MAX;
}

/** The fewest decimals, at least `least`, with which a value comes back; -1: there are none. */
function decimalsOf(value: number, least: number): number {
  for (let decimals = least; decimals <= DECIMALS_MAX; decimals++)
    if (comesBack(value, POWERS[decimals] ?? 1)) return decimals;
  return -1;
}

/** How many low bits are 0 in all integers and in `base`, up to 31. */
function commonShift(values: Float64Array, base: number): number {
  let bits = base | 0;
  for (let index = 0; index < values.length; index++)
    if (values[index] === values[index]) bits |= (integers[index] ?? 0) | 0;
  return bits === 0 ? 0 : 31 - Math.clz32(bits & -bits);
}

/**
 * Writes a column with its length before it. The reader needs to know how many values there are, and `before`: the last value
 * of the series in the frames before, NaN if there is none.
 */
export function writeLiveColumn(out: ByteWriter, values: Float64Array, before: number): void {
  let present = 0;
  let first = Number.NaN;
  let isConstant = true;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value !== value) continue;
    if (present === 0) first = value;
    else if (value !== first) isConstant = false;
    present += 1;
  }
  const start = out.open();
  const gaps = present < values.length ? GAPS : 0;
  if (present === 0) out.byte(EMPTY);
  else if (isConstant && gaps === 0 && first === before && first !== 0) {
    // Nothing between two lengths: as before. 0 is left out, because there are two of it.
  } else writeValues(out, { values, isConstant, gaps, before });
  out.close(start);
}

type Values = { values: Float64Array; isConstant: boolean; gaps: number; before: number };

function writeValues(out: ByteWriter, { values, isConstant, gaps, before }: Values): void {
  let base = before;
  let decimals = scale(values, base);
  if (decimals === -1 && base === base) {
    base = Number.NaN;
    decimals = scale(values, base);
  }
  if (decimals !== -1) return writeIntegers(out, { values, isConstant, gaps, before: base }, decimals);
  out.byte(FLOATS | gaps);
  if (gaps !== 0) writeBitmap(out, values);
  for (const value of values) if (value === value) out.float64(value);
}

function writeIntegers(out: ByteWriter, { values, isConstant, gaps, before }: Values, decimals: number): void {
  const isRelative = before === before;
  const base = isRelative ? Math.round(before * (POWERS[decimals] ?? 1)) : 0;
  const shift = commonShift(values, base);
  const coding = isConstant ? CONSTANT : shift > 3 ? SHIFTED : INTEGERS;
  out.byte((isRelative ? coding + RELATIVE : coding) | gaps | (decimals << 4));
  if (gaps !== 0) writeBitmap(out, values);
  if (coding === SHIFTED) out.byte(shift);
  const divisor = coding === SHIFTED ? 2 ** shift : 1;
  let previous = base / divisor;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value !== value) continue;
    const integer = (integers[index] ?? 0) / divisor;
    out.zigzag(integer - previous);
    if (coding === CONSTANT) return;
    previous = integer;
  }
}

function writeBitmap(out: ByteWriter, values: Float64Array): void {
  for (let start = 0; start < values.length; start += 8) {
    let byte = 0;
    for (let bit = 0; bit < 8 && start + bit < values.length; bit++)
      if (values[start + bit] === values[start + bit]) byte |= 1 << bit;
    out.byte(byte);
  }
}

/** Reads a column of `length` bytes and `count` values; `before` as when it was written. null: all gaps. */
export function readLiveColumn(input: ByteReader, length: number, count: number, before: number): Float64Array | null {
  if (length === 0) {
    if (before !== before) throw input.fail("a column like the one before, of which nothing is known");
    return new Float64Array(count).fill(before);
  }
  const end = input.offset + length;
  const tag = input.byte("the coding of a column");
  const coding = tag & 0x07;
  if (tag >> 4 > DECIMALS_MAX || (tag >> 4 !== 0 && coding === FLOATS) || (tag !== EMPTY && coding === EMPTY))
    throw input.fail(`unknown column coding ${tag}`);
  const bitmap = (tag & GAPS) === 0 ? null : readBitmap(input, count);
  if (coding === EMPTY) {
    if (length !== 1) throw input.fail("an empty column with values");
    return null;
  }
  const values = new Float64Array(count);
  if (coding === FLOATS) readEach(values, bitmap, () => input.float64("a value"));
  else readIntegers(input, values, bitmap, { coding, power: POWERS[tag >> 4] ?? 1, before });
  if (input.offset !== end) throw input.fail(`a column that does not end after ${length} bytes`);
  return values;
}

function readBitmap(input: ByteReader, count: number): Uint8Array {
  const bitmap = input.bytes(Math.ceil(count / 8), "the bitmap");
  if (bitmap.every((byte) => byte === 0)) throw input.fail("a bitmap without a value");
  if ((count & 7) !== 0 && (bitmap.at(-1) ?? 0) >> (count & 7) !== 0)
    throw input.fail(`a bitmap of more than ${count} values`);
  return bitmap;
}

const isPresent = (bitmap: Uint8Array, index: number): boolean =>
  (((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) === 1;

function readEach(values: Float64Array, bitmap: Uint8Array | null, next: () => number): void {
  for (let index = 0; index < values.length; index++)
    values[index] = bitmap === null || isPresent(bitmap, index) ? next() : Number.NaN;
}

type Coding = { coding: number; power: number; before: number };

function readIntegers(
  input: ByteReader,
  values: Float64Array,
  bitmap: Uint8Array | null,
  { coding: kind, power, before }: Coding,
): void {
  const isRelative = kind > FLOATS;
  const coding = isRelative ? kind - RELATIVE : kind;
  if (isRelative && (before !== before || !comesBack(before, power)))
    throw input.fail("a column that goes on from another one than that before it");
  const shift = coding === SHIFTED ? input.byte("a shift") : 0;
  if (shift > 31) throw input.fail(`a shift of ${shift} bits`);
  const unit = 2 ** shift;
  let integer = isRelative ? Math.round(before * power) / unit : 0;
  if (coding === CONSTANT) integer += input.zigzag("a constant");
  readEach(values, bitmap, () => {
    if (coding !== CONSTANT) integer += input.zigzag("a difference");
    const whole = integer * unit;
    if (whole > INTEGER_MAX || whole < -INTEGER_MAX || !Number.isInteger(whole))
      throw input.fail("an integer out of range");
    return whole / power;
  });
}
