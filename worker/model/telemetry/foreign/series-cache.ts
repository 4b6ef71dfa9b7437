// What the labels of known series mean, kept from body to body: a sender repeats the same labels for ever.

/** Half of what the cache may hold: when it is full, the older half is forgotten. */
export type CacheLimits = { entries: number; bytes: number };

/**
 * A fleet of 200 hosts and 4,000 VMs has 52,000 series; were they more than a half holds, series that come in turns would be
 * forgotten just before they are asked for again. About 450 bytes hang on an entry.
 */
const LIMITS: CacheLimits = { entries: 60_000, bytes: 10_000_000 };

/** The entry's bytes are `length` ones of its generation's from `at` on. */
type Entry<T> = { at: number; length: number; owner: string; value: T; next: Entry<T> | undefined };

/** The bytes of all entries stand together: comparing with them is then mostly reading on. */
type Generation<T> = { byHash: Map<number, Entry<T>>; view: DataView; used: number; entries: number };

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

function newGeneration<T>(bytes: number): Generation<T> {
  return { byHash: new Map(), view: new DataView(new ArrayBuffer(bytes)), used: 0, entries: 0 };
}

/** The generation's bytes with room for `more`. */
function makeRoom<T>(generation: Generation<T>, more: number, bytesMax: number): void {
  const { view, used } = generation;
  if (used + more <= view.byteLength) return;
  const grown = new Uint8Array(Math.min(Math.max(2 * view.byteLength, used + more), bytesMax));
  grown.set(new Uint8Array(view.buffer, 0, used));
  generation.view = new DataView(grown.buffer);
}

export function createSeriesCache<T>(limits: CacheLimits = LIMITS): SeriesCache<T> {
  let young = newGeneration<T>(0);
  let old = newGeneration<T>(0);

  const find = (
    { byHash, view: known }: Generation<T>,
    hash: number,
    owner: string,
    view: DataView,
    from: number,
    length: number,
  ): Entry<T> | undefined => {
    for (let entry = byHash.get(hash); entry !== undefined; entry = entry.next)
      if (entry.length === length && entry.owner === owner && isSame(known, entry.at, view, from, length)) return entry;
    return undefined;
  };

  const keep = (hash: number, owner: string, view: DataView, from: number, length: number, value: T): void => {
    if (length > limits.bytes) return;
    if (young.entries >= limits.entries || young.used + length > limits.bytes) {
      old = young;
      young = newGeneration(0);
    }
    makeRoom(young, length, limits.bytes);
    const bytes = new Uint8Array(view.buffer, view.byteOffset + from, length);
    new Uint8Array(young.view.buffer).set(bytes, young.used);
    young.byHash.set(hash, { at: young.used, length, owner, value, next: young.byHash.get(hash) });
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
