// What an isolate keeps between requests, within bounds.

export type Kept<T> = {
  get: (key: string) => T | undefined;
  /** What is larger than all that may be kept is not kept. */
  set: (key: string, value: T) => void;
  drop: (key: string) => void;
};

/** The least recently used ones go when their sizes together exceed `sizeMax`. */
export function createKept<T>(sizeMax: number, sizeOf: (value: T, key: string) => number): Kept<T> {
  // In the order of their last use.
  const entries = new Map<string, { value: T; size: number }>();
  let total = 0;
  const drop = (key: string): void => {
    total -= entries.get(key)?.size ?? 0;
    entries.delete(key);
  };
  return {
    get: (key) => {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      entries.set(key, entry);
      return entry.value;
    },
    set: (key, value) => {
      drop(key);
      const size = sizeOf(value, key);
      if (size > sizeMax) return;
      entries.set(key, { value, size });
      total += size;
      for (const oldest of entries.keys()) {
        if (total <= sizeMax) return;
        drop(oldest);
      }
    },
    drop,
  };
}
