// Budgets, freezes and scopes.
import { describe, expect, test } from "vitest";
import { type SpentMove, budgetLeft } from "../../../worker/model/policy/budget.ts";
import { freezeDefinition, freezeHolds, frozen } from "../../../worker/model/policy/freeze.ts";
import { policyScope } from "../../../worker/model/policy/scope.ts";
import { DAY_MS, HOUR_MS } from "../../../worker/model/units.ts";
import { freezeOf, NOW } from "./support.ts";

describe("a budget", () => {
  const spent = (ageMs: number, fields: Partial<SpentMove> = {}): SpentMove => ({
    at: NOW - ageMs,
    vm: "vm-1",
    bytes: 10,
    byPolicy: true,
    ...fields,
  });

  test.each([
    [{}, [spent(1)], Infinity, Infinity, Infinity],
    [{ movesMaxPerHour: 2 }, [spent(1), spent(HOUR_MS)], 1, Infinity, Infinity],
    [{ movesMaxPerHour: 5, movesMaxPerDay: 2 }, [spent(1), spent(2 * HOUR_MS)], 0, Infinity, Infinity],
    [{ movesMaxPerDay: 2 }, [spent(DAY_MS)], 2, Infinity, Infinity],
    [{ bytesMaxPerDay: 25 }, [spent(1), spent(2), spent(3)], Infinity, 0, Infinity],
    // Of one VM everything counts, whoever moved it.
    [
      { movesMaxPerVmPerDay: 3 },
      [spent(1), spent(2, { byPolicy: false }), spent(3, { vm: "vm-2" })],
      Infinity,
      Infinity,
      1,
    ],
    [{ movesMaxPerDay: 3, bytesMaxPerDay: 100 }, [spent(1, { byPolicy: false })], 3, 100, Infinity],
  ])("%j after %j", (limits, before, moves, bytes, ofVm) => {
    const left = budgetLeft(limits, before, NOW);
    expect([left.moves, left.bytes, left.movesOf("vm-1")]).toEqual([moves, bytes, ofVm]);
  });
});

describe("a freeze", () => {
  test.each([
    [{}, NOW, true],
    [{ from: NOW + 1 }, NOW, false],
    [{ to: NOW + 1 }, NOW, true],
    [{ to: NOW }, NOW, false],
    [{ windows: [{ timeZone: "UTC", days: ["mon" as const], from: "11:00", to: "13:00" }] }, NOW, true],
    [{ windows: [{ timeZone: "UTC", days: ["tue" as const], from: "11:00", to: "13:00" }] }, NOW, false],
  ])("%j holds at %s: %s", (fields, at, holds) => {
    expect(freezeHolds(freezeOf(fields), at)).toBe(holds);
  });

  test.each([
    [undefined, true],
    [{ uuids: ["vm-1"] }, true],
    [{ uuids: ["vm-2"] }, false],
    [{ hostIds: ["a"] }, true],
    [{ hostIds: ["b"] }, true],
    [{ hostIds: ["c"] }, false],
    [{ labels: { tier: "db" } }, true],
    [{ labels: { rack: "r1" } }, true],
    [{ labels: { tier: "db", rack: "r1" } }, false],
  ])("of %j holds the move still: %s", (scope, holds) => {
    const subject = {
      vm: "vm-1",
      fromHostId: "a",
      toHostId: "b",
      vmLabels: { tier: "db" },
      hostLabels: { b: { rack: "r1" } },
    };
    const rule = freezeOf(scope === undefined ? {} : { scope });
    expect(frozen([rule], NOW, subject) !== null).toBe(holds);
  });

  test.each([
    [{}, "from"],
    [{ from: 5, to: 5 }, "to"],
    [{ from: 5, scope: {} }, "scope"],
    [{ from: 5, scope: { labels: {} } }, "scope.labels"],
    [{ from: 5, scope: { hostIds: ["a", "a"] } }, "scope.hostIds.1"],
    [{ windows: [{ timeZone: "UTC", days: ["mon"], from: "01:00", to: "01:00" }] }, "windows.0.to"],
  ])("%j is refused at %s", (fields, path) => {
    const issues = freezeDefinition.safeParse({ cluster: "c", reason: "r", ...fields }).error?.issues ?? [];
    expect(issues.map((issue) => issue.path.join("."))).toContain(path);
  });
});

test.each([
  [
    { vms: { uuids: ["00000000-0000-4000-8000-000000000001"], exceptUuids: ["00000000-0000-4000-8000-000000000001"] } },
    "vms.exceptUuids.0",
  ],
  [{ hosts: { hostIds: ["a", "b"], exceptHostIds: ["c", "b"] } }, "hosts.exceptHostIds.1"],
  [{ hosts: { hostIds: ["a", "b", "a"] } }, "hosts.hostIds.2"],
])("a scope %j whose ids overlap is refused at %s", (scope, path) => {
  expect(policyScope.safeParse(scope).error?.issues[0]?.path.join(".")).toBe(path);
});
