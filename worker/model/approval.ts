// Whether a plan has the approvals that it needs.
import { z } from "zod";
import { approvalRule, type ApprovalRule } from "./approval-rule.ts";
import { onFailure, type Plan } from "./plan.ts";

/** One approval. It is of a content, without these moves; of anything else it says nothing. */
export const approvalGiven = z
  .strictObject({
    /** A principal. */
    by: z.string(),
    at: z.int(),
    contentHash: z.string(),
    /** Moves left out, by their `n`. */
    skipped: z.array(z.int()),
    reason: z.string().nullable(),
    onFailure,
  })
  .meta({ id: "PlanApproval" });
export type ApprovalGiven = z.infer<typeof approvalGiven>;

export type Judged = {
  rule: ApprovalRule;
  plan: Pick<Plan, "contentHash">;
  /** Who has asked for it. */
  askedBy: readonly string[];
  given: readonly ApprovalGiven[];
};

/** Why somebody's approval of this plan does not count; null: it does. */
export function whyNoApprover({ rule, askedBy }: Pick<Judged, "rule" | "askedBy">, by: string): string | null {
  if (rule.from !== undefined && !rule.from.includes(by))
    return "only certain people approve it, and you are none of them";
  if (!rule.selfPermitted && askedBy.includes(by)) return "who has asked for it may not approve it";
  return null;
}

const isSame = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);

/** The approvals that count at `now` for the plan without `skipped`: of this content, not too old, by those who may. */
export const counting = (
  { rule, plan, askedBy, given }: Judged,
  skipped: readonly number[],
  now: number,
): ApprovalGiven[] =>
  given.filter(
    (one) =>
      one.contentHash === plan.contentHash &&
      isSame(one.skipped, skipped) &&
      now - one.at < rule.validMs &&
      whyNoApprover({ rule, askedBy }, one.by) === null,
  );

/** What `GET /v1/plans/{planId}/approvals` answers. */
export const approvalsView = z
  .strictObject({
    planId: z.string(),
    rule: approvalRule,
    /** Those given, the oldest first; `counts`: for the plan as it is now. */
    given: z.array(approvalGiven.extend({ counts: z.boolean() })),
    /** So many are missing still; 0 once it is decided. */
    missing: z.int(),
    /** By whom it was approved without the others. */
    overriddenBy: z.string().nullable(),
  })
  .meta({ id: "PlanApprovalsGiven" });
export type ApprovalsView = z.infer<typeof approvalsView>;
