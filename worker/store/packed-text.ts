// Long JSON in columns of text: D1 keeps at most 2 MB a row, and what a plan is made of is many times that.
import { gunzipSync, gzipSync } from "node:zlib";

/** Text up to this stays readable in the database. */
const PLAIN_LENGTH_MAX = 100_000;
/** What is stored may be at most so long before it was packed: an isolate has to hold it. */
const UNPACKED_BYTES_MAX = 32 * 1_048_576;

/** Characters that are packed together: even text that hardly packs then fits a row, and memory holds no whole copy of it. */
const PIECE_LENGTH = 2_000_000;

/** Base64 of gzip. */
export const pack = (text: string): string => gzipSync(text).toString("base64");

/** Throws where it is not what `pack` made. */
export const unpack = (packed: string): string =>
  gunzipSync(Buffer.from(packed, "base64"), { maxOutputLength: UNPACKED_BYTES_MAX }).toString();

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code < 0xdc00;

/** The text in pieces, each packed by itself; a character outside the basic plane stays whole. */
export function packPieces(text: string): string[] {
  const pieces: string[] = [];
  for (let start = 0; start < text.length;) {
    const end = start + PIECE_LENGTH;
    const whole = isHighSurrogate(text.charCodeAt(end - 1)) ? end + 1 : end;
    pieces.push(pack(text.slice(start, whole)));
    start = whole;
  }
  return pieces;
}

/** Base64 of the first bytes of every gzip: no JSON begins so. */
const PACKED = "H4sI";

/** JSON as it is stored: as it is where it is short, else packed. */
export const storedText = (json: string): string => (json.length <= PLAIN_LENGTH_MAX ? json : pack(json));

/** The JSON that `storedText` stored. */
export const readText = (stored: string): string => (stored.startsWith(PACKED) ? unpack(stored) : stored);
