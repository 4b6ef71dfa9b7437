import { describe, expect, test } from "vitest";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { failureProbability, failureRates, riskAssumptions, riskOf } from "../../../worker/model/migration/risk.ts";
import type { MechanismEstimate } from "../../../worker/model/migration/types.ts";
import { inputOf } from "./support.ts";

type Raw = NonNullable<Parameters<typeof inputOf>[0]>;

const riskIn = (raw: Raw) => {
  const [estimate] = estimateMigration(inputOf(raw)).estimates as [MechanismEstimate];
  return estimate.risk;
};

describe("the probability of a failure", () => {
  test.each([
    // 6 failures a year of 365.25 days over 10 s: 6 × 10 / 31,557,600.
    [10_000, 6, 1.901e-6],
    // One a year over a year: 1 − 1/e.
    [365.25 * 86_400_000, 1, 0.6321],
    [10_000, 0, 0],
    [0, 1000, 0],
  ])("in %d ms at %d a year is %d", (timeMs, perYear, expected) => {
    expect(Math.abs(failureProbability(timeMs, perYear) - expected)).toBeLessThanOrEqual(1e-3 * expected);
  });

  test("adds the rates of both hosts and of the link, a prior where one is not given", () => {
    expect(failureRates({})).toEqual({ source: 1, destination: 1, link: 4 });
    const hosts = { source: { failuresPerYear: 3 }, destination: { failuresPerYear: 0 } };
    expect(failureRates({ hosts, link: { bytesPerSecond: 1e9, failuresPerYear: 12 } })).toEqual({
      source: 3,
      destination: 0,
      link: 12,
    });
  });

  test("rises with what the link loses: one per cent counts as a hundred times the rate", () => {
    const link = { bytesPerSecond: 1e9, failuresPerYear: 2, lossRatio: 0.01 };
    expect(failureRates({ link }).link).toBeCloseTo(202, 6);
  });

  test("is null without time at risk, and says what is lost with it", () => {
    const rates = { source: 1, destination: 1, link: 2 };
    expect(riskOf(0, rates)).toBeNull();
    expect(riskOf(1000, rates)?.lost).toMatch(/either host \(50 % of it\) loses the VM; .* link pauses it/);
    expect(riskOf(1000, { source: 0, destination: 0, link: 0 })?.failureProbability).toBe(0);
  });
});

describe("of a mechanism", () => {
  test.each<[string, Raw, boolean]>([
    ["pre-copy risks nothing but time", { mechanisms: ["pre-copy"] }, false],
    ["stop-and-copy neither", { mechanisms: ["stop-and-copy"] }, false],
    ["post-copy risks the VM", { mechanisms: ["post-copy"] }, true],
    ["hybrid in its tail", { mechanisms: ["hybrid"] }, true],
    [
      "pre-copy that turns to post-copy at its deadline",
      { mechanisms: ["pre-copy"], vm: { dirtyRateBytesPerSecond: 2e9 }, parameters: { onDeadline: "post-copy" } },
      true,
    ],
  ])("%s", (_, raw, risks) => {
    expect(riskIn(raw) !== null).toBe(risks);
  });

  test("is the longer phase's for the larger VM, and the hybrid's is less than post-copy's", () => {
    const of = (mechanism: "post-copy" | "hybrid", nonzeroBytes: number) =>
      riskIn({ mechanisms: [mechanism], vm: { nonzeroBytes } })?.failureProbability ?? 0;
    expect(of("post-copy", 4e9)).toBeGreaterThan(of("post-copy", 1e9));
    expect(of("hybrid", 4e9)).toBeLessThan(of("post-copy", 4e9));
  });

  test("lists the priors it stands on, and none that was given", () => {
    const link = { bytesPerSecond: 1e9, failuresPerYear: 1, lossRatio: 0 };
    const hosts = { source: { failuresPerYear: 1 }, destination: { failuresPerYear: 1 } };
    expect(riskAssumptions({ link, hosts })).toEqual([]);
    const fields = estimateMigration(inputOf({ mechanisms: ["post-copy"] })).assumptions.map(({ field }) => field);
    expect(fields).toEqual(
      expect.arrayContaining(["hosts.source.failuresPerYear", "hosts.destination.failuresPerYear", "link.lossRatio"]),
    );
    const without = estimateMigration(inputOf({ mechanisms: ["pre-copy"] })).assumptions.map(({ field }) => field);
    expect(without).not.toContain("hosts.source.failuresPerYear");
  });
});
