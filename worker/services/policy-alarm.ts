// "Moves stopped helping": what the executed plans of a policy promised against what its next runs found. A policy rests after
// each of its plans, the longer the less they help, and goes back to advice where they have stopped to.
import type { Deps } from "../env.ts";
import type { PlanContent } from "../model/placement/types.ts";
import type { Plan } from "../model/plan.ts";
import { type Executed, SETTLE_MS, goalsOf, restMs, stoppedHelping } from "../model/policy/helping.ts";
import type { Policy } from "../model/policy/policy.ts";
import { type Indicators, indicatorsOf } from "../model/policy/run.ts";
import { DAY_MS } from "../model/units.ts";
import { policyDemoted } from "../model/webhooks/drafts.ts";

/** Those plans of which it is known what came of them. `present`: the cluster as it is now; null: not looked at. */
async function judged(deps: Deps, plans: readonly Plan[], present: Indicators | null): Promise<Executed[]> {
  const now = deps.now();
  const executed = await Promise.all(
    plans.map(async ({ planId, policyId, content, endedAt, createdAt }): Promise<Executed | null> => {
      const settledAt = (endedAt ?? createdAt) + SETTLE_MS;
      if (policyId === null || now < settledAt) return null;
      const found = (await deps.store.policyRuns.firstMeasured(policyId, settledAt))?.numbers?.before ?? present;
      if (found === null) return null;
      return {
        planId,
        goals: goalsOf(content),
        before: indicatorsOf(content.before),
        promised: indicatorsOf(content.after),
        found,
      };
    }),
  );
  return executed.filter((plan) => plan !== null);
}

/** Plans that were executed with all of their moves, newest last: what some of them would reach alone is not known. */
const executedWhole = (deps: Deps, { policyId, modeSince, alarm }: Policy): Promise<Plan[]> =>
  // The newest may be too new to be judged.
  deps.store.policyPlans.executed(policyId, { since: modeSince, limit: alarm.plans + 1, whole: true });

/** Why the policy helps no more, or null. `now`: the plan that the present run has made, which says how the cluster is. */
export async function helpAlarmOf(deps: Deps, policy: Policy, now: PlanContent): Promise<string | null> {
  const plans = await executedWhole(deps, policy);
  if (plans.length < policy.alarm.plans) return null;
  return stoppedHelping(await judged(deps, plans, indicatorsOf(now.before)), policy.alarm);
}

/** Until when the policy rests after its last executed plan; null: it does not. */
export async function restsUntil(deps: Deps, policy: Policy): Promise<{ until: number; planId: string } | null> {
  const { policyId, cooldownMs, alarm } = policy;
  const now = deps.now();
  const [last] = await deps.store.policyPlans.executed(policyId, { since: now - 2 * DAY_MS, limit: 1, whole: false });
  if (cooldownMs === 0 || !last) return null;
  const before = (await judged(deps, await executedWhole(deps, policy), null)).filter(
    ({ planId }) => planId !== last.planId,
  );
  const until = (last.endedAt ?? last.createdAt) + restMs(cooldownMs, before, alarm);
  return now < until ? { until, planId: last.planId } : null;
}

/** Takes the policy back to `advise`. A change that comes first is left as it is. */
export async function demote(deps: Deps, policy: Policy, why: string): Promise<Policy> {
  const now = deps.now();
  const demoted: Policy = {
    ...policy,
    mode: "advise",
    version: policy.version + 1,
    updatedAt: now,
    modeSince: now,
  };
  const entry = {
    actor: `policy:${policy.policyId}`,
    action: "policy.demoted",
    subject: policy.policyId,
    reason: why,
    detail: { from: policy.mode, to: "advise" },
  };
  await deps.store.policies.update(demoted, entry, policyDemoted(policy, why));
  return demoted;
}
