// Events that start policies.
import type { Deps } from "../env.ts";
import type { Policy } from "../model/policy/policy.ts";
import type { PolicyRun } from "../model/policy/run.ts";
import { type PolicyEvent, eventKey } from "../model/policy/trigger.ts";
import type { Principal } from "../model/principal.ts";
import { assertHostOf } from "./hosts.ts";
import { executeRun, readPolicyRun } from "./policy-runs.ts";
import { noteEvent } from "./policy-signals.ts";

export type Started = { policyId: string; run: PolicyRun | null; why: string };

/** Policies of the cluster that are not paused and wait for events of this type. */
export const policiesWaitingFor = async (
  deps: Deps,
  { cluster, type }: Pick<PolicyEvent, "cluster" | "type">,
): Promise<Policy[]> =>
  (await deps.store.policies.enabled(cluster)).policies.filter(
    ({ trigger }) => trigger.type === "event" && trigger.events.includes(type),
  );

/** Starts every policy that waits for this event: at once, or when its minimum interval is over. */
export async function raiseEvent(deps: Deps, principal: Principal, event: PolicyEvent): Promise<Started[]> {
  if (event.hostId !== undefined) await assertHostOf(deps, event.cluster, event.hostId);
  const policies = await policiesWaitingFor(deps, event);
  await deps.store.audit.record(
    {
      actor: principal.id,
      action: "event.raised",
      subject: event.hostId ?? event.cluster,
      ...(event.detail === undefined ? {} : { reason: event.detail }),
      detail: { ...event, policies: policies.map(({ policyId }) => policyId) },
    },
    deps.now(),
  );
  const started: Started[] = [];
  for (const policy of policies) started.push(await startBy(deps, policy, event));
  return started;
}

async function startBy(deps: Deps, policy: Policy, event: PolicyEvent): Promise<Started> {
  const { policyId } = policy;
  const run = await noteEvent(deps, policy, event);
  if (run === null)
    return { policyId, run: null, why: `An event with key ${eventKey(event)} came within the policy's gap.` };
  const isDone = run.dueAt <= run.createdAt && (await executeRun(deps, run));
  const why = isDone ? "Run." : "Waits: the policy runs now, or has run less than its minimum interval ago.";
  return { policyId, run: await readPolicyRun(deps, run.runId), why };
}
