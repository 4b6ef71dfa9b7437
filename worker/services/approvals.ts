// Approvals by several: the rules, who has given theirs, and whether that is enough.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type ApprovalGiven, type ApprovalsView, counting, type Judged, whyNoApprover } from "../model/approval.ts";
import { type ApprovalRule, strictest } from "../model/approval-rule.ts";
import type { Plan } from "../model/plan.ts";
import type { Principal } from "../model/principal.ts";
import { approvalGivenEvent } from "../model/webhooks/drafts.ts";

type Stored = Awaited<ReturnType<Deps["store"]["approvals"]["given"]>>[number];

/** What a plan needs by its cluster's rule and its policy's, and what it has. */
async function judgedOf(deps: Deps, plan: Plan): Promise<Omit<Judged, "given"> & { given: Stored[] }> {
  const [ofCluster, stored, given] = await Promise.all([
    deps.store.approvals.ruleOf(plan.content.cluster),
    plan.policyId === null ? null : deps.store.policies.byId(plan.policyId),
    deps.store.approvals.given(plan.planId),
  ]);
  const policy = stored?.policy;
  const askedBy = [plan.createdBy, ...(policy ? [policy.createdBy] : [])];
  return { rule: strictest(ofCluster?.rule ?? null, policy?.approvals ?? null), plan, askedBy, given };
}

/** Throws where only people may approve. */
export async function assertAutomatic(deps: Deps, plan: Plan): Promise<void> {
  const { cluster } = plan.content;
  const rule = (await deps.store.approvals.ruleOf(cluster))?.rule;
  if (rule === undefined || rule.automaticPermitted) return;
  const why = `by the approval rule of ${cluster} people approve, and no policy does by itself`;
  throw new AppError({ code: "may_not_approve", planId: plan.planId, why, approvers: rule.from ?? null });
}

export type Weighed = {
  isEnough: boolean;
  isOverride: boolean;
  needed: number;
  count: number;
  onFailure: ApprovalGiven["onFailure"];
};

/** What this approval makes of the plan. Throws where it does not count, or an emergency is not the caller's to declare. */
export async function weigh(
  deps: Deps,
  principal: Principal,
  plan: Plan,
  given: ApprovalGiven,
  override: boolean,
): Promise<Weighed> {
  const judged = await judgedOf(deps, plan);
  const { rule } = judged;
  const others = counting(judged, given.skipped, given.at).filter(({ by }) => by !== given.by);
  const count = others.length + 1;
  // One who wants the rest to be left alone after a failure is enough.
  const onFailure = others.some((one) => one.onFailure === "stop") ? "stop" : given.onFailure;
  const why = whyNoApprover(judged, given.by);
  if (why === null && count >= rule.needed)
    return { isEnough: true, isOverride: false, needed: rule.needed, count, onFailure };
  if (override) {
    assertMayOverride(principal, given.reason);
    return { isEnough: true, isOverride: true, needed: rule.needed, count, onFailure: given.onFailure };
  }
  if (why !== null)
    throw new AppError({ code: "may_not_approve", planId: plan.planId, why, approvers: rule.from ?? null });
  return { isEnough: false, isOverride: false, needed: rule.needed, count, onFailure };
}

function assertMayOverride({ scopes }: Principal, reason: string | null): void {
  if (!scopes.includes("operate")) throw new AppError({ code: "missing_scope", anyOf: ["operate"] });
  if (reason === null)
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "reason", message: "an emergency needs a reason" }],
    });
}

/** Writes down one of several approvals. */
export async function giveApproval(
  deps: Deps,
  plan: Plan,
  given: ApprovalGiven,
  { count, needed }: Weighed,
): Promise<void> {
  const { by, reason, at: _, ...rest } = given;
  const entry = {
    actor: by,
    action: "plan.approval-given",
    subject: plan.planId,
    ...(reason === null ? {} : { reason }),
    detail: { ...rest, given: count, needed },
  };
  await deps.store.approvals.give(plan.planId, given, entry, approvalGivenEvent(plan, given, { given: count, needed }));
}

/** `GET /v1/plans/{planId}/approvals`. */
export async function readApprovals(deps: Deps, plan: Plan): Promise<ApprovalsView> {
  const judged = await judgedOf(deps, plan);
  const valid = new Set(counting(judged, plan.skipped, deps.now()).map(({ by }) => by));
  const isOpen = plan.state === "proposed";
  return {
    planId: plan.planId,
    rule: judged.rule,
    given: judged.given.map(({ isOverride: _, ...one }) => ({ ...one, counts: isOpen ? valid.has(one.by) : true })),
    missing: isOpen ? Math.max(0, judged.rule.needed - valid.size) : 0,
    overriddenBy: judged.given.find(({ isOverride }) => isOverride)?.by ?? null,
  };
}

/** `PUT /v1/approval-rules/{cluster}`: plans that wait are judged by it from then on. */
export async function setApprovalRule(deps: Deps, principal: Principal, cluster: string, rule: ApprovalRule) {
  const stored = { cluster, rule, updatedBy: principal.id, updatedAt: deps.now() };
  const entry = { actor: principal.id, action: "approval-rule.set", subject: cluster, detail: rule };
  await deps.store.approvals.setRule(stored, entry);
  return stored;
}

export async function removeApprovalRule(
  deps: Deps,
  principal: Principal,
  cluster: string,
  reason: string,
): Promise<void> {
  if ((await deps.store.approvals.ruleOf(cluster)) === null)
    throw new AppError({ code: "not_found", what: "approval-rule", id: cluster });
  const entry = { actor: principal.id, action: "approval-rule.removed", subject: cluster, reason };
  await deps.store.approvals.removeRule(cluster, entry, deps.now());
}
