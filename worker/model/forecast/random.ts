// Randomness of the model: always from a seed that is an argument.
import type { Random } from "./types.ts";

/** Numbers from 0 up to 1 (mulberry32, Tommy Ettinger). `seed`: any integer. */
export function randomOf(seed: number): Random {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One number of the standard normal distribution (Box and Muller 1958). */
export function normalOf(random: Random): number {
  // 1 - random() is never 0, so that its logarithm is finite.
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
