// One run of a policy: gather, let the advisor plan, decide what becomes of the plan, do it, and write down what came of it.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { Plan } from "../model/plan.ts";
import type { PlanContent } from "../model/placement/types.ts";
import { type Decision, type Held, heldBack, replaces, stillWanted, whatToDo } from "../model/policy/decide.ts";
import { type Policy, type PolicyMode, isAutomatic, modeAt, recordOf } from "../model/policy/policy.ts";
import { type PolicyRun, type RunNumbers, type RunTrigger } from "../model/policy/run.ts";
import { shadowRestsUntil } from "../model/policy/shadow.ts";
import { earliestAt, isUrgent } from "../model/policy/trigger.ts";
import type { Principal } from "../model/principal.ts";
import { DAY_MS } from "../model/units.ts";
import type { EventDraft } from "../model/webhooks/events.ts";
import { assertHostOf } from "./hosts.ts";
import { approvePlan } from "./plan-approvals.ts";
import { type PlanDraft, storePlan } from "./plans.ts";
import { demote, helpAlarmOf, restsUntil } from "./policy-alarm.ts";
import { readPolicy, unreadablePolicy } from "./policies.ts";
import { type Gathered, type Limits, draftGoals, gather, hostOf, limitsOf, numbersOf } from "./policy-drafts.ts";

type End = Pick<PolicyRun, "outcome" | "planId" | "summary" | "alarm" | "numbers">;

const ended = (outcome: Held["outcome"], summary: string, more: Partial<End> = {}): End => ({
  outcome,
  summary,
  planId: null,
  alarm: null,
  numbers: null,
  ...more,
});

/** Who approves in the name of a policy. */
export const policyPrincipal = ({ policyId, name, cluster }: Policy): Principal => ({
  id: `policy:${policyId}`,
  name,
  scopes: ["approve"],
  hostId: null,
  cluster,
});

export type DryRun = {
  outcome: Held["outcome"];
  summary: string;
  numbers: RunNumbers | null;
  content: PlanContent | null;
};

/** What a run would come to now, whatever holds it back; nothing is stored. `hostId`: as if an event were about this host. */
export async function dryRun(deps: Deps, policyId: string, hostId: string | null): Promise<DryRun> {
  const policy = await readPolicy(deps, policyId);
  if (hostId !== null) await assertHostOf(deps, policy.cluster, hostId);
  const limits = await limitsOf(deps, policy);
  const gathered = await gather(deps, policy, limits);
  const { circumstances, inScope, without } = gathered;
  const held = heldBack(policy, limits);
  if (inScope !== undefined && "nothing" in inScope)
    return { outcome: "nothing-to-do", summary: noted(inScope.nothing, without), numbers: null, content: null };
  const { content } = await draftGoals(deps, policy, gathered, inScope, hostId);
  const decision = whatToDo(policy, modeAt(policy, circumstances.now), content, circumstances);
  return {
    outcome: held?.outcome ?? decision.outcome,
    summary: held?.why ?? noted(decision.why, without),
    numbers: numbersOf(content, held ? { ...decision, approve: [] } : decision, gathered.asItIs),
    content,
  };
}

/** Runs by hand, at once. Windows, freezes and budgets hold here too; its cooldown does not. */
export async function runByHand(
  deps: Deps,
  principal: Principal,
  policyId: string,
  { reason, hostId }: { reason: string | undefined; hostId: string | undefined },
): Promise<PolicyRun> {
  const policy = await readPolicy(deps, policyId);
  if (hostId !== undefined) await assertHostOf(deps, policy.cluster, hostId);
  if (!policy.enabled)
    throw new AppError({ code: "illegal_state", what: "Policy", id: policyId, state: "paused", allowed: ["enabled"] });
  const now = deps.now();
  const runId = deps.newId("prn");
  const trigger = {
    type: "manual" as const,
    by: principal.id,
    ...(reason === undefined ? {} : { reason }),
    ...(hostId === undefined ? {} : { hostId }),
  };
  const entry = { actor: principal.id, action: "policy.run", subject: policyId, ...(reason ? { reason } : {}) };
  await deps.store.policyRuns.addManual(
    { runId, policyId, cluster: policy.cluster, trigger, createdAt: now, dueAt: now },
    entry,
  );
  if (!(await executeRun(deps, { runId, policyId, trigger }))) {
    await deps.store.policyRuns.withdraw(runId);
    throw new AppError({ code: "busy", detail: "Another run of this policy is under way.", retryAfterSeconds: 5 });
  }
  return readPolicyRun(deps, runId);
}

export async function readPolicyRun(deps: Deps, runId: string): Promise<PolicyRun> {
  const run = await deps.store.policyRuns.byId(runId);
  if (!run) throw new Error(`run ${runId} was written and is not there`);
  return run;
}

/**
 * Carries out a run that waits; what goes wrong in it is its outcome. False: it goes on waiting, because another run of the
 * policy is under way or its minimum interval is not over, or somebody else has started it.
 */
export async function executeRun(
  deps: Deps,
  { runId, policyId, trigger }: Pick<PolicyRun, "runId" | "policyId" | "trigger">,
): Promise<boolean> {
  const stored = await deps.store.policies.byId(policyId);
  if (!stored || !recordOf(stored).enabled) {
    await deps.store.policyRuns.withdraw(runId);
    return false;
  }
  const now = deps.now();
  if (stored.unreadable) {
    const { cluster } = stored.unreadable;
    const end = ended("failed", describe(unreadablePolicy(stored.unreadable)));
    await deps.store.policyRuns.finish(runId, end, now, failureOf({ policyId, cluster }, runId, end));
    return true;
  }
  const { policy } = stored;
  if (trigger.type !== "manual" && now < earliestAt(policy, { dueAt: null, startedAt: policy.lastStartedAt }))
    return false;
  if (!(await deps.store.policyRuns.take({ runId, policyId }, modeAt(policy, now), now))) return false;
  const end = await perform(deps, policy, trigger).catch((error: unknown) => ended("failed", describe(error)));
  await deps.store.policyRuns.finish(runId, end, deps.now(), failureOf(policy, runId, end));
  return true;
}

const failureOf = (
  { policyId, cluster }: Pick<Policy, "policyId" | "cluster">,
  runId: string,
  { outcome, summary }: End,
): EventDraft[] =>
  outcome === "failed"
    ? [{ type: "policy.failed", cluster, subject: policyId, data: { policyId, runId, why: summary ?? "" } }]
    : [];

/** One sentence of what went wrong. */
export function describe(error: unknown): string {
  if (!(error instanceof AppError)) return `Internal error: ${String(error).slice(0, 500)}`;
  const { fault } = error;
  if (fault.code === "invalid_request")
    return fault.issues
      .map(({ path, message }) => `${path}: ${message}`)
      .join("; ")
      .slice(0, 1000);
  if (fault.code === "unreadable_policy") return `What is stored of the policy cannot be read: ${fault.why}`;
  const detail = "detail" in fault ? `: ${fault.detail}` : "";
  return `${fault.code.replaceAll("_", " ")}${detail}`.slice(0, 1000);
}

/**
 * What the policy's own plans hold up: there is one at a time, and a rest after each, in shadow after each that would have
 * been carried out. Null: nothing, or it cannot wait.
 */
async function heldByOwn(
  deps: Deps,
  policy: Policy,
  { now, history }: Limits,
  trigger: RunTrigger,
): Promise<Held | null> {
  if (trigger.type === "event" && isUrgent(trigger.event)) return null;
  const isManual = trigger.type === "manual";
  if (modeAt(policy, now) === "shadow") {
    const until = isManual ? null : shadowRestsUntil(history, policy.cooldownMs);
    return until === null || until <= now ? null : resting(until, "as after its last plan, had it been carried out.");
  }
  const before = await deps.store.policyPlans.underWay(policy.policyId);
  if (before) return { outcome: "nothing-to-do", why: `Its plan ${before.planId} is still ${before.state}.` };
  const rest = isManual ? null : await restsUntil(deps, policy);
  return rest && resting(rest.until, `loads are averages, and show late what ${rest.planId} has changed.`);
}

const resting = (until: number, why: string): Held => ({
  outcome: "cooling-down",
  why: `Rests until ${new Date(until).toISOString()}: ${why}`,
});

const noted = (summary: string, without: string | null): string =>
  without === null ? summary : `${summary} ${without}`;

async function perform(deps: Deps, policy: Policy, trigger: RunTrigger): Promise<End> {
  const limits = await limitsOf(deps, policy);
  const mode = modeAt(policy, limits.now);
  const held = heldBack(policy, limits) ?? (await heldByOwn(deps, policy, limits, trigger));
  if (held) return ended(held.outcome, held.why);
  const gathered = await gather(deps, policy, limits);
  const end = await performOn(deps, policy, { mode, hostId: hostOf(trigger) }, gathered);
  return { ...end, summary: noted(end.summary ?? "", gathered.without) };
}

async function performOn(
  deps: Deps,
  policy: Policy,
  { mode, hostId }: { mode: PolicyMode; hostId: string | null },
  gathered: Gathered,
): Promise<End> {
  const { inScope } = gathered;
  if (inScope !== undefined && "nothing" in inScope) return ended("nothing-to-do", inScope.nothing);
  const draft = await draftGoals(deps, policy, gathered, inScope, hostId);
  const alarm = mode === "shadow" ? null : await helpAlarmOf(deps, policy, draft.content);
  if (alarm === null || !isAutomatic(policy.mode))
    return settle(deps, policy, { mode, hostId, alarm }, draft, gathered);
  const demoted = await demote(deps, policy, alarm);
  return settle(deps, demoted, { mode: "advise", hostId, alarm }, draft, gathered);
}

/** `hostId`: the host that the run is about. */
type Occasion = { mode: PolicyMode; hostId: string | null; alarm: string | null };

/** Does what was decided on a draft. */
async function settle(
  deps: Deps,
  policy: Policy,
  { mode, hostId, alarm }: Occasion,
  draft: PlanDraft,
  { circumstances, asItIs }: Pick<Gathered, "circumstances" | "asItIs">,
): Promise<End> {
  const { policyId } = policy;
  const { now } = circumstances;
  const decision = whatToDo(policy, mode, draft.content, circumstances);
  const end = (summary: string, more: Partial<End> = {}): End =>
    ended(decision.outcome, summary, { alarm, numbers: numbersOf(draft.content, decision, asItIs), ...more });
  const waiting = (await deps.store.policyPlans.waiting(policyId, now)).filter((plan) =>
    replaces(policy, hostId, plan.content),
  );
  const superseded = waiting.map(({ planId }) => planId);
  if (decision.outcome === "nothing-to-do") {
    if (mode !== "shadow") await deps.store.policyPlans.supersede(superseded, now);
    return end(decision.why);
  }
  const known = decision.outcome === "approved" ? null : await standing(deps, policy, mode, draft.content, waiting);
  if (known) return end(`What ${known.planId} proposes still stands. ${decision.why}`, { planId: known.planId });
  // What is outside the scope is left out whoever approves; what a policy may not approve by itself, a person may.
  const isOpen = mode !== "shadow" && decision.outcome !== "approved";
  const skipped = isOpen ? decision.leftOut.map(({ n }) => n) : [];
  const plan = await storePlan(deps, draft, policyPrincipal(policy).id, { policyId, mode, skipped, superseded });
  if (decision.outcome !== "approved") return end(decision.why, { planId: plan.planId });
  const refused = await approveFor(deps, policy, plan, decision);
  if (refused === null) return end(decision.why, { planId: plan.planId });
  return end(`Not approved (${refused}): it waits for a person.`, { planId: plan.planId, outcome: "proposed" });
}

/** The plan that stands by what a run came to: of those that wait, or in shadow the one that was kept last. Null: none does. */
async function standing(
  deps: Deps,
  { policyId, updatedAt }: Policy,
  mode: PolicyMode,
  content: PlanContent,
  waiting: readonly Plan[],
): Promise<Plan | null> {
  if (mode !== "shadow") {
    // What was made before the policy was changed stands only where nothing has come of the change.
    const stands = (plan: Plan) =>
      plan.createdAt < updatedAt ? sameMoves(plan.content, content) : stillWanted(plan.content, content);
    return waiting.find((plan) => plan.mode === mode && stands(plan)) ?? null;
  }
  const kept = await deps.store.policyPlans.shadow(policyId, deps.now() - DAY_MS);
  return kept && sameMoves(kept.content, content) ? kept : null;
}

const sameMoves = (a: PlanContent, b: PlanContent): boolean => {
  const key = ({ moves }: PlanContent) =>
    moves.map(({ vm, fromHostId, toHostId, mechanism }) => [vm, fromHostId, toHostId, mechanism].join(" ")).join("\n");
  return key(a) === key(b);
};

/** Approves without a person. Returns why not, or null: done. */
export async function approveFor(
  deps: Deps,
  policy: Policy,
  plan: Plan,
  { leftOut }: Pick<Decision, "leftOut">,
): Promise<string | null> {
  const reason = `${policy.mode} by policy ${policy.name}, version ${policy.version}`;
  try {
    const { contentHash } = plan;
    await approvePlan(deps, policyPrincipal(policy), plan.planId, { contentHash, reason, automatic: { leftOut } });
    return null;
  } catch (error) {
    if (error instanceof AppError) return describe(error);
    throw error;
  }
}
