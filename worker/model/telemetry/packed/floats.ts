// Floats that no decimal scale turns into integers: each XOR the one before, without the zeros at either end.
import { type Contexts, contextsOf, EVEN_ODDS, type RangeReader, type RangeWriter } from "./coder.ts";

/** Contexts: whether it is the one before again; then two trees of 16 leaves, zeros at the front and at the end. */
const SAME = 0;
const FRONT = 1;
const END = 17;
const NIBBLES_BITS = 4;
const NIBBLES = 16;
const EVEN = contextsOf({ odds: EVEN_ODDS, count: END + NIBBLES });

/** Of either word of 32 bits: how many bits lie between the zeros, and how many zeros end it. */
function between(front: number, end: number) {
  const highCut = end > 8 ? 4 * (end - 8) : 0;
  const lowCut = end < 8 ? 4 * end : 0;
  return {
    highBits: front < 8 ? 32 - 4 * front - highCut : 0,
    highCut,
    lowBits: end < 8 ? 32 - lowCut - (front > 8 ? 4 * (front - 8) : 0) : 0,
    lowCut,
  };
}

const nibblesAtFront = (word: number): number => Math.clz32(word) >> 2;
const nibblesAtEnd = (word: number): number => (31 - Math.clz32(word & -word)) >> 2;

/** Writes any finite floats, -0 included. */
export function writeFloats(out: RangeWriter, values: Float64Array): void {
  const contexts = EVEN.slice();
  const view = new DataView(new ArrayBuffer(8));
  let highBefore = 0;
  let lowBefore = 0;
  for (let index = 0; index < values.length; index++) {
    view.setFloat64(0, values[index] ?? 0);
    const high = view.getInt32(0) ^ highBefore;
    const low = view.getInt32(4) ^ lowBefore;
    highBefore ^= high;
    lowBefore ^= low;
    out.bit(contexts, SAME, high === 0 && low === 0 ? 1 : 0);
    if (high === 0 && low === 0) continue;
    const front = high === 0 ? 8 + nibblesAtFront(low) : nibblesAtFront(high);
    const end = low === 0 ? 8 + nibblesAtEnd(high) : nibblesAtEnd(low);
    out.symbol(contexts, FRONT, NIBBLES_BITS, front);
    out.symbol(contexts, END, NIBBLES_BITS, end);
    const { highBits, highCut, lowBits, lowCut } = between(front, end);
    out.raw(high >>> highCut, highBits);
    out.raw(low >>> lowCut, lowBits);
  }
}

/** Reads into all of `parts`. ChunkError where a value is not finite. */
export function readFloats(input: RangeReader, parts: readonly Float64Array[]): void {
  const contexts = EVEN.slice();
  const words = new DataView(new ArrayBuffer(8));
  for (const values of parts)
    for (let index = 0; index < values.length; index++) {
      if (input.bit(contexts, SAME) === 0) readChange(input, contexts, words);
      const value = words.getFloat64(0);
      if (!Number.isFinite(value)) throw input.fail("a value that is not finite");
      values[index] = value;
    }
}

function readChange(input: RangeReader, contexts: Contexts, words: DataView): void {
  const front = input.symbol(contexts, FRONT, NIBBLES_BITS);
  const end = input.symbol(contexts, END, NIBBLES_BITS);
  if (front + end >= NIBBLES) throw input.fail("more zeros than a float has bits");
  const { highBits, highCut, lowBits, lowCut } = between(front, end);
  words.setInt32(0, words.getInt32(0) ^ (input.raw(highBits) << highCut));
  words.setInt32(4, words.getInt32(4) ^ (input.raw(lowBits) << lowCut));
}
