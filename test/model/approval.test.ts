import { describe, expect, test } from "vitest";
import { type ApprovalGiven, counting, whyNoApprover } from "../../worker/model/approval.ts";
import { approvalRule, FREE, planApprovals, strictest } from "../../worker/model/approval-rule.ts";
import { DAY_MS, HOUR_MS } from "../../worker/model/units.ts";

const NOW = Date.UTC(2026, 10, 27, 12);
const HASH = "a".repeat(64);
const rule = (fields: object = {}) => approvalRule.parse(fields);
const given = (by: string, fields: Partial<ApprovalGiven> = {}): ApprovalGiven => ({
  by,
  at: NOW - HOUR_MS,
  contentHash: HASH,
  skipped: [],
  reason: null,
  onFailure: "stop",
  ...fields,
});
const judged = (fields: object, all: ApprovalGiven[]) => ({
  rule: rule(fields),
  plan: { contentHash: HASH },
  askedBy: ["alice"],
  given: all,
});

describe("an approval", () => {
  test.each<[string, object, Partial<ApprovalGiven>, boolean]>([
    ["of this content counts", {}, {}, true],
    ["of another content does not", {}, { contentHash: "b".repeat(64) }, false],
    ["of the plan with a move less does not", {}, { skipped: [2] }, false],
    ["that is too old does not", { validMs: HOUR_MS }, {}, false],
    ["that is not yet too old counts", { validMs: HOUR_MS + 1 }, {}, true],
    ["by one of those who may counts", { from: ["bob"] }, {}, true],
    ["by nobody of those who may does not", { from: ["carol"] }, {}, false],
    ["by who has asked for it counts", {}, { by: "alice" }, true],
    ["by who has asked for it does not where that is forbidden", { selfPermitted: false }, { by: "alice" }, false],
  ])("%s", (_what, fields, change, counts) => {
    expect(counting(judged(fields, [given("bob", change)]), [], NOW)).toHaveLength(counts ? 1 : 0);
  });

  test("that does not count says why", () => {
    expect(whyNoApprover(judged({ from: ["carol"] }, []), "bob")).toContain("none of them");
    expect(whyNoApprover(judged({ selfPermitted: false }, []), "alice")).toContain("asked for it");
    expect(whyNoApprover(judged({}, []), "alice")).toBeNull();
  });
});

describe("a policy's rule", () => {
  test("may ask for more than its cluster's, never for less", () => {
    const ofCluster = rule({ needed: 2, from: ["a", "b", "c"], selfPermitted: false, validMs: HOUR_MS });
    expect(strictest(ofCluster, planApprovals.parse({}))).toEqual(ofCluster);
    expect(
      strictest(ofCluster, planApprovals.parse({ needed: 3, from: ["b", "c", "d"], validMs: 2 * HOUR_MS })),
    ).toEqual({
      needed: 3,
      from: ["b", "c"],
      selfPermitted: false,
      validMs: HOUR_MS,
      automaticPermitted: false,
    });
  });

  test("holds alone where its cluster has none, and nothing does where neither has one", () => {
    expect(strictest(null, null)).toEqual(FREE);
    expect(strictest(null, planApprovals.parse({ needed: 2 }))).toMatchObject({ needed: 2, automaticPermitted: true });
    expect(FREE).toMatchObject({ needed: 1, validMs: DAY_MS });
  });

  test("that nobody could satisfy is refused", () => {
    expect(approvalRule.safeParse({ needed: 3, from: ["a", "b", "b"] }).success).toBe(false);
    expect(approvalRule.safeParse({ needed: 2, from: ["a", "b"] }).success).toBe(true);
    expect(approvalRule.safeParse({ needed: 0 }).success).toBe(false);
  });
});
