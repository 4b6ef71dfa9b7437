// A quantile sketch: counts of values in buckets whose bounds grow geometrically, so that every value stands for those
// of its bucket within a fixed relative error (DDSketch: Masson, Rim and Lee, PVLDB 12(12), 2019). Unlike a digest of
// centroids it merges and subtracts exactly: the sketch of a union is the sum of the sketches, bucket by bucket.
import { ByteReader, ByteWriter } from "./bytes.ts";

/** What `quantileOf` answers is within this ratio of the value at that rank. */
export const SKETCH_ERROR_RATIO = 0.01;

/** Values nearer to 0 than this count as 0. */
export const SKETCH_TINY = 1e-9;

/** γ = 2^(1/36), α = (γ - 1) / (γ + 1) = 0.0096: a whole number of buckets an octave needs a table and no logarithm. */
const OCTAVE = 36;
/** The table looks at 12 bits of the mantissa; borders move by at most 2^-13 for that, which makes α 0.0098. */
const CELLS = 4096;

/** Where the buckets of an octave begin, in cells; the last is where the next octave does. */
const BORDERS = Array.from({ length: OCTAVE + 1 }, (_, bucket) => Math.round((2 ** (bucket / OCTAVE) - 1) * CELLS));
const BUCKET_OF_CELL = Uint8Array.from({ length: CELLS }, (_, cell) =>
  BORDERS.findLastIndex((border) => border <= cell),
);
/** The point 2lu / (l + u) of a bucket from l to u is as far from both in ratio; for values from 1 to 2. */
const MIDDLES = Float64Array.from({ length: OCTAVE }, (_, bucket) => {
  const lower = 1 + (BORDERS[bucket] ?? 0) / CELLS;
  const upper = 1 + (BORDERS[bucket + 1] ?? 0) / CELLS;
  return (2 * lower * upper) / (lower + upper);
});

/** Buckets are numbered from 2^-30 upwards, which is just under SKETCH_TINY. 0 has key 0, and -x the negated key of x. */
const EXPONENT_MIN = -30;
const EXPONENT_BIAS = 1023;
const KEY_MAX = OCTAVE * (EXPONENT_BIAS + 1 - EXPONENT_MIN);

/** Values whose keys spread wider than this are sorted rather than counted in a table. */
const TABLE_MAX = 4096;

/** Buckets that are not empty: keys rise strictly, as their values do; counts are positive integers. */
export type Sketch = { readonly keys: Int32Array; readonly counts: Float64Array };

export const EMPTY_SKETCH: Sketch = { keys: new Int32Array(0), counts: new Float64Array(0) };

// Scratch space: an allocation of each of these would cost as much as the counting. Nothing outlives a call in them.
const table = new Int32Array(TABLE_MAX);
const tableKeys = new Int32Array(TABLE_MAX);
const tableCounts = new Float64Array(TABLE_MAX);
let scratchKeys = new Int32Array(1024);
let sumKeys = new Int32Array(1024);
let sumCounts = new Float64Array(1024);

/** The sketch of these values; NaN is skipped. RangeError where one is infinite. */
export function sketchOf(values: Float64Array): Sketch {
  // Pairs of low and high words: everything that JavaScript runs on is little-endian.
  const words = new Int32Array(values.buffer, values.byteOffset, 2 * values.length);
  if (scratchKeys.length < values.length) scratchKeys = new Int32Array(values.length);
  const keys = scratchKeys;
  let count = 0;
  let lowest = KEY_MAX;
  let highest = -KEY_MAX;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? Number.NaN;
    if (Number.isNaN(value)) continue;
    const key = keyOf(value, words[2 * index + 1] ?? 0);
    keys[count++] = key;
    if (key < lowest) lowest = key;
    if (key > highest) highest = key;
  }
  if (count === 0) return EMPTY_SKETCH;
  return highest - lowest < TABLE_MAX ? counted(count, lowest, highest) : sorted(keys.slice(0, count));
}

/** `high`: sign, 11 bits of exponent, and the upper 20 bits of the mantissa. */
function keyOf(value: number, high: number): number {
  const size = Math.abs(value);
  if (size < SKETCH_TINY) return 0;
  if (size > Number.MAX_VALUE) throw new RangeError("an infinite value has no place in a sketch");
  const octave = ((high >> 20) & 0x7ff) - EXPONENT_BIAS - EXPONENT_MIN;
  const key = OCTAVE * octave + (BUCKET_OF_CELL[(high >> 8) & 0xfff] ?? 0) + 1;
  return value < 0 ? -key : key;
}

/** Of the first `count` scratch keys. */
function counted(count: number, lowest: number, highest: number): Sketch {
  const keys = scratchKeys;
  const width = highest - lowest + 1;
  table.fill(0, 0, width);
  for (let index = 0; index < count; index++) {
    const place = (keys[index] ?? 0) - lowest;
    table[place] = (table[place] ?? 0) + 1;
  }
  let buckets = 0;
  for (let place = 0; place < width; place++) {
    const found = table[place] ?? 0;
    tableKeys[buckets] = lowest + place;
    tableCounts[buckets] = found;
    // No branch, because whether a bucket is empty cannot be predicted.
    buckets += Math.min(found, 1);
  }
  return { keys: tableKeys.slice(0, buckets), counts: tableCounts.slice(0, buckets) };
}

function sorted(keys: Int32Array): Sketch {
  keys.sort();
  const distinct = new Int32Array(keys.length);
  const counts = new Float64Array(keys.length);
  let buckets = 0;
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] ?? 0;
    if (buckets === 0 || distinct[buckets - 1] !== key) distinct[buckets++] = key;
    counts[buckets - 1] = (counts[buckets - 1] ?? 0) + 1;
  }
  return { keys: distinct.slice(0, buckets), counts: counts.slice(0, buckets) };
}

/** Behind the last bucket: a key above all. */
const keyAt = ({ keys }: Sketch, place: number): number => (place < keys.length ? (keys[place] ?? 0) : KEY_MAX + 1);

/** a + sign · b, without buckets that are empty. RangeError where a count turns negative. */
function combined(a: Sketch, b: Sketch, sign: 1 | -1): Sketch {
  const sizeA = a.keys.length;
  const sizeB = b.keys.length;
  if (sumKeys.length < sizeA + sizeB) {
    sumKeys = new Int32Array(sizeA + sizeB);
    sumCounts = new Float64Array(sizeA + sizeB);
  }
  const keys = sumKeys;
  const counts = sumCounts;
  let buckets = 0;
  let inA = 0;
  let inB = 0;
  while (inA < sizeA || inB < sizeB) {
    const keyA = keyAt(a, inA);
    const keyB = keyAt(b, inB);
    let count = 0;
    if (keyA <= keyB) count += a.counts[inA++] ?? 0;
    if (keyB <= keyA) count += sign * (b.counts[inB++] ?? 0);
    if (count < 0) throw new RangeError("more values are taken out of a sketch than were put in");
    keys[buckets] = keyA < keyB ? keyA : keyB;
    counts[buckets] = count;
    if (count !== 0) buckets += 1;
  }
  return { keys: keys.slice(0, buckets), counts: counts.slice(0, buckets) };
}

/** The sketch of the values of both. */
export const merge = (a: Sketch, b: Sketch): Sketch =>
  a.keys.length === 0 ? b : b.keys.length === 0 ? a : combined(a, b, 1);

/**
 * The sketch of the values of `a` without those of `b`. RangeError where a count would turn negative, that is where `b`
 * holds a value that `a` does not.
 */
export const subtract = (a: Sketch, b: Sketch): Sketch => (b.keys.length === 0 ? a : combined(a, b, -1));

/** `sketch` and these values; NaN is skipped. RangeError where one is infinite. */
export const addValues = (sketch: Sketch, values: Float64Array): Sketch => merge(sketch, sketchOf(values));

/** How many values are in it. */
export function countOf({ counts }: Sketch): number {
  let sum = 0;
  for (let index = 0; index < counts.length; index++) sum += counts[index] ?? 0;
  return sum;
}

/**
 * The value at the nearest rank, ⌈q · count⌉ (the least for q = 0), within SKETCH_ERROR_RATIO of the exact one and of
 * its sign; exactly 0 for what counts as 0. null of an empty sketch. RangeError where q is not within 0…1.
 */
export function quantileOf(sketch: Sketch, q: number): number | null {
  if (!(q >= 0 && q <= 1)) throw new RangeError(`${q} is not a quantile`);
  const count = countOf(sketch);
  if (count === 0) return null;
  const rank = Math.max(1, Math.ceil(q * count));
  let seen = 0;
  let index = 0;
  while (seen < rank) seen += sketch.counts[index++] ?? rank;
  return valueOf(sketch.keys[index - 1] ?? 0);
}

function valueOf(key: number): number {
  if (key === 0) return 0;
  const bucket = Math.abs(key) - 1;
  const size = (MIDDLES[bucket % OCTAVE] ?? 1) * 2 ** (Math.floor(bucket / OCTAVE) + EXPONENT_MIN);
  return Math.sign(key) * size;
}

/** How many buckets the key jumps over, and the count: two thirds of the buckets of a dense sketch need one byte each. */
const STEP_FOLLOWS = 1;

const zigzag = (value: number): number => (value < 0 ? -2 * value - 1 : 2 * value);
const unzigzag = (value: number): number => (value % 2 === 1 ? -(value + 1) / 2 : value / 2);

/**
 * Appends a sketch (WINDOW.md). The same values give the same bytes, in whatever order and by whichever merges they came
 * in.
 */
export function putSketch(out: ByteWriter, { keys, counts }: Sketch): void {
  out.varint(keys.length);
  let previous = 0;
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] ?? 0;
    const count = (counts[index] ?? 1) - 1;
    if (index === 0) {
      out.varint(zigzag(key));
      out.varint(count);
    } else if (key === previous + 1) out.varint(2 * count);
    else {
      out.varint(2 * count + STEP_FOLLOWS);
      out.varint(key - previous - 2);
    }
    previous = key;
  }
}

/** Reads what `putSketch` wrote. ChunkError where it is not a sketch. */
export function takeSketch(input: ByteReader): Sketch {
  const buckets = input.count("a sketch's buckets", 1);
  const keys = new Int32Array(buckets);
  const counts = new Float64Array(buckets);
  let key = 0;
  for (let index = 0; index < buckets; index++) {
    if (index === 0) {
      key = unzigzag(input.varint("a sketch's first bucket"));
      counts[index] = input.varint("a count") + 1;
    } else {
      const word = input.varint("a count");
      counts[index] = Math.floor(word / 2) + 1;
      key += word % 2 === STEP_FOLLOWS ? input.varint("a step between buckets") + 2 : 1;
    }
    if (Math.abs(key) > KEY_MAX) throw input.fail("a sketch's bucket is out of range");
    keys[index] = key;
  }
  return { keys, counts };
}

/** A sketch as bytes of its own. */
export function writeSketch(sketch: Sketch): Uint8Array {
  const out = new ByteWriter();
  putSketch(out, sketch);
  return out.finish();
}

/** ChunkError where the bytes are not exactly one sketch. */
export function readSketch(bytes: Uint8Array): Sketch {
  const input = new ByteReader(bytes, 0);
  const sketch = takeSketch(input);
  input.end("a sketch");
  return sketch;
}
