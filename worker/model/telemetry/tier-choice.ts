// Which of the stored tiers answers a query, and why.
import { type Aggregate, type Grid, isInRollups } from "../series.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../units.ts";
import type { Tier } from "./chunk-id.ts";
import { RETENTION_MS } from "./retention.ts";

/** Of each tier: how long one of its buckets is (raw: as sampled), and what it is called. */
export const TIER_TABLE: Record<Tier, { bucketMs: number; name: string; kept: string }> = {
  raw: { bucketMs: 0, name: "raw samples", kept: "48 h" },
  "5min": { bucketMs: 5 * MINUTE_MS, name: "5-minute roll-ups", kept: "30 d" },
  "1h": { bucketMs: HOUR_MS, name: "1-hour roll-ups", kept: "400 d" },
};

/** Up to this range raw samples are few enough to be read whatever the step. */
const RAW_RANGE_MS = 6 * HOUR_MS;
/** Over this range steps of an hour and more are answered from 1-hour roll-ups. */
const HOURLY_RANGE_MS = 3 * DAY_MS;

export type TierQuery = Grid & {
  agg: Aggregate;
  now: number;
  /** The one to be used; absent: the one that suits. */
  tier?: Tier | undefined;
};

/** `approximate`: a step says about what its samples would. Where `tier` is null, `why` says what to ask instead. */
export type TierChoice =
  | { tier: Tier; approximate: boolean; why: string }
  | { tier: null; approximate: false; why: string };

/**
 * The tier from which a query is answered. Raw samples where they are kept, for steps under 5 min, ranges up to 6 h, and
 * aggregates that roll-ups do not have (p99, sum, rate); 1-hour roll-ups for steps of whole hours over more than 3 d and for
 * what is older than 30 d; 5-minute roll-ups between. Roll-ups have closed hours only: what is after them is to be rolled
 * up by the caller.
 */
export function chooseTier(query: TierQuery): TierChoice {
  const tier = query.tier ?? suitableTier(query);
  const problem = problemOf(tier, query);
  if (problem !== null) return { tier: null, approximate: false, why: problem };
  return { tier, approximate: isApproximate(tier, query), why: whyOf(tier, query) };
}

/** Hours are deleted whole, so that the one in which retention ends is still there. */
const isKept = (tier: Tier, { from, now }: TierQuery): boolean =>
  from >= Math.floor((now - RETENTION_MS[tier]) / HOUR_MS) * HOUR_MS;

const isDetailed = ({ from, to, stepMs }: Grid): boolean =>
  stepMs < TIER_TABLE["5min"].bucketMs || to - from <= RAW_RANGE_MS;

function suitableTier(query: TierQuery): Tier {
  if (!isInRollups(query.agg)) return "raw";
  if (isKept("raw", query) && isDetailed(query)) return "raw";
  const isCoarse = query.stepMs % HOUR_MS === 0 && query.to - query.from > HOURLY_RANGE_MS;
  return isCoarse || !isKept("5min", query) ? "1h" : "5min";
}

function problemOf(tier: Tier, query: TierQuery): string | null {
  const { bucketMs, name, kept } = TIER_TABLE[tier];
  if (tier !== "raw" && !isInRollups(query.agg))
    return `${name} have no ${query.agg}: ask for min, max, mean, last, p50 or p95, or for raw samples of the last 48 h`;
  if (!isKept(tier, query)) {
    const hint = isInRollups(query.agg) ? "another tier" : "min, max, mean, last, p50 or p95, which roll-ups have";
    return `${name} are kept for ${kept}: ask for a later \`from\`${tier === "1h" ? "" : `, or for ${hint}`}`;
  }
  if (query.stepMs < bucketMs)
    return `${name} are the finest for this time: ask for a \`step\` of at least ${bucketMs} ms`;
  return null;
}

/** Buckets that are not within one step count where they start; several in a step do not say all of its samples. */
function isApproximate(tier: Tier, { from, to, stepMs, agg }: TierQuery): boolean {
  const { bucketMs } = TIER_TABLE[tier];
  if (bucketMs === 0) return false;
  const isAligned = [from, to, stepMs].every((time) => time % bucketMs === 0);
  const isExact = agg === "min" || agg === "max" || agg === "last";
  return !isAligned || agg === "p50" || !(isExact || stepMs === bucketMs);
}

function whyOf(tier: Tier, query: TierQuery): string {
  const { name, kept } = TIER_TABLE[tier];
  if (query.tier !== undefined) return `${name}, as asked for`;
  if (tier === "raw") {
    if (!isInRollups(query.agg)) return `${name}: roll-ups have no ${query.agg}`;
    return query.to - query.from <= RAW_RANGE_MS
      ? `${name}: the range is at most 6 h`
      : `${name}: steps are under 5 min`;
  }
  if (tier === "5min")
    return isKept("raw", query) ? `${name}: enough for this step` : `${name}: raw samples are kept for 48 h`;
  return isKept("5min", query)
    ? `${name}: enough for this step and range`
    : `${name}: the finer ones are kept for ${TIER_TABLE["5min"].kept}, these for ${kept}`;
}
