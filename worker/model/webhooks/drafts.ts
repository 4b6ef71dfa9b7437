// What is told of plans, migrations and hosts, made from what is stored of them.
import type { GroupAccuracy } from "../calibration/accuracy.ts";
import { type RunState, isEnded } from "../lifecycle.ts";
import type { MechanismEstimate } from "../migration/types.ts";
import type { Move } from "../placement/types.ts";
import type { OnFailure, Plan } from "../plan.ts";
import type { Freeze } from "../policy/freeze.ts";
import type { Policy } from "../policy/policy.ts";
import type { MigrationRun, RunFailure } from "../run.ts";
import type { MigrationEvent, Outcome } from "../wire/event.ts";
import type { EventDraft } from "./events.ts";

/** Some 220 bytes each: with the rest of a plan they stay within a body. */
const MOVES_MAX = 200;

const predictedOf = ({ downtimeMs, totalMs, transferredBytes }: MechanismEstimate) => ({
  downtimeMsP50: downtimeMs?.p50 ?? null,
  downtimeMsP90: downtimeMs?.p90 ?? null,
  totalMsP50: totalMs.p50,
  bytesP50: transferredBytes.p50,
});

const movePayload = ({ n, vm, vmName, fromHostId, toHostId, mechanism, estimate, gain, reasons }: Move) => ({
  n,
  vm,
  vmName,
  fromHostId,
  toHostId,
  mechanism,
  ...predictedOf(estimate),
  gainTotal: gain.net,
  why: (reasons[0] ?? "").slice(0, 300),
});

const headOf = ({ planId, content, policyId }: Plan) => ({ planId, goal: content.goal, policyId });
const movesOf = ({ contentHash, content }: Plan, skipped: readonly number[]) => {
  const moves = content.moves.filter(({ n }) => !skipped.includes(n));
  return {
    contentHash,
    summary: content.summary,
    moveCount: moves.length,
    moves: moves.slice(0, MOVES_MAX).map(movePayload),
  };
};

/** Of a plan as it is made; nothing is told of one that waits for no decision. */
export function planProposed(plan: Plan): EventDraft<"plan.proposed">[] {
  if (plan.state !== "proposed") return [];
  const { createdBy, expiresAt, mode, replans } = plan;
  const data = { ...headOf(plan), ...movesOf(plan, plan.skipped), createdBy, expiresAt, mode, replans };
  return [{ type: "plan.proposed", cluster: plan.content.cluster, subject: plan.planId, data }];
}

export type PlanDecision = {
  state: "approved" | "rejected";
  by: string;
  reason: string | null;
  skipped?: number[];
  onFailure?: OnFailure;
  /** Without the others whose approval it needed. */
  override?: boolean;
};

export function planDecided(plan: Plan, decision: PlanDecision): EventDraft<"plan.approved" | "plan.rejected"> {
  const { by, reason, skipped = plan.skipped, onFailure = "stop", override = false } = decision;
  const about = { cluster: plan.content.cluster, subject: plan.planId };
  if (decision.state === "rejected") return { type: "plan.rejected", ...about, data: { ...headOf(plan), by, reason } };
  const data = { ...headOf(plan), ...movesOf(plan, skipped), by, reason, skipped, onFailure, override };
  return { type: "plan.approved", ...about, data };
}

export function approvalGivenEvent(
  plan: Plan,
  { by, reason }: Pick<PlanDecision, "by" | "reason">,
  { given, needed }: { given: number; needed: number },
): EventDraft<"plan.approval-given"> {
  const data = { ...headOf(plan), contentHash: plan.contentHash, by, reason, given, needed };
  return { type: "plan.approval-given", cluster: plan.content.cluster, subject: plan.planId, data };
}

/** Types of events that tell of nothing but the state which a plan is in now. */
export type PlanStateEvent =
  | "plan.cancelled"
  | "plan.executing"
  | "plan.done"
  | "plan.failed"
  | "plan.expired"
  | "plan.superseded";

export const planStateEvent = (state: Plan["state"]): PlanStateEvent | null => {
  if (state === "proposed" || state === "approved" || state === "rejected") return null;
  return `plan.${state}`;
};

type RunEvent = Exclude<Extract<EventDraft["type"], `migration.${string}`>, "migration.unreachable">;

/** What a step of a run is told as; null: it is not told. */
export function runEvent(before: RunState, state: RunState): RunEvent | null {
  if (before === state) return null;
  if (state === "completed" || state === "failed" || state === "cancelled" || state === "lost")
    return `migration.${state}`;
  if (before === "lost" && !isEnded(state)) return state === "paused" ? "migration.paused" : "migration.found";
  if (state === "paused") return "migration.paused";
  if (before === "paused") return "migration.resumed";
  return before === "queued" && state === "claimed" ? "migration.started" : null;
}

export type RunStep = {
  state: RunState;
  at: number;
  failure?: RunFailure;
  measured?: Outcome;
  predicted?: MechanismEstimate;
};

/** The event of a step of a run; none where the step is not told. */
export function runEvents(run: MigrationRun, step: RunStep): EventDraft[] {
  const type = runEvent(run.state, step.state);
  if (type === null) return [];
  const { migrationId, cluster, planId, moveNumber, vmUuid, vmName, fromHostId, toHostId, mechanism } = run;
  const data = {
    migrationId,
    planId,
    moveNumber,
    vm: vmUuid,
    vmName,
    fromHostId,
    toHostId,
    mechanism,
    state: step.state,
    before: run.state,
    predicted: predictedOf(step.predicted ?? run.predicted),
    measured: step.measured ?? run.measured,
    failure: step.failure ?? (step.state === "completed" ? null : run.failure),
    elapsedMs: Math.max(0, step.at - run.createdAt),
  };
  return [{ type, cluster, subject: migrationId, data }];
}

/** Of what an agent has found of the network after a move; none where the VM answers. */
export function unreachableEvents(run: MigrationRun, event: MigrationEvent): EventDraft[] {
  if (event.type !== "address-checked" || event.answered) return [];
  const { migrationId, cluster, planId, vmUuid: vm, vmName, fromHostId, toHostId } = run;
  const { name: check, detail } = event;
  const data = { migrationId, planId, vm, vmName, fromHostId, toHostId, check, detail };
  return [{ type: "migration.unreachable", cluster, subject: migrationId, data }];
}

export function driftEvent({ group, cluster, hypervisor, mechanism, regime, drifted }: GroupAccuracy): EventDraft[] {
  if (drifted === null) return [];
  const data = { group, hypervisor, mechanism, regime, ...drifted };
  return [{ type: "calibration.drifted", cluster, subject: group, data }];
}

export const policyDemoted = ({ policyId, name, cluster, mode }: Policy, why: string): EventDraft => ({
  type: "policy.demoted",
  cluster,
  subject: policyId,
  data: { policyId, name, why, from: mode, to: "advise" },
});

export const freezeEvent = (
  type: "freeze.created" | "freeze.changed" | "freeze.deleted",
  { freezeId, cluster, reason, from, to, scope, windows }: Freeze,
  by: string,
): EventDraft => ({
  type,
  cluster,
  subject: freezeId,
  data: {
    freezeId,
    reason,
    from: from ?? null,
    to: to ?? null,
    isPartial: scope !== undefined || windows !== undefined,
    by,
  },
});
