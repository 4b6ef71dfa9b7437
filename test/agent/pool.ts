// Things that take long to make, lent to concurrent tests one after the other.

export type Pool<T> = {
  /** One that is free, or a new one while there are fewer than `size`; else the next that is given back. */
  take: () => Promise<T>;
  give: (one: T) => void;
};

export function createPool<T>(size: number, make: (index: number) => Promise<T>): Pool<T> {
  const free: T[] = [];
  const waiting: ((one: T) => void)[] = [];
  let made = 0;
  return {
    take: async () => {
      const one = free.pop();
      if (one !== undefined) return one;
      if (made < size) return make(made++);
      return new Promise((resolve) => waiting.push(resolve));
    },
    give: (one) => {
      const next = waiting.shift();
      if (next === undefined) free.push(one);
      else next(one);
    },
  };
}
