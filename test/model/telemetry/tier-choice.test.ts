import fc from "fast-check";
import { RETENTION_MS } from "../../../worker/model/telemetry/retention.ts";
import { describe, expect, test } from "vitest";
import { type Aggregate, AGGREGATES, isInRollups } from "../../../worker/model/series.ts";
import type { Tier } from "../../../worker/model/telemetry/chunk-id.ts";
import { chooseTier, TIER_TABLE, type TierQuery } from "../../../worker/model/telemetry/tier-choice.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** On the hour. */
const NOW = 1_795_399_200_000;

const query = (rangeMs: number, stepMs: number, agg: Aggregate = "mean", endedMs = 0): TierQuery => ({
  from: NOW - endedMs - rangeMs,
  to: NOW - endedMs,
  stepMs,
  agg,
  now: NOW,
});

describe("the tier of a query", () => {
  test.each<[string, TierQuery, Tier, boolean]>([
    ["a minute's steps of an hour", query(HOUR, MINUTE), "raw", false],
    ["long steps of a short range", query(6 * HOUR, HOUR), "raw", false],
    ["short steps of all that is kept", query(48 * HOUR, 4 * MINUTE), "raw", false],
    ["long steps of a day", query(DAY, 5 * MINUTE), "5min", false],
    ["the mean of several buckets", query(DAY, HOUR), "5min", true],
    ["the most of several buckets", query(DAY, HOUR, "max"), "5min", false],
    ["the median, of which roll-ups know little", query(DAY, 5 * MINUTE, "p50"), "5min", true],
    ["p95 of a bucket a step", query(DAY, 5 * MINUTE, "p95"), "5min", false],
    ["steps that cut buckets in two", query(DAY, 7 * MINUTE, "max"), "5min", true],
    ["a range that is not on the borders of buckets", { ...query(DAY, HOUR, "max"), to: NOW - 1 }, "5min", true],
    ["an hour of last week", query(HOUR, 5 * MINUTE, "mean", 7 * DAY), "5min", false],
    ["hours of a week", query(7 * DAY, HOUR), "1h", false],
    ["steps of 90 minutes of a week", query(7 * DAY, 90 * MINUTE, "max"), "5min", false],
    ["days of a year", query(365 * DAY, DAY, "min"), "1h", false],
    ["an hour of last season", query(HOUR, HOUR, "last", 90 * DAY), "1h", false],
    ["a rate over long steps", query(48 * HOUR, HOUR, "rate"), "raw", false],
    ["asked for: raw", { ...query(DAY, HOUR), tier: "raw" }, "raw", false],
    ["asked for: 1 h", { ...query(HOUR, HOUR), tier: "1h" }, "1h", false],
  ])("%s", (_, asked, tier, approximate) => {
    expect(chooseTier(asked)).toMatchObject({ tier, approximate });
  });

  test.each<[string, TierQuery, RegExp]>([
    ["short steps of what is no longer kept raw", query(HOUR, MINUTE, "mean", 3 * DAY), /`step` of at least 300000 ms/],
    [
      "short steps of what is no longer kept by 5 min",
      query(HOUR, 5 * MINUTE, "mean", 60 * DAY),
      /at least 3600000 ms/,
    ],
    ["a sum of last week", query(HOUR, HOUR, "sum", 7 * DAY), /raw samples are kept for 48 h.*min, max, mean/],
    ["p99 from roll-ups", { ...query(HOUR, HOUR, "p99"), tier: "5min" }, /5-minute roll-ups have no p99/],
    [
      "raw samples of last week",
      { ...query(HOUR, MINUTE, "mean", 7 * DAY), tier: "raw" },
      /kept for 48 h.*another tier/,
    ],
    ["what is older than everything", query(HOUR, HOUR, "mean", 500 * DAY), /kept for 400 d/],
  ])("%s is refused, and is told what to ask instead", (_, asked, why) => {
    const choice = chooseTier(asked);
    expect(choice.tier).toBeNull();
    expect(choice.why).toMatch(why);
  });

  test("the hour in which retention ends is still there", () => {
    const later = { ...query(48 * HOUR, MINUTE), now: NOW + 59 * MINUTE };
    expect(chooseTier(later)).toMatchObject({ tier: "raw" });
    expect(chooseTier({ ...later, now: NOW + HOUR })).toMatchObject({ tier: null });
  });

  test("whatever is answered is kept, has such steps and such an aggregate", () => {
    const anyQuery = fc.record({
      ago: fc.integer({ min: 1, max: 500 * DAY }),
      rangeMs: fc.integer({ min: 1, max: 400 * DAY }),
      stepMs: fc.oneof(fc.integer({ min: 1000, max: DAY }), fc.constantFrom(5 * MINUTE, HOUR)),
      agg: fc.constantFrom(...AGGREGATES),
      tier: fc.constantFrom<Tier | undefined>("raw", "5min", "1h", undefined),
    });
    fc.assert(
      fc.property(anyQuery, ({ ago, rangeMs, ...rest }) => {
        const from = NOW - ago;
        const choice = chooseTier({ from, to: from + rangeMs, now: NOW, ...rest });
        expect(choice.why).not.toBe("");
        if (choice.tier === null) return;
        expect([choice.tier, undefined]).toContain(rest.tier ?? undefined);
        const { bucketMs } = TIER_TABLE[choice.tier];
        expect(ago).toBeLessThanOrEqual(RETENTION_MS[choice.tier] + HOUR);
        expect(rest.stepMs).toBeGreaterThanOrEqual(bucketMs);
        expect(choice.tier === "raw" || isInRollups(rest.agg)).toBe(true);
      }),
      { seed: 51, numRuns: 1000 },
    );
  });
});
