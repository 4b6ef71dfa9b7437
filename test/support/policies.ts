// Policies of the API tests: a small cluster with a hot host, the minute of Cron, and time that goes by in D1.
import { createExecutionContext, createScheduledController, waitOnExecutionContext } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { makeDeps, type Deps } from "../../worker/env.ts";
import worker from "../../worker/index.ts";
import type { PolicyRun, RunNumbers } from "../../worker/model/policy/run.ts";
import type { PolicyView } from "../../worker/model/policy/view.ts";
import type { PlanContent } from "../../worker/model/placement/types.ts";
import type { VmInventory } from "../../worker/model/wire/inventory.ts";
import { type Agent, type Answer, agentOf, call, vm } from "./api.ts";

let clusters = 0;

export type HotCluster = { cluster: string; hot: Agent; cold: Agent; guests: VmInventory[] };

/** Two hosts of 16 cores: one hot with four VMs of 3.5 cores each, one with nothing. */
export async function hotCluster(fields: Partial<VmInventory> = {}): Promise<HotCluster> {
  const cluster = `pol-${++clusters}`;
  const guests = Array.from({ length: 4 }, () => vm({ vcpus: 4, ...fields }));
  const hot = await agentOf(cluster, `${cluster}-hot`, guests);
  const cold = await agentOf(cluster, `${cluster}-cold`, []);
  await hot.load(14.2, Object.fromEntries(guests.map(({ uuid }) => [uuid, 3.5])));
  await cold.load(0.3, {});
  return { cluster, hot, cold, guests };
}

/** A policy that balances every minute, not in shadow; `fields` say what else. */
export const policyBody = (cluster: string, fields: Record<string, unknown> = {}) => ({
  cluster,
  name: "balance",
  goals: [{ goal: "balance", parameters: {} }],
  trigger: { type: "interval", everyMs: 60_000 },
  minIntervalMs: 0,
  shadowUntil: null,
  ...fields,
});

export async function policyOf(cluster: string, fields: Record<string, unknown> = {}): Promise<PolicyView> {
  const made = await call<PolicyView>("POST", "/v1/policies", { body: policyBody(cluster, fields) });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  return made.body;
}

export type RunAnswer = {
  dryRun: boolean;
  outcome: string;
  summary: string;
  numbers: RunNumbers | null;
  run: PolicyRun | null;
  content: PlanContent | null;
};

export const runNow = (policyId: string, body: Record<string, unknown> = {}): Promise<Answer<RunAnswer>> =>
  call<RunAnswer>("POST", `/v1/policies/${policyId}/run`, { body });

export const runsOf = async (policyId: string): Promise<PolicyRun[]> =>
  (await call<{ items: PolicyRun[] }>("GET", `/v1/policies/${policyId}/runs`)).body.items;

/** One minute of Cron, as the platform calls it. */
export async function cron(): Promise<void> {
  const context = createExecutionContext();
  worker.scheduled(createScheduledController({ cron: "* * * * *" }), env, context);
  await waitOnExecutionContext(context);
}

/** Deps whose clock is off by so much. */
export const depsLater = (ms: number): Deps => ({ ...makeDeps(env), now: () => Date.now() + ms });

/** The audit entries of a subject, newest first. */
export async function auditOf(subject: string) {
  const { body } = await call<{ items: { subject: string; action: string; actor: string; reason: string | null }[] }>(
    "GET",
    "/v1/audit?limit=1000",
  );
  return body.items.filter((entry) => entry.subject === subject);
}
