// Approving plans: by a person, by several, or by a policy.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { ApprovalGiven } from "../model/approval.ts";
import type { OnFailure, Plan } from "../model/plan.ts";
import { firstHops, runOf, withLaterHops } from "../model/plan-order.ts";
import type { LeftOut } from "../model/policy/run.ts";
import type { Principal } from "../model/principal.ts";
import { assertApprovable } from "./approval-guards.ts";
import { assertAutomatic, giveApproval, weigh } from "./approvals.ts";
import { decide, readPlan, readProposed, refusal, sorted } from "./plans.ts";

/** `automatic`: a policy approves, without a person; it may leave moves out in the same step. */
type Approval = {
  contentHash: string;
  reason?: string | undefined;
  onFailure?: OnFailure | undefined;
  /** Only these moves; the others are left out. */
  moves?: readonly number[] | undefined;
  /** In an emergency: without the others whose approval the plan needs. */
  override?: boolean | undefined;
  automatic?: { leftOut: readonly LeftOut[] };
  /** All who have to have approved this already, as part of another plan. */
  inherited?: true;
};

/** The moves that are left out of what is approved. */
function skippedBy({ planId, skipped, content }: Plan, { moves, automatic }: Approval): number[] {
  const left = automatic?.leftOut.map(({ n }) => n) ?? [];
  if (moves === undefined) return sorted([...skipped, ...left]);
  const missing = moves.find((n) => !content.moves.some((move) => move.n === n));
  if (missing !== undefined) throw new AppError({ code: "not_found", what: "move", id: `${planId}/${missing}` });
  const out = content.moves.filter(({ n }) => !moves.includes(n) || skipped.includes(n));
  const all = sorted([...skipped, ...out.flatMap(({ n }) => withLaterHops(content.moves, n))]);
  const torn = moves.find((n) => all.includes(n));
  if (torn !== undefined)
    throw refusal([
      { path: "moves", message: `move ${torn} is left out already, or takes on a VM from a move that is` },
    ]);
  return all;
}

/**
 * Binds what was seen: the plan's content by its hash, with the limits each move carries. Makes the runs and starts them, or
 * writes the approval down where the plan needs those of others too: it is proposed still then.
 */
export async function approvePlan(deps: Deps, principal: Principal, planId: string, input: Approval): Promise<Plan> {
  const plan = await readProposed(deps, planId);
  if (input.contentHash !== plan.contentHash)
    throw new AppError({ code: "plan_changed", planId, contentHash: plan.contentHash });
  const skipped = skippedBy(plan, input);
  const moves = plan.content.moves.filter((move) => !skipped.includes(move.n));
  if (moves.length === 0)
    throw new AppError({
      code: "illegal_state",
      what: "Plan",
      id: planId,
      state: "without moves",
      allowed: ["one with moves"],
    });
  const isAutomatic = input.automatic !== undefined;
  await assertApprovable(deps, plan, moves, isAutomatic);
  if (isAutomatic) await assertAutomatic(deps, plan);
  const { contentHash } = plan;
  const { reason = null, onFailure = "stop" } = input;
  const given = { by: principal.id, at: deps.now(), contentHash, skipped, reason, onFailure };
  if (!isAutomatic && !input.inherited) return byPerson(deps, principal, plan, given, input.override === true);
  return execute(deps, plan, { given, isOverride: false, leftOut: input.automatic?.leftOut ?? [] });
}

/** Carries the plan out if this approval is enough, else writes it down. */
async function byPerson(
  deps: Deps,
  principal: Principal,
  plan: Plan,
  given: ApprovalGiven,
  override: boolean,
): Promise<Plan> {
  const { planId } = plan;
  const weighed = await weigh(deps, principal, plan, given, override);
  const { isOverride, onFailure } = weighed;
  if (weighed.isEnough) return execute(deps, plan, { given: { ...given, onFailure }, isOverride, leftOut: null });
  await giveApproval(deps, plan, given, weighed);
  // Another may have been given at the same moment, neither of which has seen the other.
  const again = await weigh(deps, principal, plan, given, false);
  if (!again.isEnough) return readPlan(deps, planId);
  try {
    const all = { ...given, onFailure: again.onFailure };
    return await execute(deps, plan, { given: all, isOverride: false, leftOut: null });
  } catch (error) {
    // The other was quicker: with this approval among those that it counted.
    const decided = await readPlan(deps, planId);
    if (error instanceof AppError && error.fault.code === "busy" && decided.state !== "proposed") return decided;
    throw error;
  }
}

/** `leftOut` null: a person approves, whose approval is kept. */
type Execution = { given: ApprovalGiven; isOverride: boolean; leftOut: readonly LeftOut[] | null };

/** Carries out what has all the approvals that it needs. */
async function execute(deps: Deps, plan: Plan, { given, isOverride, leftOut }: Execution): Promise<Plan> {
  const { planId } = plan;
  const { by, at, skipped, reason, onFailure } = given;
  const moves = plan.content.moves.filter((move) => !skipped.includes(move.n));
  // A VM that is moved twice gets its second run when the first has ended.
  const runs = firstHops(moves).map((move) => runOf(plan, move, deps.newId("mig"), at));
  const decision = { state: "approved" as const, by, reason, at, skipped, onFailure, override: isOverride };
  const entry = {
    actor: by,
    action: isOverride ? "plan.overridden" : "plan.approved",
    subject: planId,
    ...(reason === null ? {} : { reason }),
    detail: {
      contentHash: plan.contentHash,
      moves: moves.map((move) => move.n),
      onFailure,
      ...(leftOut !== null && leftOut.length > 0 ? { leftOut } : {}),
    },
  };
  const kept = leftOut === null ? given : undefined;
  if ((await decide(() => deps.store.plans.decide(plan, decision, runs, entry, kept))) === "vm-busy") {
    const vmUuids = await deps.store.migrations.busyVms(
      plan.content.cluster,
      moves.map((move) => move.vm),
    );
    throw new AppError({ code: "vm_busy", vmUuids });
  }
  // An approval is acknowledged once it is stored: Cron makes an instance that could not be made now.
  await Promise.allSettled(runs.map((run) => deps.runs.start(run.migrationId)));
  return readPlan(deps, planId);
}
