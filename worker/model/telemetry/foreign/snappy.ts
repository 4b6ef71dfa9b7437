// Snappy's block format, in which remote write bodies come: the length as a varint, then literals and copies of what is
// already there (google/snappy, format_description.txt).
import { WireError } from "./wire.ts";

/** Three bytes, a copy with a two-byte offset, give at most 64: no body inflates by more. */
const INFLATION_MAX = 22;
/** Longer literals are copied by the engine; below, the call costs more than the loop. */
const LOOP_BYTES_MAX = 64;
/** Runs are copied in words of four bytes, the last of which may reach over the end by three. */
const SLACK = 3;

/** The announced length in bytes and where the elements start. */
function announced(bytes: Uint8Array): { length: number; start: number } {
  let length = 0;
  for (let index = 0; index < 5; index++) {
    const byte = bytes[index];
    if (byte === undefined) throw new WireError("ends within the length of a snappy block", index);
    length += (byte & 0x7f) * 2 ** (7 * index);
    if (byte >= 0x80) continue;
    if (length > 0xffff_ffff) break;
    return { length, start: index + 1 };
  }
  throw new WireError("a snappy block is shorter than 2^32 bytes", 0);
}

/** A little-endian integer of 1 to 4 bytes; the caller has seen that they are there. */
function littleEndian(bytes: Uint8Array, at: number, count: number): number {
  let value = 0;
  for (let index = count - 1; index >= 0; index--) value = value * 256 + (bytes[at + index] ?? 0);
  return value;
}

/** What is written to, with room for SLACK bytes behind its end. */
type Output = { bytes: Uint8Array; view: DataView; length: number };

/** Copies within the output; the ranges may overlap, and then repeat a pattern. */
function copyBack({ bytes, view }: Output, to: number, offset: number, length: number): void {
  const end = to + length;
  if (offset < 4) for (let index = to; index < end; index++) bytes[index] = bytes[index - offset] ?? 0;
  else for (let index = to; index < end; index += 4) view.setInt32(index, view.getInt32(index - offset, true), true);
}

function copyLiteral(from: Uint8Array, at: number, { bytes }: Output, to: number, length: number): void {
  if (length > LOOP_BYTES_MAX) bytes.set(from.subarray(at, at + length), to);
  else for (let index = 0; index < length; index++) bytes[to + index] = from[at + index] ?? 0;
}

/** How many bytes of length or offset follow a tag. */
function trailing(tag: number): number {
  const kind = tag & 3;
  if (kind === 0) return Math.max(0, (tag >> 2) - 59);
  return kind === 3 ? 4 : kind;
}

/** How many bytes an element gives; `number` is what follows its tag. */
function sizeOf(tag: number, number: number): number {
  const kind = tag & 3;
  if (kind === 1) return ((tag >> 2) & 7) + 4;
  return kind === 0 && tag >> 2 > 59 ? number + 1 : (tag >> 2) + 1;
}

/** Fills `out` from the elements that start at `start`. */
function inflate(bytes: Uint8Array, start: number, out: Output): void {
  let at = start;
  let to = 0;
  while (at < bytes.length) {
    const element = at;
    const tag = bytes[at++] ?? 0;
    const count = trailing(tag);
    if (count > bytes.length - at) throw new WireError("ends within an element's length or offset", element);
    const number = littleEndian(bytes, at, count);
    at += count;
    const size = sizeOf(tag, number);
    if (size > out.length - to) throw new WireError(`more than the announced ${out.length} bytes`, element);
    if ((tag & 3) === 0) {
      if (size > bytes.length - at) throw new WireError(`a literal of ${size} bytes is not all there`, element);
      copyLiteral(bytes, at, out, to, size);
      at += size;
    } else {
      const offset = (tag & 3) === 1 ? number + (tag >> 5) * 256 : number;
      if (offset === 0 || offset > to) throw new WireError(`a copy from ${offset} bytes back, of ${to}`, element);
      copyBack(out, to, offset, size);
    }
    to += size;
  }
  if (to < out.length) throw new WireError(`ends after ${to} of the announced ${out.length} bytes`, at);
}

/** What blocks are inflated into, one after the other; larger ones have their own. */
const SHARED_BYTES = 1024 * 1024;
let sharedRoom: Uint8Array<ArrayBuffer> | null = null;

function roomFor(length: number): Uint8Array<ArrayBuffer> {
  if (length > SHARED_BYTES) return new Uint8Array(length);
  sharedRoom ??= new Uint8Array(SHARED_BYTES);
  return sharedRoom.subarray(0, length);
}

/**
 * The bytes of a snappy block, good until the next one is inflated. A block that announces more than `bytesMax` is a WireError
 * "too_large" before anything is allocated, any other misfit is "malformed".
 */
export function unsnappy(bytes: Uint8Array, bytesMax: number): Uint8Array {
  const { length, start } = announced(bytes);
  if (length > bytesMax)
    throw new WireError(`inflates to ${length} bytes, at most ${bytesMax} are taken`, 0, "too_large");
  if (length > (bytes.length - start) * INFLATION_MAX)
    throw new WireError(`${bytes.length} bytes cannot inflate to ${length}`, 0);
  const out = roomFor(length + SLACK);
  inflate(bytes, start, { bytes: out, view: new DataView(out.buffer, 0, out.length), length });
  return out.subarray(0, length);
}
