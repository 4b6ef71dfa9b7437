import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { MigrationRun } from "../../worker/model/run.ts";
import { call } from "../support/api.ts";
import { cron, hotCluster, policyOf, runNow, runsOf } from "../support/policies.ts";

const planOf = async (planId: string | null | undefined): Promise<Plan> =>
  (await call<Plan>("GET", `/v1/plans/${planId}`)).body;
const migrationsOf = async (planId: string | null | undefined): Promise<MigrationRun[]> =>
  (await call<{ items: MigrationRun[] }>("GET", `/v1/migrations?planId=${planId}`)).body.items;

/** As if the plan had been made that much earlier. */
const age = (planId: string | null | undefined, ms: number) =>
  env.DB.prepare("UPDATE plans SET created_at = created_at - ? WHERE id = ?").bind(ms, planId).run();

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/** A window that is closed now and for at least a day more. */
const closedNow = () => ({
  timeZone: "UTC",
  days: [DAYS[(new Date().getUTCDay() + 3) % 7]],
  from: "00:00",
  to: "24:00",
});
const evacuate = (hostId: string) => [{ goal: "evacuate", parameters: { hostIds: [hostId] } }];

describe("Cron", () => {
  test("runs a due policy once for its due time, however many Crons there are", async () => {
    const { cluster } = await hotCluster();
    const { policyId, createdAt } = await policyOf(cluster, { trigger: { type: "interval", everyMs: 3_600_000 } });
    await Promise.all([cron(), cron(), cron()]);
    await cron();
    expect(await runsOf(policyId)).toMatchObject([
      {
        trigger: { type: "interval" },
        dueAt: createdAt,
        outcome: "proposed",
        mode: "advise",
        endedAt: expect.any(Number),
      },
    ]);
  });

  test("writes down what went wrong with one policy and runs the others", async () => {
    const [first, second] = [await hotCluster(), await hotCluster()];
    const bad = await policyOf(first.cluster, { goals: evacuate(first.hot.hostId) });
    const good = await policyOf(second.cluster);
    await env.DB.prepare("UPDATE hosts SET id = id || '-gone' WHERE id = ?").bind(first.hot.hostId).run();
    await cron();
    expect(await runsOf(bad.policyId)).toMatchObject([
      { outcome: "failed", planId: null, summary: expect.stringContaining("goals.0.parameters.hostIds.0") },
    ]);
    expect(await runsOf(good.policyId)).toMatchObject([{ outcome: "proposed" }]);
  });

  test("runs the others where a stored policy can no longer be read", async () => {
    const [first, second] = [await hotCluster(), await hotCluster()];
    const bad = await policyOf(first.cluster);
    const good = await policyOf(second.cluster);
    await env.DB.prepare("UPDATE policies SET definition = '{}' WHERE id = ?").bind(bad.policyId).run();
    await cron();
    expect(await runsOf(good.policyId)).toMatchObject([{ outcome: "proposed" }]);
    await env.DB.prepare("DELETE FROM policies WHERE id = ?").bind(bad.policyId).run();
  });

  test("ends a run that began and never ended, so that the policy runs again", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster, { trigger: { type: "event", events: ["alert"] } });
    await runNow(policyId);
    await env.DB.prepare("UPDATE policy_runs SET ended_at = NULL, outcome = NULL WHERE policy_id = ?")
      .bind(policyId)
      .run();
    expect((await runNow(policyId)).status).toBe(503);
    await env.DB.prepare("UPDATE policy_runs SET started_at = 1 WHERE policy_id = ?").bind(policyId).run();
    await cron();
    expect(await runsOf(policyId)).toMatchObject([
      { outcome: "failed", summary: expect.stringContaining("Interrupted") },
    ]);
    expect((await runNow(policyId)).status).toBe(200);
  });
});

describe("auto", () => {
  test("approves at once, in its own name, within its budget and never post-copy", async () => {
    const { cluster, hot } = await hotCluster();
    const { policyId, notes } = await policyOf(cluster, {
      mode: "auto",
      goals: evacuate(hot.hostId),
      budgets: { movesMaxPerDay: 2 },
    });
    expect(notes.join()).toContain("never permits post-copy");
    await cron();
    const [run] = await runsOf(policyId);
    expect(run).toMatchObject({ outcome: "approved", mode: "auto", numbers: { approved: [1, 2] } });
    const plan = await planOf(run?.planId);
    expect(plan).toMatchObject({ decidedBy: `policy:${policyId}`, reason: expect.stringContaining("auto by policy") });
    expect(plan.content.parameters.postCopyPermitted).toBe(false);
    const migrations = await migrationsOf(run?.planId);
    expect(migrations.map(({ limits }) => limits.postCopyPermitted)).toEqual([false, false]);
    expect((await runNow(policyId)).body.outcome).toBe("budget-spent");
  });

  test("leaves what a byte or VM budget does not allow to a person", async () => {
    const { cluster, hot } = await hotCluster();
    const { policyId } = await policyOf(cluster, {
      mode: "auto",
      goals: evacuate(hot.hostId),
      budgets: { movesMaxPerVmPerDay: 0 },
    });
    const { body } = await runNow(policyId);
    expect(body).toMatchObject({ outcome: "budget-spent", run: { planId: expect.any(String) } });
    expect(await planOf(body.run?.planId)).toMatchObject({ state: "proposed", skipped: [] });
  });

  test("does not begin another plan while one of its own is under way", async () => {
    const { cluster, hot } = await hotCluster();
    const { policyId } = await policyOf(cluster, {
      mode: "auto",
      goals: evacuate(hot.hostId),
      budgets: { movesMaxPerHour: 9 },
    });
    const first = await runNow(policyId);
    expect(first.body.outcome).toBe("approved");
    expect((await runNow(policyId)).body).toMatchObject({
      outcome: "nothing-to-do",
      summary: expect.stringContaining(first.body.run?.planId ?? "?"),
    });
  });
});

describe("approve-by-timeout", () => {
  const waiting = async (fields: Record<string, unknown> = {}) => {
    const { cluster, hot } = await hotCluster();
    const { policyId } = await policyOf(cluster, {
      mode: "approve-by-timeout",
      approveAfterMs: 600_000,
      goals: evacuate(hot.hostId),
      trigger: { type: "event", events: ["alert"] },
      ...fields,
    });
    const { body } = await runNow(policyId);
    expect(body.outcome).toBe("proposed");
    return { cluster, policyId, planId: body.run?.planId };
  };

  test("is silent approval after its time, and not before", async () => {
    const { policyId, planId } = await waiting();
    await cron();
    expect((await planOf(planId)).state).toBe("proposed");
    await age(planId, 600_001);
    await cron();
    expect(await planOf(planId)).toMatchObject({ decidedBy: `policy:${policyId}` });
    expect(await migrationsOf(planId)).toHaveLength(4);
    expect(await runsOf(policyId)).toMatchObject([
      { outcome: "approved", summary: expect.stringContaining("Nobody decided"), numbers: { approved: [1, 2, 3, 4] } },
    ]);
  });

  test.each([
    [
      "a person has changed",
      (planId: string) => call("POST", `/v1/plans/${planId}/moves/1/skip`, { body: { reason: "x" } }),
    ],
    [
      "a person has rejected",
      (planId: string) => call("POST", `/v1/plans/${planId}/reject`, { body: { reason: "x" } }),
    ],
  ])("never approves a plan that %s", async (_, act) => {
    const { planId } = await waiting();
    await act(planId ?? "");
    await age(planId, 600_001);
    await cron();
    expect(await migrationsOf(planId)).toEqual([]);
  });

  test.each([
    ["is paused", { enabled: false }],
    ["advises now", { mode: "advise" }],
    ["is outside its windows", { windows: [closedNow()] }],
    ["has spent its budget", { budgets: { movesMaxPerHour: 0 } }],
  ])("never approves when the policy %s", async (_, change) => {
    const { policyId, planId } = await waiting();
    expect((await call("PATCH", `/v1/policies/${policyId}`, { body: change })).status).toBe(200);
    await age(planId, 600_001);
    await cron();
    expect((await planOf(planId)).state).toBe("proposed");
  });

  test("leaves frozen VMs where they are and approves the rest", async () => {
    const { cluster, planId } = await waiting();
    const [first] = (await planOf(planId)).content.moves;
    const freeze = { cluster, from: 1, scope: { uuids: [first?.vm] }, reason: "audit of the VM" };
    expect((await call("POST", "/v1/freezes", { body: freeze })).status).toBe(201);
    await age(planId, 600_001);
    await cron();
    const migrations = await migrationsOf(planId);
    expect(migrations.map(({ moveNumber }) => moveNumber)).toEqual([2, 3, 4]);
    expect((await planOf(planId)).skipped).toEqual([1]);
  });
});

describe("windows", () => {
  test("that are closed hold a policy back, and the run says when they open", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster, { windows: [closedNow()] });
    const { body } = await runNow(policyId);
    expect(body).toMatchObject({ outcome: "outside-window", run: { planId: null } });
    expect(body.summary).toMatch(/opens at \d{4}-\d\d-\d\dT00:00:00/);
    const dry = await runNow(policyId, { dryRun: true });
    expect(dry.body).toMatchObject({ outcome: "outside-window", numbers: { approved: [] } });
    expect(dry.body.content?.moves.length).toBeGreaterThan(0);
  });

  test("hold for a person's approval of the policy's plans too", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster);
    const plan = await planOf((await runNow(policyId)).body.run?.planId);
    await call("PATCH", `/v1/policies/${policyId}`, { body: { windows: [closedNow()] } });
    const refused = await call<{ type: string; opensAt: number }>("POST", `/v1/plans/${plan.planId}/approve`, {
      body: { contentHash: plan.contentHash },
    });
    expect([refused.status, refused.body.type]).toEqual([409, "/problems/outside-window"]);
    expect(refused.body.opensAt).toBeGreaterThan(Date.now());
  });
});
