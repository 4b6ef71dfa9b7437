// A binary range coder with adaptive odds, writer and reader side by side (FORMAT.md, "Coder"). Integers only, so that
// every machine gives the same bytes.
import { ChunkError } from "../bytes.ts";

/** Odds are of 2^15, of the bit being 0; never so sure that a surprise would cost more than 10 bits. */
const ODDS_BITS = 15;
const ODDS_ONE = 1 << ODDS_BITS;
const ODDS_MIN = 32;

/** How far the odds move on the nth sight of a context, of 2^16: the mean of what was seen, later a moving one. */
const SEEN_MAX = 60;
const RATES = Int32Array.from({ length: SEEN_MAX + 1 }, (_, seen) => Math.floor(65_536 / (seen + 3.5)));

/** Range is from here to 2^31: code and range stay small integers. */
const RANGE_MIN = 2 ** 23;
const RANGE_START = 2 ** 31 - 1;
/** A range larger than this holds a number whose lower three bytes are zero. */
const UNIT_AT_END = 2 ** 24;

/** Raw bits go in words, and these in pieces of so many that the range is large enough to be divided. */
const WORD_BITS = 24;
const WORD = 2 ** WORD_BITS;
const PIECE_BITS = 12;
/** A number is its length in this many bits, then its bits below the highest. */
const LENGTH_BITS = 6;
const LENGTH_MAX = 54;

/** One number a context: its odds, then in the lowest bits how often it was seen. */
export type Contexts = Int32Array;
const SEEN_BITS = 8;
const SEEN_MASK = 255;

/** Even odds, in what contexts start from. */
export const EVEN_ODDS = ODDS_ONE / 2;

/** Contexts in which nothing was seen, from runs of so many of the same odds. */
export const contextsOf = (...runs: readonly { odds: number; count: number }[]): Contexts =>
  Int32Array.from(runs.flatMap(({ odds, count }) => Array.from({ length: count }, () => odds << SEEN_BITS)));

/** What a context is after a bit: the odds move a share of the way to the bit, the lowest bits count. */
function learned(context: number, bit: number): number {
  const odds = context >> SEEN_BITS;
  const seen = context & SEEN_MASK;
  const target = bit === 0 ? ODDS_ONE - ODDS_MIN : ODDS_MIN;
  const moved = odds + (Math.imul(target - odds, RATES[seen] ?? 0) >> 16);
  return (moved << SEEN_BITS) | (seen < SEEN_MAX ? seen + 1 : seen);
}

export class RangeWriter {
  #bytes = new Uint8Array(512);
  #length = 0;
  /** Below 2^32; what is over it is carried into the bytes already written. */
  #low = 0;
  #range = RANGE_START;

  bit(contexts: Contexts, context: number, bit: number): void {
    const known = contexts[context] ?? 0;
    const bound = Math.imul(this.#range >>> ODDS_BITS, known >> SEEN_BITS);
    if (bit === 0) this.#narrow(0, bound);
    else this.#narrow(bound, this.#range - bound);
    contexts[context] = learned(known, bit);
  }

  /** One of 2^bits symbols, by a tree of contexts from `first` on, one less than there are symbols. */
  symbol(contexts: Contexts, first: number, bits: number, symbol: number): void {
    for (let node = 1, rest = bits - 1; rest >= 0; rest--) {
      const bit = (symbol >> rest) & 1;
      this.bit(contexts, first + node - 1, bit);
      node = node * 2 + bit;
    }
  }

  /** The `bits` lowest bits of an integer below 2^54, all equally likely. */
  raw(value: number, bits: number): void {
    if (bits > WORD_BITS) {
      const high = Math.floor(value / WORD);
      this.raw(high, bits - WORD_BITS);
      this.#piece(value - high * WORD, WORD_BITS);
    } else if (bits > 0) this.#piece(value, bits);
  }

  #piece(value: number, bits: number): void {
    let rest = bits;
    while (rest > 0) {
      const count = rest > PIECE_BITS ? PIECE_BITS : rest;
      rest -= count;
      const unit = this.#range >>> count;
      this.#narrow(unit * ((value >>> rest) & ((1 << count) - 1)), unit);
    }
  }

  /** An integer from 0 to below 2^54. */
  number(value: number): void {
    let length = 0;
    for (let rest = value; rest >= 1; rest /= 2) length += 1;
    this.raw(length, LENGTH_BITS);
    if (length > 1) this.raw(value - 2 ** (length - 1), length - 1);
  }

  signed(value: number): void {
    this.number(Math.abs(value));
    if (value !== 0) this.raw(value < 0 ? 1 : 0, 1);
  }

  #narrow(offset: number, range: number): void {
    this.#low += offset;
    if (this.#low >= 2 ** 32) {
      this.#low -= 2 ** 32;
      this.#carry();
    }
    this.#range = range;
    while (this.#range < RANGE_MIN) {
      this.#put(this.#low >>> 24);
      this.#low = (this.#low << 8) >>> 0;
      this.#range <<= 8;
    }
  }

  #carry(): void {
    let at = this.#length - 1;
    while (this.#bytes[at] === 255) this.#bytes[at--] = 0;
    this.#bytes[at] = (this.#bytes[at] ?? 0) + 1;
  }

  #put(byte: number): void {
    if (this.#length === this.#bytes.length) {
      const grown = new Uint8Array(this.#length * 2);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    this.#bytes[this.#length++] = byte;
  }

  /** The shortest bytes that lead the reader here, which takes what follows them for zeros; the writer starts anew. */
  finish(): Uint8Array {
    const unit = this.#range > UNIT_AT_END ? UNIT_AT_END : RANGE_MIN;
    const end = Math.ceil(this.#low / unit) * unit;
    this.#narrow(end - this.#low, 1);
    let length = this.#length;
    while (length > 0 && this.#bytes[length - 1] === 0) length -= 1;
    const bytes = this.#bytes.slice(0, length);
    this.#length = 0;
    this.#low = 0;
    this.#range = RANGE_START;
    return bytes;
  }
}

export class RangeReader {
  readonly #bytes: Uint8Array;
  readonly #base: number;
  #at = 0;
  /** Where in the range the bytes lead: below `#range`, always. */
  #code = 0;
  #range = RANGE_START;

  /** `base`: where `bytes` stands in the frame, for error messages. */
  constructor(bytes: Uint8Array, base: number) {
    this.#bytes = bytes;
    this.#base = base;
    const [first = 0, second = 0, third = 0, fourth = 0] = bytes;
    this.#code = ((first << 24) | (second << 16) | (third << 8) | fourth) >>> 0;
    this.#at = 4;
    if (this.#code >= RANGE_START) throw this.fail("a code out of its range");
  }

  fail(message: string): ChunkError {
    return new ChunkError(message, this.#base + Math.min(this.#at, this.#bytes.length));
  }

  bit(contexts: Contexts, context: number): number {
    const known = contexts[context] ?? 0;
    const bound = Math.imul(this.#range >>> ODDS_BITS, known >> SEEN_BITS);
    const bit = this.#code < bound ? 0 : 1;
    contexts[context] = learned(known, bit);
    if (bit === 0) this.#range = bound;
    else {
      this.#code -= bound;
      this.#range -= bound;
    }
    if (this.#range < RANGE_MIN) this.#refill();
    return bit;
  }

  /**
   * How many bits of 1 come before one of 0, at most `max` of them, each by the context of how many there were: the first
   * of them is at `first`, and there are `size`.
   */
  ones(contexts: Contexts, first: number, size: number, max: number): number {
    let code = this.#code;
    let range = this.#range;
    let count = 0;
    while (count < max) {
      const context = first + (count < size ? count : size - 1);
      const known = contexts[context] ?? 0;
      const bound = Math.imul(range >>> ODDS_BITS, known >> SEEN_BITS);
      const bit = code < bound ? 0 : 1;
      if (bit === 1) code -= bound;
      range = bit === 0 ? bound : range - bound;
      contexts[context] = learned(known, bit);
      while (range < RANGE_MIN) {
        code = (code << 8) | this.#next();
        range <<= 8;
      }
      if (bit === 0) break;
      count += 1;
    }
    this.#code = code;
    this.#range = range;
    return count;
  }

  symbol(contexts: Contexts, first: number, bits: number): number {
    let node = 1;
    for (let rest = bits; rest > 0; rest--) node = node * 2 + this.bit(contexts, first + node - 1);
    return node - (1 << bits);
  }

  /** An integer of so many bits. */
  raw(bits: number): number {
    if (bits <= WORD_BITS) return this.#piece(bits);
    const high = this.raw(bits - WORD_BITS);
    return high * WORD + this.#piece(WORD_BITS);
  }

  #piece(bits: number): number {
    let value = 0;
    let rest = bits;
    while (rest > 0) {
      const count = rest > PIECE_BITS ? PIECE_BITS : rest;
      rest -= count;
      const unit = this.#range >>> count;
      const piece = (this.#code / unit) | 0;
      if (piece >>> count !== 0) throw this.fail("a code out of its range");
      this.#code -= piece * unit;
      this.#range = unit;
      if (unit < RANGE_MIN) this.#refill();
      value = (value << count) | piece;
    }
    return value;
  }

  number(): number {
    const length = this.raw(LENGTH_BITS);
    if (length > LENGTH_MAX) throw this.fail("a number over 2^54");
    return length < 2 ? length : 2 ** (length - 1) + this.raw(length - 1);
  }

  signed(): number {
    const size = this.number();
    return size !== 0 && this.raw(1) === 1 ? -size : size;
  }

  #refill(): void {
    while (this.#range < RANGE_MIN) {
      this.#code = (this.#code << 8) | this.#next();
      this.#range <<= 8;
    }
  }

  #next(): number {
    const at = this.#at++;
    return at < this.#bytes.length ? (this.#bytes[at] ?? 0) : 0;
  }

  /** Of bytes as `finish` gives them no more than a few zeros past the end are asked for. */
  end(): void {
    if (this.#at < this.#bytes.length) throw this.fail("bytes too many after a column");
  }
}
