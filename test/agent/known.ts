// What a test knows must be there.

/** ms from one moment to another; throws when either was not seen. */
export function msBetween(from: number | null | undefined, to: number | null | undefined): number {
  if (typeof from !== "number" || typeof to !== "number") throw new Error(`from ${from} to ${to} is no time`);
  return to - from;
}
