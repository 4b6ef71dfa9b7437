// Plans: made, read, decided.
import type { Deps } from "../env.ts";
import { AppError, type Issue } from "../errors.ts";
import { canonicalJson } from "../model/canonical.ts";
import { buildPlan, checkPlanRequest, checkSnapshot, ENGINE_VERSION } from "../model/placement/index.ts";
import type { Snapshot } from "../model/cluster.ts";
import type { Goal, PlanContent, PlanParameters } from "../model/placement/types.ts";
import type { DraftPlan, Plan } from "../model/plan.ts";
import type { PolicyMode } from "../model/policy/policy.ts";
import { isEnded } from "../model/lifecycle.ts";
import type { Principal } from "../model/principal.ts";
import type { StoppedRun } from "../model/run.ts";
import { type SnapshotInput, snapshotOf } from "../model/snapshot-input.ts";
import { DAY_MS } from "../model/units.ts";
import { withLaterHops } from "../model/plan-order.ts";
import { cancelQueued } from "./runs.ts";
import { readSnapshotWithRecent } from "./snapshots.ts";
import { stopRun } from "./stopping.ts";

/** A plan that nobody decided in this time is void, ms. */
const PLAN_TTL_MS = DAY_MS;

type NewPlan = { cluster: string; goal: Goal; parameters: PlanParameters };

/** A plan that is made and not stored. */
export type PlanDraft = {
  content: PlanContent;
  contentHash: string;
  inputHash: string;
  texts: { contentText: string; snapshotText: string; engineVersion: string };
};

/** Where a snapshot comes from: what is stored, or what the caller states and can correct. */
type Origin = "stored" | "stated";

export const refusal = (issues: Issue[]) => new AppError({ code: "invalid_request", issues });

/** What every plan of a stored cluster is decided on, whoever asks for it. */
export const readPlanSnapshot = readSnapshotWithRecent;

/** Decides on a stored cluster, stores nothing. `at`: the path of the input in the request, for refusals. */
export const draftPlan = (deps: Deps, snapshot: Snapshot, input: NewPlan, at = ""): Promise<PlanDraft> =>
  draftOf(deps, decideOn(snapshot, input, "stored", at), input);

/** Gathers one snapshot, decides, stores. The same snapshot and parameters give the same content, byte for byte. */
export async function createPlan(deps: Deps, principal: Principal, input: NewPlan): Promise<Plan> {
  const draft = await draftPlan(deps, await readPlanSnapshot(deps, input.cluster), input);
  return storePlan(deps, draft, principal.id, null);
}

/** The plan that `createPlan` would store now; nothing is stored. */
export async function dryRun(deps: Deps, input: NewPlan): Promise<DraftPlan> {
  return shown(await draftPlan(deps, await readPlanSnapshot(deps, input.cluster), input));
}

/** The plan for a cluster that the caller states. Nothing is read, and nothing is stored. */
export async function whatIf(
  deps: Deps,
  { snapshot, ...input }: Omit<NewPlan, "cluster"> & { snapshot: SnapshotInput },
): Promise<DraftPlan> {
  const asked = { ...input, cluster: snapshot.cluster };
  return shown(await draftOf(deps, decideOn(snapshotOf(snapshot, deps.now()), asked, "stated"), asked));
}

const shown = ({ content, contentHash, inputHash }: PlanDraft): DraftPlan => ({ contentHash, inputHash, content });

type Decided = { content: PlanContent; contentText: string; snapshotText: string };

/** Decides. Of a large cluster memory holds the snapshot or what is stored of it, not both: only text comes back. */
function decideOn(snapshot: Snapshot, input: NewPlan, origin: Origin, at = ""): Decided {
  const issues = planIssues(snapshot, input, origin);
  if (issues.length > 0)
    throw refusal(
      issues.map(({ path, message }) => ({ path: path.startsWith("parameters") ? `${at}${path}` : path, message })),
    );
  const content = buildPlan(snapshot, input.goal, input.parameters);
  return { content, contentText: canonicalJson(content), snapshotText: canonicalJson(snapshot) };
}

async function draftOf(
  deps: Deps,
  { content, contentText, snapshotText }: Decided,
  input: NewPlan,
): Promise<PlanDraft> {
  return {
    content,
    contentHash: await deps.hash(contentText),
    inputHash: await deps.hash(`${snapshotText}\n${canonicalJson(input)}`),
    texts: { contentText, snapshotText, engineVersion: ENGINE_VERSION },
  };
}

/** What is wrong with the request for a plan on this snapshot, each with its path in the request. */
export function planIssues(
  snapshot: Snapshot,
  { cluster, goal, parameters }: NewPlan,
  origin: Origin = "stored",
): Issue[] {
  if (snapshot.hosts.length === 0) return [{ path: "cluster", message: `no host of ${cluster} is known` }];
  const isStated = origin === "stated";
  const ofSnapshot = checkSnapshot(snapshot, parameters, { namesMustExist: isStated });
  return [
    ...checkPlanRequest(snapshot, goal, parameters).map(({ path, message }) => ({
      path: `parameters.${path}`,
      message,
    })),
    ...ofSnapshot.map(({ path, message }) => ({ path: isStated ? `snapshot.${path}` : path, message })),
  ];
}

/** What a policy says of a plan that it made. */
export type ByPolicy = { policyId: string; mode: PolicyMode; skipped: number[]; superseded: string[] };

const NO_POLICY = { policyId: null, mode: null, skipped: [], superseded: [] };
const UNDECIDED = { version: 1, decidedBy: null, decidedAt: null, reason: null, onFailure: null };

export async function storePlan(
  deps: Deps,
  { content, contentHash, inputHash, texts }: PlanDraft,
  createdBy: string,
  policy: ByPolicy | null,
  replans: string | null = null,
): Promise<Plan> {
  const now = deps.now();
  const by = policy ?? NO_POLICY;
  // Neither a plan without moves nor one made in shadow has anything that could be approved.
  const state = content.moves.length === 0 ? "done" : by.mode === "shadow" ? "expired" : "proposed";
  const plan: Plan = {
    ...UNDECIDED,
    planId: deps.newId("pln"),
    state,
    contentHash,
    inputHash,
    content,
    skipped: by.skipped,
    createdBy,
    createdAt: now,
    expiresAt: now + PLAN_TTL_MS,
    endedAt: state === "proposed" ? null : now,
    policyId: by.policyId,
    mode: by.mode,
    replans,
  };
  const { superseded, ...rest } = by;
  const isStored = await deps.store.plans.insert(plan, texts, superseded, {
    actor: createdBy,
    action: "plan.created",
    subject: plan.planId,
    detail: {
      goal: content.goal,
      moves: content.moves.length,
      ...(policy && rest),
      ...(replans === null ? {} : { replans }),
    },
  });
  if (!isStored)
    throw refusal([
      {
        path: "parameters.movesMax",
        message: `a plan of ${content.moves.length} moves is too large to keep: lower movesMax`,
      },
    ]);
  return plan;
}

export async function readPlan(deps: Deps, planId: string): Promise<Plan> {
  const plan = await deps.store.plans.byId(planId);
  if (!plan) throw new AppError({ code: "not_found", what: "plan", id: planId });
  return plan;
}

export async function readProposed(deps: Deps, planId: string): Promise<Plan> {
  const plan = await readPlan(deps, planId);
  if (plan.mode === "shadow" && plan.policyId !== null && plan.content.moves.length > 0)
    throw new AppError({ code: "shadow_plan", planId, policyId: plan.policyId });
  const state = plan.state === "proposed" && plan.expiresAt <= deps.now() ? "expired" : plan.state;
  if (state !== "proposed")
    throw new AppError({ code: "illegal_state", what: "Plan", id: planId, state, allowed: ["proposed"] });
  return plan;
}

export const sorted = (numbers: number[]): number[] => [...new Set(numbers)].toSorted((a, b) => a - b);

/** Two deciding at once: the one that comes second is told to look again. */
export async function decide<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (error instanceof AppError) throw error;
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
      if (cause.message.includes("plans.version"))
        throw new AppError({
          code: "busy",
          detail: "The plan is being decided by somebody else.",
          retryAfterSeconds: 1,
        });
    throw error;
  }
}

export async function rejectPlan(deps: Deps, principal: Principal, planId: string, reason: string): Promise<Plan> {
  const plan = await readProposed(deps, planId);
  const decision = { state: "rejected" as const, by: principal.id, reason, at: deps.now() };
  const entry = { actor: principal.id, action: "plan.rejected", subject: planId, reason };
  await decide(() => deps.store.plans.decide(plan, decision, [], entry));
  return readPlan(deps, planId);
}

/** Leaves one move out: before approval it is never made, afterwards its run is cancelled if it has not begun. */
export async function skipMove(
  deps: Deps,
  principal: Principal,
  planId: string,
  n: number,
  reason: string,
): Promise<Plan> {
  const plan = await readPlan(deps, planId);
  if (!plan.content.moves.some((move) => move.n === n))
    throw new AppError({ code: "not_found", what: "move", id: `${planId}/${n}` });
  if (plan.state === "approved" || plan.state === "executing") {
    const runs = await deps.store.migrations.ofPlan(planId);
    if (runs.some(({ moveNumber }) => moveNumber === n) || plan.skipped.includes(n)) {
      await cancelQueued(deps, planId, n, { reason: "skipped", detail: reason });
      return readPlan(deps, planId);
    }
  } else await readProposed(deps, planId);
  const entry = { actor: principal.id, action: "move.skipped", subject: `${planId}/${n}`, reason };
  const skipped = sorted([...plan.skipped, ...withLaterHops(plan.content.moves, n)]);
  await decide(() => deps.store.plans.setSkipped(plan, skipped, deps.now(), entry));
  return readPlan(deps, planId);
}

/** Ends an approved plan: nothing of it begins any more, and its runs are ended as far as they can be. */
export async function cancelPlan(
  deps: Deps,
  principal: Principal,
  planId: string,
  reason: string,
): Promise<{ plan: Plan; migrations: StoppedRun[] }> {
  const plan = await readPlan(deps, planId);
  if (plan.state !== "approved" && plan.state !== "executing")
    throw new AppError({
      code: "illegal_state",
      what: "Plan",
      id: planId,
      state: plan.state,
      allowed: ["approved", "executing"],
    });
  const entry = { actor: principal.id, action: "plan.cancelled", subject: planId, reason };
  await decide(() => deps.store.plans.cancel(plan, deps.now(), entry));
  const failure = { reason: "plan-cancelled", detail: `${principal.name}: ${reason}` };
  const migrations = [];
  for (const run of await deps.store.migrations.ofPlan(planId))
    if (!isEnded(run.state)) migrations.push(await stopRun(deps, run.migrationId, failure));
  return { plan: await readPlan(deps, planId), migrations };
}
