// Names that are not in the catalogue, sorted: each without what it begins with like the one before.
import type { ByteReader, ByteWriter } from "../bytes.ts";
import { isMetricName } from "../catalogue.ts";
import { contextsOf, EVEN_ODDS, RangeReader, RangeWriter } from "./coder.ts";

/** The characters that a name may have, 64 of them. */
const CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:";
const CHARACTER_BITS = 6;
/** Names are shorter than 2^8. */
const LENGTH_BITS = 8;
const EVEN = contextsOf({ odds: EVEN_ODDS, count: CHARACTERS.length - 1 });

function sharedLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length += 1;
  return length;
}

export function writeNames(out: ByteWriter, names: readonly string[]): void {
  out.varint(names.length);
  if (names.length === 0) return;
  const writer = new RangeWriter();
  const contexts = EVEN.slice();
  let before = "";
  for (const name of names) {
    const shared = sharedLength(before, name);
    writer.raw(shared, LENGTH_BITS);
    writer.raw(name.length - shared, LENGTH_BITS);
    for (const character of name.slice(shared))
      writer.symbol(contexts, 0, CHARACTER_BITS, CHARACTERS.indexOf(character));
    before = name;
  }
  const bytes = writer.finish();
  out.varint(bytes.length);
  out.bytes(bytes);
}

export function readNames(input: ByteReader): readonly string[] {
  // Every name is referred to, by one byte or more.
  const count = input.count("the number of names", 1);
  if (count === 0) return [];
  const length = input.varint("the length of the names");
  const at = input.offset;
  const bytes = input.bytes(length, "the end of the names");
  const known = remembered.find((one) => one.names.length === count && isSame(one.bytes, bytes));
  if (known !== undefined) return known.names;
  const names = namesIn(bytes, count, at);
  remembered = [{ bytes: bytes.slice(), names }, ...remembered.slice(0, REMEMBERED_MAX - 1)];
  return names;
}

/** Hosts of a fleet have the same names: those that were read last need not be spelled out again. */
const REMEMBERED_MAX = 8;
let remembered: readonly { bytes: Uint8Array; names: readonly string[] }[] = [];

const isSame = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, index) => byte === b[index]);

function namesIn(bytes: Uint8Array, count: number, at: number): string[] {
  const reader = new RangeReader(bytes, at);
  const contexts = EVEN.slice();
  const names: string[] = [];
  let before = "";
  for (let index = 0; index < count; index++) {
    let name = before.slice(0, reader.raw(LENGTH_BITS));
    for (let rest = reader.raw(LENGTH_BITS); rest > 0; rest--)
      name += CHARACTERS[reader.symbol(contexts, 0, CHARACTER_BITS)] ?? "";
    if (!isMetricName(name) || name <= before) throw reader.fail("names that no frame has in this order");
    names.push(name);
    before = name;
  }
  reader.end();
  return names;
}
