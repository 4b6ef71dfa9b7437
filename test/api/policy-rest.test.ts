// What a policy learns of its own plans: it rests after each, and stops where they have stopped helping.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { PolicyView } from "../../worker/model/policy/view.ts";
import { call } from "../support/api.ts";
import { auditOf, cron, depsLater, hotCluster, policyOf, runNow, runsOf } from "../support/policies.ts";

const planOf = async (planId: string | null | undefined): Promise<Plan> =>
  (await call<Plan>("GET", `/v1/plans/${planId}`)).body;

/** As if a plan had been carried out, and had ended so long ago. */
const carriedOut = (planId: string | null | undefined, agoMs: number) =>
  env.DB.prepare("UPDATE plans SET state = 'done', decided_at = ?1, decided_by = 'x', ended_at = ?1 WHERE id = ?2")
    .bind(Date.now() - agoMs, planId)
    .run();

describe("a policy rests after a plan of its own", () => {
  /** Its newest run, after one that is due at a time that was not noted before. */
  const due = async (policyId: string) => {
    await env.DB.prepare("UPDATE policies SET last_due_at = 1, activated_at = activated_at - 61001 WHERE id = ?")
      .bind(policyId)
      .run();
    await cron();
    return (await runsOf(policyId))[0];
  };

  test("until its cooldown is over", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster, { cooldownMs: 600_000 });
    const { planId } = (await runNow(policyId)).body.run ?? {};
    await carriedOut(planId, 60_000);
    const resting = await due(policyId);
    expect(resting).toMatchObject({ outcome: "cooling-down", planId: null });
    expect(resting?.summary).toContain(planId);
    await carriedOut(planId, 601_000);
    expect((await due(policyId))?.outcome).toBe("proposed");
  });

  test("longer where the plans before fell short", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster, { cooldownMs: 600_000 });
    const first = (await runNow(policyId)).body.run?.planId;
    await carriedOut(first, 3_600_000);
    // The second run finds the cluster as hot as it was.
    const second = (await runNow(policyId)).body.run?.planId;
    await carriedOut(second, 601_000);
    expect((await due(policyId))?.outcome).toBe("cooling-down");
    await carriedOut(second, 1_201_000);
    expect((await due(policyId))?.outcome).toBe("proposed");
  });

  test("but not where a person runs it, nor where a host is in danger", async () => {
    const { cluster, hot } = await hotCluster();
    const { policyId } = await policyOf(cluster, {
      goals: [{ goal: "evacuate" }],
      trigger: { type: "event", events: ["host.failing", "alert"] },
    });
    await carriedOut((await runNow(policyId, { hostId: hot.hostId })).body.run?.planId, 1000);
    const raised = async (type: string) => {
      const body = { cluster, type, hostId: hot.hostId };
      const answer = await call<{ policies: { run: { outcome: string } }[] }>("POST", "/v1/events", { body });
      return answer.body.policies[0]?.run.outcome;
    };
    expect(await raised("alert")).toBe("cooling-down");
    expect(await raised("host.failing")).toBe("proposed");
    expect((await runNow(policyId, { hostId: hot.hostId })).body.outcome).toBe("proposed");
  });
});

describe("moves that stop helping", () => {
  test("take the policy back to advise, with the reason in the run and in the audit log", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster, {
      mode: "approve-by-timeout",
      approveAfterMs: 3_600_000,
      alarm: { plans: 2 },
    });
    for (let executed = 0; executed < 2; executed++) {
      const { body } = await runNow(policyId);
      expect(body.run).toMatchObject({ outcome: "proposed", alarm: null });
      // The cluster is as hot as before.
      await carriedOut(body.run?.planId, 3_600_000);
    }
    const { body } = await runNow(policyId);
    expect(body.run).toMatchObject({
      outcome: "proposed",
      alarm: expect.stringContaining("The last 2 executed plans"),
    });
    expect((await call<PolicyView>("GET", `/v1/policies/${policyId}`)).body).toMatchObject({
      mode: "advise",
      version: 2,
    });
    expect(await planOf(body.run?.planId)).toMatchObject({ mode: "advise" });
    const [entry] = await auditOf(policyId);
    expect(entry).toMatchObject({
      action: "policy.demoted",
      actor: `policy:${policyId}`,
      reason: expect.stringMatching(/promised \w+ [\d.]+ → [\d.]+, and it was [\d.]+/),
    });
    expect((await runNow(policyId)).body.run?.alarm).toBeNull();
  });

  test("are not judged while loads have not settled, nor by plans of which moves were left out", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster, { alarm: { plans: 1 } });
    const { planId } = (await runNow(policyId)).body.run ?? {};
    await carriedOut(planId, 60_000);
    expect((await runNow(policyId)).body.run?.alarm).toBeNull();
    await carriedOut(planId, 3_600_000);
    await env.DB.prepare("UPDATE plans SET skipped = '[1]' WHERE id = ?").bind(planId).run();
    expect((await runNow(policyId)).body.run?.alarm).toBeNull();
    await env.DB.prepare("UPDATE plans SET skipped = '[]' WHERE id = ?").bind(planId).run();
    expect((await runNow(policyId)).body.run?.alarm).toContain("The last 1 executed plans");
  });
});

test("of plans that nobody approved the snapshots are forgotten after a day, and the plans after 90", async () => {
  const { cluster } = await hotCluster();
  const { policyId } = await policyOf(cluster, { shadowUntil: Date.now() + 3_600_000 });
  const { planId } = (await runNow(policyId)).body.run ?? {};
  const left = async (ageMs: number) => {
    const store = depsLater(ageMs).store.policyPlans;
    const now = Date.now() + ageMs;
    await store.forget({ plansBefore: now - 90 * 86_400_000, snapshotsBefore: now - 86_400_000 });
    return env.DB.prepare(
      "SELECT EXISTS (SELECT 1 FROM plan_inputs WHERE plan_id = plans.id) AS kept FROM plans WHERE id = ?",
    )
      .bind(planId)
      .first("kept");
  };
  expect(await left(3_600_000)).toBe(1);
  expect(await left(2 * 86_400_000)).toBe(0);
  expect(await left(91 * 86_400_000)).toBeNull();
});
