// Reading and writing of bytes for the chunk codec, and hex, in which BLOBs cross into and out of D1.

/** Stored bytes are not what they should be. `offset` counts from the start of the chunk. */
export class ChunkError extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(`${message} (byte ${offset})`);
    this.name = "ChunkError";
    this.offset = offset;
  }
}

/** 2^53 - 1 needs eight groups of seven bits. */
const VARINT_BYTES_MAX = 8;

export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer> = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
    this.#view = new DataView(grown.buffer);
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** An integer from 0 to 2^53 - 1, seven bits a byte, the lowest first; the top bit says that more follow. */
  varint(value: number): void {
    this.#reserve(VARINT_BYTES_MAX);
    let rest = value;
    if (value < 0x80000000) {
      let small = value | 0;
      for (; small >= 0x80; small >>>= 7) this.#bytes[this.#length++] = (small & 0x7f) | 0x80;
      this.#bytes[this.#length++] = small;
      return;
    }
    while (rest >= 0x80) {
      // Bit operations would cut at 32 bits.
      this.#bytes[this.#length++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#bytes[this.#length++] = rest;
  }

  /** A signed integer of up to 52 bits as a varint: 0, -1, 1, -2, … */
  zigzag(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  float64(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  bytes(data: Uint8Array): void {
    this.#reserve(data.length);
    this.#bytes.set(data, this.#length);
    this.#length += data.length;
  }

  /** Begins a part that is preceded by its length; `close` is told what this returns. */
  open(): number {
    this.#reserve(1);
    this.#length += 1;
    return this.#length;
  }

  /** Puts the length before what was written since `start`. */
  close(start: number): void {
    const length = this.#length - start;
    if (length < 0x80) {
      this.#bytes[start - 1] = length;
      return;
    }
    const end = this.#length;
    this.varint(length);
    const prefix = this.#bytes.slice(end, this.#length);
    this.#length = end;
    this.#reserve(prefix.length);
    this.#bytes.copyWithin(start - 1 + prefix.length, start, this.#length);
    this.#bytes.set(prefix, start - 1);
    this.#length += prefix.length - 1;
  }

  /** Forgets what was written; what was reserved stays. */
  reset(): void {
    this.#length = 0;
  }

  /** What was written, copied to its exact size. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  /** What was written after its length, and zeros up to a multiple of `group` bytes. */
  framed(group: number): Uint8Array<ArrayBuffer> {
    const length = this.#length;
    // The length is written behind what it is the length of, and moved before it.
    this.varint(length);
    const prefix = this.#length - length;
    const all = new Uint8Array(Math.ceil(this.#length / group) * group);
    all.set(this.#bytes.subarray(length, this.#length));
    all.set(this.#bytes.subarray(0, length), prefix);
    this.#length = length;
    return all;
  }
}

/** Reads `data` from its start to its end; `base` is where `data` stands in the chunk, for error messages. */
export class ByteReader {
  readonly #data: Uint8Array;
  readonly #view: DataView;
  readonly #base: number;
  #at = 0;

  constructor(data: Uint8Array, base: number) {
    this.#data = data;
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    this.#base = base;
  }

  get remaining(): number {
    return this.#data.length - this.#at;
  }

  /** Where the next byte stands in the chunk. */
  get offset(): number {
    return this.#base + this.#at;
  }

  fail(message: string): ChunkError {
    return new ChunkError(message, this.offset);
  }

  byte(what: string): number {
    const value = this.#data[this.#at];
    if (value === undefined) throw this.fail(`ends before ${what}`);
    this.#at += 1;
    return value;
  }

  varint(what: string): number {
    const start = this.offset;
    let value = 0;
    let scale = 1;
    for (let index = 0; index < VARINT_BYTES_MAX; index++) {
      const next = this.byte(what);
      value += (next & 0x7f) * scale;
      if (next < 0x80) {
        if (value > Number.MAX_SAFE_INTEGER) throw new ChunkError(`${what} is over 2^53 - 1`, start);
        if (next === 0 && index > 0) throw new ChunkError(`${what} is not in its shortest form`, start);
        return value;
      }
      scale *= 0x80;
    }
    throw new ChunkError(`${what} is longer than ${VARINT_BYTES_MAX} bytes`, start);
  }

  /** A varint that says how many things follow, each of at least `bytesEach` bytes: checked before anything is allocated. */
  count(what: string, bytesEach: number): number {
    const start = this.offset;
    const value = this.varint(what);
    if (value * bytesEach > this.remaining)
      throw new ChunkError(`${what} is ${value}, but only ${this.remaining} bytes follow`, start);
    return value;
  }

  /** See `ByteWriter.zigzag`. */
  zigzag(what: string): number {
    const value = this.varint(what);
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  uint32(what: string): number {
    if (this.remaining < 4) throw this.fail(`ends before ${what}`);
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  /** Passes `count` bytes that are there. */
  skip(count: number): void {
    this.#at += count;
  }

  float64(what: string): number {
    if (this.remaining < 8) throw this.fail(`ends before ${what}`);
    const value = this.#view.getFloat64(this.#at, true);
    if (!Number.isFinite(value)) throw this.fail(`${what} is not a finite number`);
    this.#at += 8;
    return value;
  }

  bytes(count: number, what: string): Uint8Array {
    if (count > this.remaining) throw this.fail(`ends before ${what}`);
    this.#at += count;
    return this.#data.subarray(this.#at - count, this.#at);
  }

  end(what: string): void {
    if (this.remaining > 0) throw this.fail(`${this.remaining} bytes too many after ${what}`);
  }
}

const HEX_DIGITS = new TextEncoder().encode("0123456789abcdef");
const ascii = new TextDecoder();

/** Lower-case hex, two digits a byte. */
export function toHex(bytes: Uint8Array): string {
  const out = new Uint8Array(bytes.length * 2);
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index] ?? 0;
    out[2 * index] = HEX_DIGITS[byte >> 4] ?? 0;
    out[2 * index + 1] = HEX_DIGITS[byte & 15] ?? 0;
  }
  return ascii.decode(out);
}

/** Value of a hex digit by its character code; 255 where there is none. */
const HEX_VALUES = new Uint8Array(128).fill(255);
for (let value = 0; value < 16; value++) {
  HEX_VALUES[value.toString(16).charCodeAt(0)] = value;
  HEX_VALUES[value.toString(16).toUpperCase().charCodeAt(0)] = value;
}

/** Hex in either case (SQLite answers in upper case). ChunkError where it is not hex. */
export function fromHex(text: string): Uint8Array {
  if (text.length % 2 === 1) throw new ChunkError("an odd number of hex digits", text.length >> 1);
  const out = new Uint8Array(text.length / 2);
  for (let index = 0; index < out.length; index++) {
    const high = HEX_VALUES[text.charCodeAt(2 * index)] ?? 255;
    const low = HEX_VALUES[text.charCodeAt(2 * index + 1)] ?? 255;
    if (high > 15 || low > 15) throw new ChunkError("not hex", index);
    out[index] = (high << 4) | low;
  }
  return out;
}
