// What Cron does for policies each minute: notes what is due and what can be seen, runs what waits, and approves what nobody has decided.
import type { Deps } from "../env.ts";
import { heldBack, silenceApproves } from "../model/policy/decide.ts";
import type { Policy } from "../model/policy/policy.ts";
import { policyDue } from "../model/policy/trigger.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../model/units.ts";
import { readPlan } from "./plans.ts";
import { labelsOf } from "./approval-guards.ts";
import { limitsOf } from "./policy-drafts.ts";
import { approveFor, executeRun } from "./policy-runs.ts";
import { noteSeen, watchedClusters } from "./policy-signals.ts";
import { readFacts } from "./snapshots.ts";

/** A run that began this long ago has died with what ran it, ms. */
const RUN_MS_MAX = 10 * MINUTE_MS;
const RUNS_KEPT_MS = 90 * DAY_MS;
/** A minute's worth; what is left waits for the next. */
const RUNS_PER_MINUTE = 100;
const APPROVALS_PER_MINUTE = 100;

export async function runPolicies(deps: Deps): Promise<void> {
  const now = deps.now();
  await deps.store.policyRuns.failInterrupted(now - RUN_MS_MAX, "Interrupted: it began and never ended.", now);
  // Those that cannot be read are told of in GET /v1/status.
  const { policies } = await deps.store.policies.enabled(null);
  for (const policy of policies) await alone(policy.policyId, () => noteDue(deps, policy, now));
  for (const cluster of watchedClusters(policies)) await alone(cluster, () => noteSeen(deps, cluster, policies));
  // Not as of `now`: what was just seen is run at once.
  for (const run of await deps.store.policyRuns.waiting(deps.now(), RUNS_PER_MINUTE))
    await alone(run.runId, () => executeRun(deps, run));
  for (const planId of await deps.store.policyPlans.waitingForSilence(now, APPROVALS_PER_MINUTE))
    await alone(planId, () => approveBySilence(deps, planId));
  if (now % HOUR_MS < MINUTE_MS) await forget(deps, now);
}

async function forget(deps: Deps, now: number): Promise<void> {
  await deps.store.policyRuns.forget(now - RUNS_KEPT_MS);
  await deps.store.policyPlans.forget({ plansBefore: now - RUNS_KEPT_MS, snapshotsBefore: now - DAY_MS });
}

/** What goes wrong with one does not stop the others. What goes wrong within a run is written down in it. */
async function alone(subject: string, act: () => Promise<unknown>): Promise<void> {
  try {
    await act();
  } catch (error) {
    // oxlint-disable-next-line no-console -- the platform's log is where it must be seen
    console.error(`policies: ${subject}`, error);
  }
}

async function noteDue(deps: Deps, policy: Policy, now: number): Promise<void> {
  const { policyId, cluster, trigger, lastDueAt, lastStartedAt } = policy;
  const dueAt = policyDue(policy, { dueAt: lastDueAt, startedAt: lastStartedAt }, now);
  if (dueAt === null || trigger.type === "event") return;
  const runId = deps.newId("prn");
  await deps.store.policyRuns.addDue({
    runId,
    policyId,
    cluster,
    trigger: { type: trigger.type },
    createdAt: now,
    dueAt,
  });
}

async function approveBySilence(deps: Deps, planId: string): Promise<void> {
  const plan = await readPlan(deps, planId);
  if (plan.policyId === null) return;
  const policy = (await deps.store.policies.byId(plan.policyId))?.policy;
  // What is cheap to know comes before a snapshot is read.
  if (policy?.approveAfterMs === undefined || deps.now() < plan.createdAt + policy.approveAfterMs) return;
  const limits = await limitsOf(deps, policy);
  if (heldBack(policy, limits) !== null) return;
  const circumstances = { ...limits, labels: labelsOf(await readFacts(deps, policy.cluster)) };
  const moves = plan.content.moves.filter(({ n }) => !plan.skipped.includes(n));
  const verdict = silenceApproves(policy, plan, moves, circumstances);
  if ("no" in verdict) return;
  if ((await approveFor(deps, policy, plan, verdict)) !== null) return;
  const some = `${verdict.approve.length} of ${plan.content.moves.length} moves`;
  const summary = `Nobody decided within ${policy.approveAfterMs} ms: approved ${some}. ${plan.content.summary}`;
  await deps.store.policyRuns.approved(plan.planId, policy.policyId, summary, verdict.approve);
}
