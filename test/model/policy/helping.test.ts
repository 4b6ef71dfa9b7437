import { describe, expect, test } from "vitest";
import { gainOf, restMs, stoppedHelping } from "../../../worker/model/policy/helping.ts";
import { helpAlarm } from "../../../worker/model/policy/policy.ts";

const plan = (before: number, promised: number, found: number) => ({
  planId: "p",
  before: { cpuImbalance: before },
  promised: { cpuImbalance: promised },
  found: { cpuImbalance: found },
});

describe("gain", () => {
  test.each([
    ["as promised", { x: 4 }, { x: 2 }, { x: 2 }, 1],
    ["half", { x: 4 }, { x: 2 }, { x: 3 }, 0.5],
    ["none", { x: 4 }, { x: 2 }, { x: 4 }, 0],
    ["worse", { x: 4 }, { x: 2 }, { x: 6 }, -1],
    ["where more is better", { emptyHosts: 1 }, { emptyHosts: 3 }, { emptyHosts: 2 }, 0.5],
    [
      "what the goal is about comes first",
      { cpuImbalance: 1, hotHosts: 2 },
      { cpuImbalance: 0, hotHosts: 0 },
      { cpuImbalance: 1, hotHosts: 0 },
      1,
    ],
  ])("%s", (_, before, promised, found, ratio) => {
    expect(gainOf({ before, promised, found })?.ratio).toBeCloseTo(ratio, 12);
  });

  test("is unknown where nothing was promised, or the indicator is not there any more", () => {
    expect(gainOf({ before: { x: 1 }, promised: { x: 1 }, found: { x: 0 } })).toBeNull();
    expect(gainOf({ before: { x: 1 }, promised: { x: 0 }, found: {} })).toBeNull();
    expect(gainOf({ before: { x: 1, y: 1 }, promised: { x: 0, y: 1 }, found: { x: 0, y: 0 } }, "y")).toBeNull();
  });
});

describe("moves have stopped helping", () => {
  const alarm = helpAlarm.parse({ plans: 3, gainRatioMin: 0.5 });
  const [good, bad, empty] = [plan(4, 2, 2), plan(4, 2, 4), plan(4, 4, 4)];
  test.each([
    ["no: too few", [bad, bad], false],
    ["no: one of the last three helped", [bad, bad, good, bad], false],
    ["yes: the last three did not", [good, bad, bad, bad], true],
    ["what promised nothing does not count", [bad, bad, empty, bad], true],
    ["exactly enough is enough", [bad, bad, plan(4, 2, 3)], false],
  ])("%s", (_, executed, stopped) => {
    expect(stoppedHelping(executed, alarm) !== null).toBe(stopped);
  });

  test("is said with numbers", () => {
    expect(stoppedHelping([bad, bad, plan(0.4, 0.1, 0.3999)], alarm)).toContain(
      "promised cpuImbalance 0.4 → 0.1, and it was 0.4",
    );
  });
});

describe("the rest after a plan", () => {
  const alarm = helpAlarm.parse({ plans: 3, gainRatioMin: 0.5 });
  const [good, bad, empty] = [plan(4, 2, 2), plan(4, 2, 4), plan(4, 4, 4)];
  const minutes = (count: number) => count * 60_000;
  test.each([
    ["is the cooldown where nothing is known", minutes(15), [], minutes(15)],
    ["and where the last plan helped", minutes(15), [bad, bad, good], minutes(15)],
    ["is doubled by a plan that fell short", minutes(15), [good, bad], minutes(30)],
    ["and by each one before it", minutes(15), [good, bad, empty, bad, bad], minutes(120)],
    ["up to eight hours", minutes(60), [bad, bad, bad, bad], minutes(480)],
    ["which shorten no longer cooldown", minutes(600), [bad], minutes(600)],
    ["and is none where there is no cooldown", 0, [bad, bad], 0],
  ])("%s", (_, cooldownMs, executed, rest) => {
    expect(restMs(cooldownMs, executed, alarm)).toBe(rest);
  });
});
