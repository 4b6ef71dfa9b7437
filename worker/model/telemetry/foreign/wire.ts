// Reading of protobuf's wire format, for bodies that come from outside: every misfit is an error that says where.

/**
 * A body cannot be read. `offset` counts bytes from the start of what was being read; `too_large`: it may be well-formed,
 * but is over a limit.
 */
export class WireError extends Error {
  readonly offset: number;
  readonly kind: "malformed" | "too_large";
  constructor(message: string, offset: number, kind: "malformed" | "too_large" = "malformed") {
    super(`${message} (byte ${offset})`);
    this.name = "WireError";
    this.offset = offset;
    this.kind = kind;
  }
}

export const VARINT = 0;
export const FIXED64 = 1;
export const LENGTH = 2;
const START_GROUP = 3;
const END_GROUP = 4;
const FIXED32 = 5;

/** A 64-bit varint has at most ten groups of seven bits. */
const VARINT_BYTES_MAX = 10;

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Reads `bytes` from `at` on. Fields are public, because the loops over samples live from reading them directly. */
export class WireReader {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  at: number;

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
  }

  /** A varint of at most 32 bits (tags, lengths): 0 to 2^32 - 1. */
  uint32(end: number): number {
    const first = this.at < end ? (this.bytes[this.at] ?? 0) : 0x80;
    if (first < 0x80) {
      this.at += 1;
      return first;
    }
    const start = this.at;
    let value = 0;
    let scale = 1;
    for (let index = 0; index < 5; index++) {
      if (this.at >= end) throw new WireError("ends within a varint", this.at);
      const byte = this.bytes[this.at++] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) {
        if (value > 0xffff_ffff) break;
        return value;
      }
      scale *= 0x80;
    }
    throw new WireError("a tag or length of over 32 bits", start);
  }

  /** An int64 as a number: exact up to 2^53, else the nearest. */
  int64(end: number): number {
    const start = this.at;
    let low = 0;
    let scale = 1;
    // Seven groups are 49 bits: exact in a double.
    for (let index = 0; index < 7; index++) {
      if (this.at >= end) throw new WireError("ends within a varint", this.at);
      const byte = this.bytes[this.at++] ?? 0;
      low += (byte & 0x7f) * scale;
      if (byte < 0x80) return low;
      scale *= 0x80;
    }
    return this.#highInt64(start, low, end);
  }

  #highInt64(start: number, low: number, end: number): number {
    let value = BigInt(low);
    for (let index = 7; index < VARINT_BYTES_MAX; index++) {
      if (this.at >= end) throw new WireError("ends within a varint", this.at);
      const byte = this.bytes[this.at++] ?? 0;
      value |= BigInt(byte & 0x7f) << BigInt(7 * index);
      if (byte < 0x80) return Number(BigInt.asIntN(64, value));
    }
    throw new WireError(`a varint of over ${VARINT_BYTES_MAX} bytes`, start);
  }

  /** Reads a length and gives the place where what follows ends. */
  span(end: number): number {
    const start = this.at;
    const length = this.uint32(end);
    if (length > end - this.at) throw new WireError(`${length} bytes are announced, ${end - this.at} are there`, start);
    return this.at + length;
  }

  double(end: number): number {
    if (end - this.at < 8) throw new WireError("ends within a double", this.at);
    this.at += 8;
    return this.view.getFloat64(this.at - 8, true);
  }

  string(end: number): string {
    const to = this.span(end);
    const from = this.at;
    this.at = to;
    try {
      return utf8.decode(this.bytes.subarray(from, to));
    } catch {
      throw new WireError("not UTF-8", from);
    }
  }

  /** Passes over the content of a field of this tag. */
  skip(tag: number, end: number): void {
    const start = this.at;
    const type = tag & 7;
    if (tag >>> 3 === 0) throw new WireError("field number 0", start);
    if (type === VARINT) this.int64(end);
    else if (type === LENGTH) this.at = this.span(end);
    else if (type === FIXED64) this.#pass(8, end);
    else if (type === FIXED32) this.#pass(4, end);
    else if (type === START_GROUP || type === END_GROUP) throw new WireError("groups are not in use", start);
    else throw new WireError(`wire type ${type} does not exist`, start);
  }

  #pass(count: number, end: number): void {
    if (end - this.at < count) throw new WireError(`ends within ${count} bytes`, this.at);
    this.at += count;
  }

  /** The error of a known field that has another wire type than it should. */
  expectType(tag: number, type: number, what: string): void {
    if ((tag & 7) !== type) throw new WireError(`${what} has wire type ${tag & 7}, not ${type}`, this.at);
  }
}
