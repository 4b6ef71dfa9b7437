// The id of a chunk: one integer that says whose samples it holds, how coarse, of which hour, and which part.
// Ordered so that the hours of one tier of one host are one contiguous range: reading them is one range scan of the
// primary key, and no second index is needed.
import { HOUR_MS } from "../units.ts";

/** How coarse the samples of a chunk are. The numbers are stored. */
export const TIERS = { raw: 0, "5min": 1, "1h": 2 } as const;
export type Tier = keyof typeof TIERS;
const TIER_NAMES = ["raw", "5min", "1h"] as const satisfies readonly Tier[];

/** A packed BLOB stays under this; what follows goes to the next part. D1 allows 2 MB a row, and hex doubles it in transit. */
export const PART_BYTES_MAX = 900_000;

export type ChunkKey = { hostNumber: number; tier: Tier; /** Whole hours since 1970. */ hour: number; part: number };

// 22 + 2 + 22 + 7 = 53 bits: 4 million hosts, 4 tiers, hours until the year 2448, 128 parts (115 MB an hour).
const HOSTS = 2 ** 22;
const HOURS = 2 ** 22;
const PARTS = 2 ** 7;
const TIER_SLOTS = 4;

function within(value: number, limit: number, what: string): number {
  if (!Number.isInteger(value) || value < 0 || value >= limit)
    throw new RangeError(`${what} must be an integer from 0 to ${limit - 1}, is ${value}`);
  return value;
}

/** The id, a safe integer. RangeError where a component does not fit its bits. */
export function chunkId({ hostNumber, tier, hour, part }: ChunkKey): number {
  const host = within(hostNumber, HOSTS, "hostNumber") * TIER_SLOTS + TIERS[tier];
  return (host * HOURS + within(hour, HOURS, "hour")) * PARTS + within(part, PARTS, "part");
}

/** The inverse of `chunkId`. RangeError for what `chunkId` never gives. */
export function chunkKey(id: number): ChunkKey {
  if (!Number.isSafeInteger(id) || id < 0) throw new RangeError(`${id} is not a chunk id`);
  const part = id % PARTS;
  const aboveParts = Math.floor(id / PARTS);
  const hour = aboveParts % HOURS;
  const aboveHours = Math.floor(aboveParts / HOURS);
  const tier = TIER_NAMES[aboveHours % TIER_SLOTS];
  if (tier === undefined) throw new RangeError(`${id} is not a chunk id: no such tier`);
  return { hostNumber: Math.floor(aboveHours / TIER_SLOTS), tier, hour, part };
}

/** Ids of all parts of the hours `fromHour` to `toHour`, both included; `first` and `last` are included too. */
export function chunkIdRange(
  hostNumber: number,
  tier: Tier,
  fromHour: number,
  toHour: number,
): { first: number; last: number } {
  return {
    first: chunkId({ hostNumber, tier, hour: fromHour, part: 0 }),
    last: chunkId({ hostNumber, tier, hour: toHour, part: PARTS - 1 }),
  };
}

/** Ids of all parts of a chunk's hour; `first` names the hour. */
export const partsOf = (id: number): { first: number; last: number } => {
  const first = id - (id % PARTS);
  return { first, last: first + PARTS - 1 };
};

/** What the id of a host's chunk is above that of the same chunk of the host numbered one less. */
export const HOST_STRIDE = TIER_SLOTS * HOURS * PARTS;

/** The hour in which a time lies, as in a chunk's id. */
export const hourOf = (timeMs: number): number => Math.floor(timeMs / HOUR_MS);

/** The hours in which samples from `from` to before `to` lie. */
export const hoursBetween = (from: number, to: number): { fromHour: number; toHour: number } => ({
  fromHour: hourOf(from),
  toHour: hourOf(to - 1),
});
