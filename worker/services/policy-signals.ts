// Events that Drover sees by itself: they are noted for the policies that wait for them, and Cron runs what is noted.
import type { Deps } from "../env.ts";
import type { Policy } from "../model/policy/policy.ts";
import { eventsFor, eventsSeenBy, seenEventsOf } from "../model/policy/signals.ts";
import { type PolicyEvent, earliestAt, eventKey } from "../model/policy/trigger.ts";
import { readFacts, readSnapshotWithRecent } from "./snapshots.ts";

/** An event for a policy, as it is noted: due at once, or when the policy's minimum interval is over. */
export function eventRun(deps: Deps, policy: Policy, event: PolicyEvent) {
  const { policyId, cluster, trigger, lastStartedAt } = policy;
  const gapMs = trigger.type === "event" ? trigger.gapMs : 0;
  const now = deps.now();
  const run = {
    runId: deps.newId("prn"),
    policyId,
    cluster,
    trigger: { type: "event" as const, event },
    createdAt: now,
    dueAt: Math.max(now, earliestAt(policy, { dueAt: null, startedAt: lastStartedAt })),
  };
  return { run, key: eventKey(event), since: now - gapMs };
}

/** Notes an event for a policy; null: one with its key came within the gap. */
export async function noteEvent(deps: Deps, policy: Policy, event: PolicyEvent) {
  const { run, key, since } = eventRun(deps, policy, event);
  return (await deps.store.policyRuns.addEvent(run, key, since)) ? run : null;
}

/** For what Drover is told by another way than `POST /v1/events`, such as a host's maintenance. */
export async function noteForWaiting(deps: Deps, event: PolicyEvent): Promise<void> {
  const { policies } = await deps.store.policies.enabled(event.cluster);
  for (const policy of policies) for (const one of eventsFor(policy, [event])) await noteEvent(deps, policy, one);
}

/** The clusters in which some of these policies wait for what can be seen. */
export const watchedClusters = (policies: readonly Policy[]): string[] => [
  ...new Set(policies.flatMap((policy) => (seenEventsOf(policy).length > 0 ? [policy.cluster] : []))),
];

/** Looks at one cluster, and notes what its policies wait for. */
export async function noteSeen(deps: Deps, cluster: string, policies: readonly Policy[]): Promise<void> {
  const waiting = policies.filter((policy) => policy.cluster === cluster && seenEventsOf(policy).length > 0);
  const types = [...new Set(waiting.flatMap(seenEventsOf))];
  // Only heat is judged by newest samples.
  const read = types.includes("host.hot") ? readSnapshotWithRecent : readFacts;
  for (const [policy, events] of eventsSeenBy(await read(deps, cluster), waiting))
    for (const event of eventsFor(policy, events)) await noteEvent(deps, policy, event);
}
