// What the labels of known series mean, kept from body to body: a sender repeats the same labels for ever.

/** Half of what the cache may hold: when it is full, the older half is forgotten. */
export type CacheLimits = { entries: number; bytes: number };

/**
 * A fleet of 200 hosts and 4,000 VMs has 52,000 series; were they more than a half holds, series that come in turns would be
 * forgotten just before they are asked for again. About 250 bytes hang on an entry.
 */
const LIMITS: CacheLimits = { entries: 60_000, bytes: 10_000_000 };

/** The entry's bytes are `length` ones of `block` from `at` on. */
type Entry<T> = {
  block: DataView;
  at: number;
  length: number;
  owner: string;
  value: T;
  next: Entry<T> | undefined;
};

/**
 * The bytes of entries stand together in blocks: comparing with them is then mostly reading on. One array that doubles would be
 * there twice while it grows, and longer until it is collected.
 */
type Generation<T> = {
  byHash: Map<number, Entry<T>>;
  /** The last one, and how much of it is in use. */
  block: DataView;
  filled: number;
  /** Bytes of all entries. */
  used: number;
  entries: number;
};

const BLOCK_BYTES = 256 * 1024;

/**
 * A bounded map from bytes to what they stand for. `owner` keeps apart what the same bytes mean under different settings.
 * Equal bytes are told by comparison, the hash only finds candidates.
 */
export type SeriesCache<T> = {
  /** What the bytes of `view` from `from` to before `to` stand for; `make` is asked where that is not known, and may throw. */
  get: (owner: string, view: DataView, from: number, to: number, make: () => T) => T;
  /** Entries held. */
  size: () => number;
};

const FACTOR = 0x5bd1_e995;

/** Multiplies the bytes in, four at a time. */
function hashOf(view: DataView, from: number, to: number): number {
  let hash = to - from;
  let at = from;
  for (; at + 4 <= to; at += 4) hash = Math.imul(hash ^ (hash >>> 15) ^ view.getInt32(at, true), FACTOR);
  for (; at < to; at++) hash = Math.imul(hash ^ view.getUint8(at), FACTOR);
  hash = Math.imul(hash ^ (hash >>> 13), FACTOR);
  // Small integers are faster keys.
  return hash >>> 2;
}

function isSame(known: DataView, at: number, view: DataView, from: number, length: number): boolean {
  let index = 0;
  for (; index + 4 <= length; index += 4)
    if (known.getInt32(at + index, true) !== view.getInt32(from + index, true)) return false;
  for (; index < length; index++) if (known.getUint8(at + index) !== view.getUint8(from + index)) return false;
  return true;
}

const newGeneration = <T>(): Generation<T> => ({
  byHash: new Map(),
  block: new DataView(new ArrayBuffer(0)),
  filled: 0,
  used: 0,
  entries: 0,
});

/** Copies the bytes; they then stand in the generation's last block, up to where it is filled. */
function copyIn<T>(generation: Generation<T>, bytes: Uint8Array): void {
  if (generation.filled + bytes.length > generation.block.byteLength) {
    generation.block = new DataView(new ArrayBuffer(Math.max(BLOCK_BYTES, bytes.length)));
    generation.filled = 0;
  }
  new Uint8Array(generation.block.buffer).set(bytes, generation.filled);
  generation.filled += bytes.length;
}

export function createSeriesCache<T>(limits: CacheLimits = LIMITS): SeriesCache<T> {
  let young = newGeneration<T>();
  let old = newGeneration<T>();

  const find = (
    { byHash }: Generation<T>,
    hash: number,
    owner: string,
    view: DataView,
    from: number,
    length: number,
  ): Entry<T> | undefined => {
    for (let entry = byHash.get(hash); entry !== undefined; entry = entry.next)
      if (entry.length === length && entry.owner === owner && isSame(entry.block, entry.at, view, from, length))
        return entry;
    return undefined;
  };

  const keep = (hash: number, owner: string, view: DataView, from: number, length: number, value: T): void => {
    if (length > limits.bytes) return;
    if (young.entries >= limits.entries || young.used + length > limits.bytes) {
      old = young;
      young = newGeneration();
    }
    copyIn(young, new Uint8Array(view.buffer, view.byteOffset + from, length));
    const { block, filled, byHash } = young;
    byHash.set(hash, { block, at: filled - length, length, owner, value, next: byHash.get(hash) });
    young.used += length;
    young.entries += 1;
  };

  return {
    get: (owner, view, from, to, make) => {
      const length = to - from;
      const hash = hashOf(view, from, to);
      const known = find(young, hash, owner, view, from, length);
      if (known !== undefined) return known.value;
      const aged = find(old, hash, owner, view, from, length);
      const value = aged === undefined ? make() : aged.value;
      keep(hash, owner, view, from, length, value);
      return value;
    },
    size: () => young.entries + old.entries,
  };
}
