import { describe, expect, test } from "vitest";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import {
  type ShadowRun,
  shadowRestsUntil,
  simulatedBy,
  spentIn,
  withHistory,
} from "../../../worker/model/policy/shadow.ts";
import { AT, parametersOf, uuidOf, world } from "../../support/world.ts";

const run = (minutesAgo: number, ...moves: [vm: string, fromHostId: string, toHostId: string][]): ShadowRun => ({
  at: AT - minutesAgo * 60_000,
  durationMs: 10_000,
  moves: moves.map(([vm, fromHostId, toHostId]) => ({ vm: uuidOf(vm), fromHostId, toHostId, bytes: 7 })),
});

const cluster = world({
  hosts: { h1: { cpuUsedCores: 14, cpuUsedCoresP95: 15 }, h2: { cpuUsedCores: 1 }, h3: { cpuUsedCores: 1 } },
  vms: {
    a: { on: "h1", cpuUsedCores: 4 },
    b: { on: "h1", cpuUsedCores: 5 },
    c: { on: "h1", cpuUsedCores: 5 },
  },
  movedMsAgo: { a: 60_000 },
  movesLastDay: { a: 1 },
});

const placed = (runs: ShadowRun[]) =>
  Object.fromEntries(
    withHistory(cluster, runs).hosts.map(({ hostId, vms, load }) => [
      hostId,
      [vms.map(({ name }) => name).join(" "), load.cpuUsedCores],
    ]),
  );

describe("what a policy in shadow would have done", () => {
  test.each([
    ["nothing", [], { h1: ["a b c", 14], h2: ["", 1], h3: ["", 1] }],
    ["a move", [run(9, ["a", "h1", "h2"])], { h1: ["b c", 10], h2: ["a", 5], h3: ["", 1] }],
    [
      "two of one VM",
      [run(9, ["a", "h1", "h2"]), run(5, ["a", "h2", "h3"])],
      { h1: ["b c", 10], h2: ["", 1], h3: ["a", 5] },
    ],
    [
      "one there and back",
      [run(9, ["a", "h1", "h2"]), run(5, ["a", "h2", "h1"])],
      { h1: ["a b c", 14], h2: ["", 1], h3: ["", 1] },
    ],
    ["of a VM that is really elsewhere", [run(9, ["a", "h3", "h2"])], { h1: ["a b c", 14], h2: ["", 1], h3: ["", 1] }],
    [
      "of one that somebody moved in between",
      [run(9, ["a", "h3", "h2"]), run(5, ["a", "h1", "h2"])],
      { h1: ["b c", 10], h2: ["a", 5], h3: ["", 1] },
    ],
    ["to a host that is gone", [run(9, ["a", "h1", "gone"])], { h1: ["a b c", 14], h2: ["", 1], h3: ["", 1] }],
  ])("places VMs and their loads: %s", (_, runs, expected) => {
    expect(placed(runs)).toEqual(expected);
  });

  test("lets its VMs rest from when they would have arrived, beside what was really moved", () => {
    const runs = [run(50, ["b", "h1", "h2"], ["c", "h1", "h2"]), run(20, ["a", "h1", "h2"], ["b", "h2", "h3"])];
    const seen = withHistory(cluster, runs);
    expect(seen.lastMovedAt).toEqual({
      [uuidOf("a")]: AT - 60_000,
      [uuidOf("b")]: AT - 20 * 60_000 + 10_000,
      [uuidOf("c")]: AT - 50 * 60_000 + 10_000,
    });
    expect(seen.movesLastDay).toEqual({ [uuidOf("a")]: 2, [uuidOf("b")]: 2, [uuidOf("c")]: 1 });
    expect(withHistory(cluster, [run(0, ["b", "h1", "h2"])]).lastMovedAt[uuidOf("b")]).toBe(AT);
  });

  test("is not proposed again: the next plan begins where the last would have led", () => {
    const balance = (runs: ShadowRun[]) => buildPlan(withHistory(cluster, runs), "balance", parametersOf());
    const first = balance([]);
    expect(first.moves.length).toBeGreaterThan(0);
    const all = first.moves.map(({ n }) => n);
    expect(balance([{ ...simulatedBy(first, all), at: AT - 3_600_000 }]).moves).toEqual([]);
    expect(balance([{ ...simulatedBy(first, []), at: AT - 3_600_000 }]).moves).toHaveLength(all.length);
  });

  test("spends its budgets", () => {
    expect(spentIn([run(50, ["a", "h1", "h2"])])).toEqual([
      { at: AT - 50 * 60_000, vm: uuidOf("a"), bytes: 7, byPolicy: true },
    ]);
  });

  test.each([
    ["not before it has done anything", [], 60_000, null],
    ["nor where it would have approved nothing", [run(3)], 60_000, null],
    ["nor without a cooldown", [run(3, ["a", "h1", "h2"])], 0, null],
    ["after the last moves would have ended", [run(3, ["a", "h1", "h2"]), run(1)], 60_000, AT - 3 * 60_000 + 70_000],
  ])("makes it rest: %s", (_, runs, cooldownMs, until) => {
    expect(shadowRestsUntil(runs, cooldownMs)).toBe(until);
  });
});
