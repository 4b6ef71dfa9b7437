// The rest of a plan whose move has failed, planned anew on what is there now.
import type { Deps } from "../env.ts";
import type { Plan } from "../model/plan.ts";
import { beyondApproval } from "../model/replan.ts";
import type { Principal } from "../model/principal.ts";
import { AppError } from "../errors.ts";
import { approvePlan } from "./plan-approvals.ts";
import { type ByPolicy, draftPlan, readPlan, readPlanSnapshot, storePlan } from "./plans.ts";

/** A plan that was made anew that often is a person's to look at. */
const REPLANS_MAX = 3;

/** Who acts on an approval that was given for this. */
const approver = (plan: Plan): Principal => ({
  id: plan.decidedBy ?? "drover",
  name: `the approval of ${plan.planId}`,
  scopes: ["approve"],
  hostId: null,
  cluster: null,
});

/**
 * Plans anew what a failed plan has left, once, if its approval asks for it. What lies within the approval begins at once;
 * anything else is a proposal that waits for a person, or for the policy. Doing it twice does it once.
 */
export async function replanRest(deps: Deps, planId: string): Promise<void> {
  const plan = await readPlan(deps, planId);
  if (plan.state !== "failed" || plan.onFailure !== "replan") return;
  if ((await deps.store.plans.replanOf(planId)) !== null || (await depthOf(deps, plan)) >= REPLANS_MAX) return;
  const runs = await deps.store.migrations.ofPlan(planId);
  const { cluster, goal, parameters } = plan.content;
  const draft = await draftPlan(deps, await readPlanSnapshot(deps, cluster), { cluster, goal, parameters });
  const next = await storePlan(deps, draft, approver(plan).id, policyOf(plan), planId);
  if (next.state !== "proposed") return;
  const beyond = beyondApproval(draft.content.moves, plan, runs);
  const detail = { replans: planId, beyond };
  const entry = { actor: approver(plan).id, action: "plan.replanned", subject: next.planId, detail };
  await deps.store.audit.record(entry, deps.now());
  if (beyond.length > 0) return;
  const reason = `within the approval of ${planId}`;
  try {
    await approvePlan(deps, approver(plan), next.planId, {
      contentHash: next.contentHash,
      reason,
      onFailure: "replan",
      inherited: true,
    });
  } catch (error) {
    // A freeze, a window or a VM that is on its way: it waits for a person, as a proposal.
    if (!(error instanceof AppError)) throw error;
  }
}

/** The windows of the policy that made the plan hold for what is planned anew, too. */
const policyOf = ({ policyId, mode }: Plan): ByPolicy | null =>
  policyId === null || mode === null ? null : { policyId, mode, skipped: [], superseded: [] };

async function depthOf(deps: Deps, plan: Plan): Promise<number> {
  let depth = 0;
  for (let at = plan; at.replans !== null && depth < REPLANS_MAX; depth++) at = await readPlan(deps, at.replans);
  return depth;
}

/** After the end of a run: its plan may have failed by it. */
export async function replanAfter(deps: Deps, migrationId: string): Promise<void> {
  const run = await deps.store.migrations.byId(migrationId);
  if (run?.state === "failed") await replanRest(deps, run.planId);
}
