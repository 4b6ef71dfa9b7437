import { describe, expect, test } from "vitest";
import type { Goal } from "../../../worker/model/placement/types.ts";
import { gainOf, restMs, stoppedHelping } from "../../../worker/model/policy/helping.ts";
import { helpAlarm } from "../../../worker/model/policy/policy.ts";
import type { Indicators } from "../../../worker/model/policy/run.ts";

const plan = (before: number, promised: number, found: number, goal: Goal = "balance") => ({
  planId: "p",
  goals: [goal],
  before: { imbalance: before },
  promised: { imbalance: promised },
  found: { imbalance: found },
});

describe("gain", () => {
  const gain = (goals: Goal[], before: Indicators, promised: Indicators, found: Indicators, asked?: string) =>
    gainOf({ goals, before, promised, found }, asked);

  test.each([
    ["as promised", 2, 1],
    ["half", 3, 0.5],
    ["none", 4, 0],
    ["worse", 6, -1],
  ])("%s", (_, found, ratio) => {
    const known = gain(
      ["locality"],
      { crossBytesPerSecond: 4 },
      { crossBytesPerSecond: 2 },
      { crossBytesPerSecond: found },
    );
    expect(known?.ratio).toBeCloseTo(ratio, 12);
  });

  test("is a share also where more is better", () => {
    expect(gain(["consolidate"], { emptyHosts: 1 }, { emptyHosts: 3 }, { emptyHosts: 2 })?.ratio).toBe(0.5);
  });

  const before = {
    overloadedCores: 2,
    imbalance: 0.3,
    hotHosts: 2,
    memoryRatioMax: 0.5,
    emptyHosts: 0,
    watts: 900,
    toEvacuate: 4,
    brokenRules: 1,
    crossBytesPerSecond: 7,
    cpuImbalance: 0.3,
  };
  const all = Object.fromEntries(Object.keys(before).map((name) => [name, 0.4]));
  test.each<[string, Goal[], Indicators, string | null]>([
    ["balance by overload", ["balance"], all, "overloadedCores"],
    ["or by imbalance", ["balance"], { ...all, overloadedCores: 1.95 }, "imbalance"],
    ["or by hot hosts", ["balance"], { ...before, hotHosts: 1, emptyHosts: 2 }, "hotHosts"],
    ["consolidation by hosts in use", ["consolidate"], { ...all, emptyHosts: 3 }, "emptyHosts"],
    ["saving energy by watts", ["save-energy"], { ...before, watts: 800, imbalance: 0.1 }, "watts"],
    ["fault tolerance by rules", ["fault-tolerance"], all, "brokenRules"],
    ["locality by traffic", ["locality"], all, "crossBytesPerSecond"],
    ["evacuation by what is left", ["evacuate"], all, "toEvacuate"],
    [
      "several goals by the first that promised",
      ["fault-tolerance", "locality"],
      { ...all, brokenRules: 1 },
      "crossBytesPerSecond",
    ],
    ["nothing that the goal does not want", ["locality"], { ...all, crossBytesPerSecond: 7 }, null],
  ])("is measured by what the goal wants: %s", (_, goals, promised, indicator) => {
    expect(gain(goals, before, promised, all)?.indicator ?? null).toBe(indicator);
  });

  test("is measured by what is asked for, whatever the goal", () => {
    expect(gain(["locality"], before, all, all, "cpuImbalance")?.indicator).toBe("cpuImbalance");
  });

  test("is unknown where nothing was promised, or the indicator is not there any more", () => {
    expect(gain(["balance"], before, before, all)).toBeNull();
    expect(gain(["balance"], before, all, {})).toBeNull();
    expect(gain(["balance"], before, { ...all, watts: 900 }, all, "watts")).toBeNull();
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
    ["evacuations are made because they must be", [bad, bad, plan(4, 2, 4, "evacuate")], false],
    ["exactly enough is enough", [bad, bad, plan(4, 2, 3)], false],
  ])("%s", (_, executed, stopped) => {
    expect(stoppedHelping(executed, alarm) !== null).toBe(stopped);
  });

  test("is said with numbers", () => {
    expect(stoppedHelping([bad, bad, plan(0.4, 0.1, 0.3999)], alarm)).toContain(
      "promised imbalance 0.4 → 0.1, and it was 0.4",
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
