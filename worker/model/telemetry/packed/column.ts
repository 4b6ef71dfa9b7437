// The coding of one column, all its aggregates together, writer and reader side by side (FORMAT.md, "Column").
import { contextsOf, EVEN_ODDS, RangeReader, type RangeWriter } from "./coder.ts";
import { crc8 } from "./crc.ts";
import { readFloats, writeFloats } from "./floats.ts";
import { type Plan, planOf, readSeries, writeSeries } from "./predict.ts";
import { isScale, rounded, type Scale, type Scaled, scaled, unscaled } from "./scale.ts";

const CHECK_BYTES = 1;

/** Gaps: none, at the same times in all aggregates, at other times in each. */
const NO_GAPS = 0;
const SAME_GAPS = 1;
const OWN_GAPS = 2;
const GAPS_BITS = 2;
const EVEN = contextsOf({ odds: EVEN_ODDS, count: 2 });

/** What stands behind the gaps, unless there are only gaps. */
const EQUAL = 0;
const INTEGERS = 1;
const ROUNDED = 2;
const FLOATS = 3;
const KIND_BITS = 2;

/** 0 to 2 decimals are written in two bits, others in six more. */
const FEW_DECIMALS_BITS = 2;
const OTHER_DECIMALS = 3;
const DECIMALS_BITS = 6;
const DECIMALS_ZERO = 22;

/** A series may stand as its difference to one of the first three. */
const REFERENCE_BITS = 2;
const REFERENCES_MAX = 3;

/** The second of several aggregates, the mean of roll-ups, comes first: the others are near it. */
const inOrder = <T>(aggregates: readonly T[]): T[] => [
  ...aggregates.slice(1, 2),
  ...aggregates.slice(0, 1),
  ...aggregates.slice(2),
];

function countOf(values: Float64Array): number {
  let count = 0;
  for (let index = 0; index < values.length; index++) if (!Number.isNaN(values[index])) count += 1;
  return count;
}

function isGapLike(values: Float64Array, other: Float64Array): boolean {
  for (let index = 0; index < values.length; index++)
    if (Number.isNaN(values[index]) !== Number.isNaN(other[index])) return false;
  return true;
}

function gapsOf(series: readonly Float64Array[]): number {
  const [first = new Float64Array()] = series;
  if (series.every((values) => countOf(values) === values.length)) return NO_GAPS;
  return series.every((values) => isGapLike(values, first)) ? SAME_GAPS : OWN_GAPS;
}

function writeMask(out: RangeWriter, values: Float64Array): void {
  const contexts = EVEN.slice();
  let before = 0;
  for (let index = 0; index < values.length; index++) {
    const isGap = Number.isNaN(values[index]) ? 1 : 0;
    out.bit(contexts, before, isGap);
    before = isGap;
  }
}

/** Which of `count` values are gaps: 1 is one. */
function readMask(input: RangeReader, count: number): Uint8Array {
  const contexts = EVEN.slice();
  const mask = new Uint8Array(count);
  let isGap = 0;
  for (let index = 0; index < count; index++) {
    isGap = input.bit(contexts, isGap);
    mask[index] = isGap;
  }
  return mask;
}

function writeScale(out: RangeWriter, { decimals, base, step }: Scale): void {
  const isFew = decimals >= 0 && decimals < OTHER_DECIMALS;
  out.raw(isFew ? decimals : OTHER_DECIMALS, FEW_DECIMALS_BITS);
  if (!isFew) out.raw(decimals + DECIMALS_ZERO, DECIMALS_BITS);
  out.signed(base);
  out.raw(step === 1 ? 0 : 1, 1);
  if (step !== 1) out.number(step);
}

function readScale(input: RangeReader, isRounded: boolean): Scale {
  const few = input.raw(FEW_DECIMALS_BITS);
  const decimals = few < OTHER_DECIMALS ? few : input.raw(DECIMALS_BITS) - DECIMALS_ZERO;
  const base = input.signed();
  const step = input.raw(1) === 0 ? 1 : input.number();
  const scale = { decimals, isRounded, base, step };
  if (!isScale(scale)) throw input.fail("a scale out of range");
  return scale;
}

/** The values that are there, one series after the other. */
function present(series: readonly Float64Array[], lengths: readonly number[]): Float64Array {
  const out = new Float64Array(lengths.reduce((sum, length) => sum + length, 0));
  let at = 0;
  for (const values of series)
    for (let index = 0; index < values.length; index++) {
      const value = values[index] ?? Number.NaN;
      if (Number.isNaN(value)) continue;
      if (!Number.isFinite(value)) throw new RangeError("a value that is not finite");
      out[at++] = value;
    }
  return out;
}

/** The bytes of a column, its check still to be set. One Float64Array per aggregate, of one length; `out` is left fresh. */
export function packColumn(out: RangeWriter, aggregates: readonly Float64Array[]): Uint8Array {
  const series = inOrder(aggregates);
  const gaps = gapsOf(series);
  out.raw(gaps, GAPS_BITS);
  for (const values of gaps === NO_GAPS ? [] : gaps === SAME_GAPS ? series.slice(0, 1) : series) writeMask(out, values);
  const lengths = series.map(countOf);
  const values = present(series, lengths);
  if (values.length > 0) writeValues(out, values, lengths, gaps !== OWN_GAPS);
  const body = out.finish();
  const bytes = new Uint8Array(CHECK_BYTES + body.length);
  bytes.set(body, CHECK_BYTES);
  return bytes;
}

/** Sets the check. `seed`: what it starts from, so that the bytes of another column or frame are told from these. */
export function sealColumn(bytes: Uint8Array, seed: number): void {
  bytes[0] = crc8(bytes.subarray(CHECK_BYTES), seed);
}

function writeValues(out: RangeWriter, values: Float64Array, lengths: readonly number[], isAligned: boolean): void {
  const plain = scaled(values);
  if (plain === null) {
    out.raw(FLOATS, KIND_BITS);
    writeFloats(out, values);
  } else if (plain.integers.every((integer) => integer === 0)) {
    out.raw(EQUAL, KIND_BITS);
    writeScale(out, plain.scale);
  } else {
    const ranks = lengths.length > 1 ? rounded(plain) : null;
    out.raw(ranks === null ? INTEGERS : ROUNDED, KIND_BITS);
    writeIntegers(out, ranks ?? plain, lengths, isAligned);
  }
}

function writeIntegers(
  out: RangeWriter,
  { scale, integers }: Scaled,
  lengths: readonly number[],
  isAligned: boolean,
): void {
  writeScale(out, scale);
  const written: Float64Array[] = [];
  let size: number | null = null;
  let at = 0;
  for (const length of lengths) {
    const series = integers.subarray(at, at + length);
    // The very first integer is 0, by the base.
    const { reference, plan } = referring(
      at === 0 ? series.subarray(1) : series,
      isAligned ? written.slice(0, REFERENCES_MAX) : [],
    );
    if (written.length > 0) out.raw(reference, REFERENCE_BITS);
    size = writeSeries(out, plan, size);
    written.push(series);
    at += length;
  }
}

/** The cheapest way to write a series, itself or its difference to one of `others`. */
function referring(series: Float64Array, others: readonly Float64Array[]): { reference: number; plan: Plan } {
  let best = { reference: 0, plan: planOf(series) };
  for (const [index, other] of others.entries()) {
    const plan = planOf(series.map((integer, place) => integer - (other[place] ?? 0)));
    if (plan.bits < best.plan.bits) best = { reference: index + 1, plan };
  }
  return best;
}

/** What a reader knows of a column: where it stands in the frame, its shape, what its check starts from. */
export type ColumnShape = { offset: number; count: number; aggregates: number; seed: number };

/** The aggregates of a column, as they were packed. ChunkError for what no writer gives. */
export function readColumn(bytes: Uint8Array, { offset, count, aggregates, seed }: ColumnShape): Float64Array[] {
  const body = bytes.subarray(CHECK_BYTES);
  const input = new RangeReader(body, offset + CHECK_BYTES);
  if (crc8(body, seed) !== bytes[0]) throw input.fail("a column that is not what was written");
  const gaps = input.raw(GAPS_BITS);
  if (gaps > OWN_GAPS) throw input.fail("unknown gaps");
  const masks = Array.from({ length: gaps === OWN_GAPS ? aggregates : gaps }, () => readMask(input, count));
  const lengths = Array.from({ length: aggregates }, (_, index) => {
    const mask = masks[gaps === OWN_GAPS ? index : 0];
    return mask === undefined ? count : mask.reduce((sum, isGap) => sum - isGap, count);
  });
  const isAligned = gaps !== OWN_GAPS;
  const parts = lengths.every((length) => length === 0)
    ? lengths.map(() => new Float64Array())
    : readValues(input, lengths, isAligned);
  input.end();
  return inOrder(parts.map((part, index) => spread(part, masks[gaps === OWN_GAPS ? index : 0])));
}

function spread(part: Float64Array, mask: Uint8Array | undefined): Float64Array {
  if (mask === undefined) return part;
  const values = new Float64Array(mask.length).fill(Number.NaN);
  let at = 0;
  for (let index = 0; index < mask.length; index++) if (mask[index] === 0) values[index] = part[at++] ?? Number.NaN;
  return values;
}

function readValues(input: RangeReader, lengths: readonly number[], isAligned: boolean): Float64Array[] {
  const kind = input.raw(KIND_BITS);
  if (kind === INTEGERS || kind === ROUNDED) return readIntegers(input, lengths, isAligned, kind === ROUNDED);
  const parts = lengths.map((length) => new Float64Array(length));
  if (kind === EQUAL) {
    const value = unscaled(0, readScale(input, false));
    for (const part of parts) part.fill(value);
  } else readFloats(input, parts);
  return parts;
}

function readIntegers(
  input: RangeReader,
  lengths: readonly number[],
  isAligned: boolean,
  isRounded: boolean,
): Float64Array[] {
  const scale = readScale(input, isRounded);
  const read: Float64Array[] = [];
  let size: number | null = null;
  let at = 0;
  for (const length of lengths) {
    const reference = read.length === 0 ? 0 : input.raw(REFERENCE_BITS);
    const other = reference === 0 ? null : read[reference - 1];
    if (other === undefined || (other !== null && !isAligned)) throw input.fail("a reference to no series");
    const series = new Float64Array(length);
    size = readSeries(input, at === 0 ? series.subarray(1) : series, size);
    if (other !== null)
      for (let index = 0; index < length; index++) series[index] = (series[index] ?? 0) + (other[index] ?? 0);
    read.push(series);
    at += length;
  }
  for (const series of read) toValues(input, series, scale);
  return read;
}

function toValues(input: RangeReader, series: Float64Array, scale: Scale): void {
  for (let index = 0; index < series.length; index++) {
    const value = unscaled(series[index] ?? 0, scale);
    if (Number.isNaN(value)) throw input.fail("an integer out of range");
    series[index] = value;
  }
}
