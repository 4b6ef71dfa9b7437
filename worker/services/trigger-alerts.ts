// What is posted to a trigger: verified, read, and noted for the policies that it starts, all of a body or nothing of it. The
// runs go on behind the answer; those that wait are Cron's.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import type { Policy } from "../model/policy/policy.ts";
import { type Alert, eventOfAlert, hostNames, judgeAlert, type Judged, readAlerts } from "../model/triggers/alerts.ts";
import { type AlertOutcome, ALERTS_MAX, type TriggerAnswer } from "../model/triggers/trigger.ts";
import { HOUR_MS, MINUTE_MS } from "../model/units.ts";
import { policiesWaitingFor } from "./policy-events.ts";
import { executeRun } from "./policy-runs.ts";
import { eventRun } from "./policy-signals.ts";

type TriggerRecord = NonNullable<Awaited<ReturnType<Deps["store"]["triggers"]["byId"]>>>;
type NewAlert = Parameters<Deps["store"]["triggers"]["take"]>[1][number];

/** Keys that are longer are known by their hash. */
const KEY_LENGTH_MAX = 100;
/** Runs that go on behind one answer; what is beyond begins within a minute. */
const RUNS_BEHIND_MAX = 3;

export type Posted = { triggerId: string; token: string | null; body: string };

/** `POST /v1/triggers/{triggerId}/alerts`. */
export async function takeAlerts(deps: Deps, { triggerId, token, body }: Posted): Promise<TriggerAnswer> {
  const trigger = await verified(deps, triggerId, token);
  if (!trigger.enabled)
    throw new AppError({
      code: "illegal_state",
      what: "Trigger",
      id: triggerId,
      state: "paused",
      allowed: ["enabled"],
    });
  const read = readAlerts(parsed(body), trigger.source);
  if ("issues" in read) throw new AppError({ code: "invalid_request", issues: read.issues });
  const alerts = read.alerts.slice(0, ALERTS_MAX);
  const waiting = await waitingPolicies(deps, trigger);
  const judged = await judgeAll(deps, trigger, alerts);
  const rows = await Promise.all(judged.map((one) => rowOf(deps, trigger, waiting, one)));
  const { outcomes, runIds } = await deps.store.triggers.take(trigger, rows, deps.now());
  const answered = rows.map((row) => answerOf(trigger, row, outcomes.get(row.alertId) ?? "duplicate", runIds));
  const noted = rows.flatMap(({ runs }) => runs.map(({ run }) => run).filter(({ runId }) => runIds.has(runId)));
  if (noted.length > 0) deps.queue.behind(begin(deps, noted));
  return {
    triggerId,
    startsPerHourMax: trigger.startsPerHourMax,
    started: answered.filter(({ outcome }) => outcome === "started").length,
    alerts: answered,
    leftOut: read.leftOut + read.alerts.length - alerts.length,
  };
}

/** Who forges learns nothing: whether there is such a trigger neither. */
async function verified(deps: Deps, triggerId: string, token: string | null): Promise<TriggerRecord> {
  const trigger = await deps.store.triggers.byId(triggerId);
  // Hashes are compared, so that the time it takes says nothing about the token.
  const isRight = token !== null && trigger?.tokenHash === (await deps.hash(token));
  if (trigger !== null && isRight) return trigger;
  const why =
    trigger === null ? "there is no such trigger" : token === null ? "it has no token" : "it has another token";
  // oxlint-disable-next-line no-console -- why stands here and nowhere else
  console.warn(`triggers: ${triggerId.slice(0, 64)}: refused: ${why}`);
  throw new AppError({ code: "unverified" });
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw new AppError({ code: "malformed_body", detail: "The body is no JSON." });
  }
}

/** Which policies an alert of the trigger starts, or why none. */
async function waitingPolicies(
  deps: Deps,
  { cluster, event, policyId }: TriggerRecord,
): Promise<{ policies: Policy[]; why: string }> {
  if (policyId === null)
    return {
      policies: await policiesWaitingFor(deps, { cluster, type: event }),
      why: `No policy of cluster ${cluster} that is not paused waits for ${event}.`,
    };
  const stored = await deps.store.policies.byId(policyId);
  const policy = stored?.policy ?? null;
  if (policy?.enabled === true) return { policies: [policy], why: "" };
  const state = stored === null ? "gone" : policy === null ? "not readable" : "paused";
  return { policies: [], why: `Policy ${policyId} is ${state}.` };
}

async function judgeAll(deps: Deps, trigger: TriggerRecord, alerts: readonly Alert[]): Promise<[Alert, Judged][]> {
  const hostIds = [...new Set(alerts.flatMap(({ hosts }) => hosts.flatMap(hostNames)))];
  const vms = [...new Set(alerts.flatMap(({ vms: names }) => names.flatMap((name) => [name, name.toLowerCase()])))];
  const known = await deps.store.vmNames.among(trigger.cluster, hostIds, vms);
  return alerts.map((alert) => [alert, judgeAlert(trigger, alert, known)]);
}

async function rowOf(
  deps: Deps,
  trigger: TriggerRecord,
  { policies, why }: { policies: readonly Policy[]; why: string },
  [alert, judged]: [Alert, Judged],
): Promise<NewAlert> {
  const { triggerId, name } = trigger;
  const key = alert.key.length <= KEY_LENGTH_MAX ? alert.key : await deps.hash(alert.key);
  const event = eventOfAlert(trigger, alert, judged, key);
  const isIdle = judged.outcome === "started" && policies.length === 0;
  const starts = judged.outcome === "started" && !isIdle;
  return {
    alertId: deps.newId("alt"),
    key,
    status: alert.status,
    hostId: judged.hostId,
    vm: judged.vm,
    outcome: isIdle ? "nobody-waits" : judged.outcome,
    why: isIdle ? why : judged.why,
    runs: starts ? policies.map((policy) => eventRun(deps, policy, event)) : [],
    entry: {
      actor: `trigger:${triggerId}`,
      action: "event.raised",
      subject: event.hostId ?? event.cluster,
      reason: (alert.detail ?? `an alert of ${name}`).slice(0, 500),
      detail: { ...event, policies: policies.map(({ policyId }) => policyId) },
    },
  };
}

function answerOf(
  { dedupeMs, startsPerHourMax }: TriggerRecord,
  { key, status, hostId, vm, why, runs }: NewAlert,
  outcome: AlertOutcome,
  runIds: ReadonlySet<string>,
): TriggerAnswer["alerts"][number] {
  const noted = runs.flatMap(({ run: { policyId, runId } }) => (runIds.has(runId) ? [{ policyId, runId }] : []));
  const started =
    noted.length > 0 ? `${noted.length} noted to run.` : "Each policy had an event of this key within its gap.";
  const said: Partial<Record<AlertOutcome, string>> = {
    started: `${why} ${started}`.trim(),
    duplicate: `The same came less than ${duration(dedupeMs)} ago.`,
    "rate-limited": `${startsPerHourMax} alerts have started something within an hour, which is the most.`,
  };
  return { key, status, hostId, vm, outcome, why: said[outcome] ?? why, runs: noted };
}

const duration = (ms: number): string =>
  ms < HOUR_MS ? `${Math.ceil(ms / MINUTE_MS)} min` : `${Math.ceil(ms / HOUR_MS)} h`;

async function begin(deps: Deps, noted: readonly NewAlert["runs"][number]["run"][]): Promise<void> {
  const due = noted.filter(({ dueAt, createdAt }) => dueAt <= createdAt);
  for (const run of due.slice(0, RUNS_BEHIND_MAX)) await executeRun(deps, run);
}
