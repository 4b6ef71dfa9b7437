// What a policy decides on, and the plan that the advisor makes of it.
import type { Deps } from "../env.ts";
import type { Snapshot } from "../model/cluster.ts";
import { efficacyNow } from "../model/placement/index.ts";
import type { PlanContent, PlanParameters } from "../model/placement/types.ts";
import { budgetLeft } from "../model/policy/budget.ts";
import type { Circumstances, Decision } from "../model/policy/decide.ts";
import { type HeldStill, heldStill } from "../model/policy/freeze.ts";
import { type Policy, modeAt, stepsFor } from "../model/policy/policy.ts";
import { type RunNumbers, type RunTrigger, indicatorsOf } from "../model/policy/run.ts";
import { planScopeOf } from "../model/policy/scope.ts";
import { type ShadowRun, simulatedBy, spentIn, withHistory } from "../model/policy/shadow.ts";
import { DAY_MS } from "../model/units.ts";
import { labelsOf } from "./approval-guards.ts";
import { type PlanDraft, draftPlan, readPlanSnapshot } from "./plans.ts";

/** `inScope`: the policy's scope on this snapshot; absent: it has none. `without`: what was left out of it; null: nothing. */
export type Gathered = {
  snapshot: Snapshot;
  /** In shadow: the cluster without what the policy would have done. Null: `snapshot` is it. */
  asItIs: Snapshot | null;
  circumstances: Circumstances;
  inScope: ReturnType<typeof planScopeOf> | undefined;
  without: string | null;
};

/** What binds a policy whatever its cluster looks like: known without a snapshot, which is much to read. */
export type Limits = Omit<Circumstances, "labels"> & {
  /** What it would have done in shadow within a day, oldest first; empty where it is not in shadow. */
  history: ShadowRun[];
};

export async function limitsOf(deps: Deps, policy: Policy): Promise<Limits> {
  const now = deps.now();
  const { cluster, policyId } = policy;
  const [freezes, spent, history] = await Promise.all([
    deps.store.freezes.notOver(cluster, now),
    deps.store.policyPlans.spent(cluster, policyId, now - DAY_MS),
    modeAt(policy, now) === "shadow" ? deps.store.policyRuns.shadowed(policyId, now - DAY_MS) : [],
  ]);
  return { freezes, budget: budgetLeft(policy.budgets, [...spent, ...spentIn(history)], now), now, history };
}

function leftStill({ vms, hosts, rules }: HeldStill): string {
  const by = rules.map(({ freezeId, reason }) => `${freezeId} (${reason})`).join(", ");
  return `Planned without what is frozen by ${by}: ${vms.size} VMs, ${hosts.size} hosts.`;
}

export async function gather(deps: Deps, policy: Policy, { history, ...limits }: Limits): Promise<Gathered> {
  const asItIs = await readPlanSnapshot(deps, policy.cluster);
  const snapshot = withHistory(asItIs, history);
  const circumstances = { ...limits, labels: labelsOf(snapshot) };
  // What is approved at once is planned around freezes; a plan that waits for a decision may outlast them.
  const still = policy.mode === "auto" ? heldStill(circumstances.freezes, circumstances.now, snapshot) : undefined;
  const isHeld = still !== undefined && still.vms.size + still.hosts.size > 0;
  const inScope = policy.scope || isHeld ? planScopeOf(policy.scope ?? {}, snapshot, still) : undefined;
  const isShadow = modeAt(policy, circumstances.now) === "shadow";
  return {
    snapshot,
    asItIs: isShadow ? asItIs : null,
    circumstances,
    inScope,
    without: isHeld ? leftStill(still) : null,
  };
}

/** The plan of the first goal that has something to do, on the cluster as it is; of the last one where none has. */
export async function draftGoals(
  deps: Deps,
  policy: Policy,
  { snapshot, circumstances }: Pick<Gathered, "snapshot" | "circumstances">,
  inScope: PlanParameters["scope"],
  hostId: string | null,
): Promise<PlanDraft> {
  const { cluster } = policy;
  let last: PlanDraft | null = null;
  for (const [index, { goal, parameters }] of stepsFor(policy, hostId, circumstances.budget.moves).entries()) {
    const scoped = inScope === undefined ? parameters : { ...parameters, scope: inScope };
    last = await draftPlan(deps, snapshot, { cluster, goal, parameters: scoped }, `goals.${index}.`);
    if (last.content.moves.length > 0) return last;
  }
  if (last === null) throw new Error("a policy has at least one goal");
  return last;
}

/** The host that a run is about; null: none in particular. */
export function hostOf(trigger: RunTrigger): string | null {
  if (trigger.type === "event") return trigger.event.hostId ?? null;
  return trigger.type === "manual" ? (trigger.hostId ?? null) : null;
}

/** `asItIs`: the cluster without what shadow would have done; null: the plan was made on it. */
export const numbersOf = (
  content: PlanContent,
  { approve, leftOut }: Decision,
  asItIs: Snapshot | null,
): RunNumbers => ({
  moves: content.moves.length,
  bytesP50: content.totals.bytesP50,
  approved: approve,
  leftOut,
  before: indicatorsOf(asItIs ? efficacyNow(asItIs, content.goal, content.parameters) : content.before),
  promised: indicatorsOf(content.after),
  ...(asItIs ? { simulated: simulatedBy(content, approve) } : {}),
});
