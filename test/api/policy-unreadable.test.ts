import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { PolicyView } from "../../worker/model/policy/view.ts";
import { call } from "../support/api.ts";
import { auditOf, cron, hotCluster, policyOf, runNow, runsOf } from "../support/policies.ts";

type Problem = { type: string; detail: string; advice: string };
type Listed = { items: { policyId: string; unreadable?: string; name: string }[]; next: string | null };
type Status = { policies: { enabled: number; unreadable: { policyId: string; why: string }[] } };

const store = (policyId: string, definition: string) =>
  env.DB.prepare("UPDATE policies SET definition = ? WHERE id = ?").bind(definition, policyId).run();

/** A policy of which an older version, or a broken one, has written what this one cannot read. */
async function broken(definition?: string, fields: Record<string, unknown> = {}) {
  const { cluster } = await hotCluster();
  const made = await policyOf(cluster, fields);
  const { results } = await env.DB.prepare("SELECT definition FROM policies WHERE id = ?")
    .bind(made.policyId)
    .all<{ definition: string }>();
  const stored = JSON.parse(results[0]?.definition ?? "{}") as Record<string, unknown>;
  await store(made.policyId, definition ?? JSON.stringify({ ...stored, mode: "sometimes", colour: "blue" }));
  return { cluster, policyId: made.policyId, path: `/v1/policies/${made.policyId}` };
}

describe.each([
  ["that is no JSON", "{"],
  ["that is no object", "7"],
  ["whose fields do not fit", undefined],
])("a stored policy %s", (_, definition) => {
  test("is told of when it is read, with what to do, and listed beside the others", async () => {
    const { cluster, policyId, path } = await broken(definition);
    const good = await policyOf(cluster, { name: "good" });
    const { status, body } = await call<Problem>("GET", path);
    expect([status, body.type]).toEqual([409, "/problems/unreadable-policy"]);
    expect(body.detail).toContain(definition === undefined ? "mode: " : "definition: ");
    expect(body.advice).toMatch(/PATCH .*DELETE/);
    const list = await call<Listed>("GET", `/v1/policies?cluster=${cluster}`);
    expect(list.status).toBe(200);
    expect(list.body.items.map((item) => [item.policyId, item.name, item.unreadable === undefined])).toEqual([
      [policyId, "balance", false],
      [good.policyId, "good", true],
    ]);
    expect((await call("GET", `${path}/runs`)).status).toBe(200);
    expect((await call("GET", `${path}/scoreboard`)).status).toBe(200);
    expect((await call("POST", `${path}/pause`, { body: { reason: "r" } })).status).toBe(409);
    expect((await call("POST", `${path}/run`, { body: {} })).status).toBe(409);
  });

  test("is deleted like any other", async () => {
    const { policyId, path } = await broken(definition);
    expect((await call("DELETE", path, { headers: { "if-match": '"7"' } })).status).toBe(412);
    expect((await call("DELETE", path)).status).toBe(200);
    expect((await call("GET", path)).status).toBe(404);
    expect((await auditOf(policyId)).map(({ action }) => action)).toEqual(["policy.deleted", "policy.created"]);
  });
});

describe("a policy that cannot be read", () => {
  test("is whole again when the fields that do not fit are given anew", async () => {
    const { cluster, path } = await broken();
    expect((await call("PATCH", path, { body: { name: "other" } })).status).toBe(422);
    const { status, body } = await call<PolicyView>("PATCH", path, { body: { mode: "advise" } });
    expect(status).toBe(200);
    expect(body).toMatchObject({ mode: "advise", name: "balance", cluster, version: 2 });
    expect((await call<PolicyView>("GET", path)).body).toEqual(body);
  });

  test("does not run, stops no other, and is told of in the status", async () => {
    const { policyId, path } = await broken();
    const good = await policyOf((await hotCluster()).cluster);
    await cron();
    await cron();
    expect(await runsOf(policyId)).toEqual([]);
    expect(await runsOf(good.policyId)).toMatchObject([{ outcome: "proposed" }]);
    const { body } = await call<Status>("GET", "/v1/status");
    expect(body.policies.unreadable).toContainEqual({ policyId, why: expect.stringContaining("mode: ") });
    await call("DELETE", path);
    expect((await call<Status>("GET", "/v1/status")).body.policies.unreadable.map((one) => one.policyId)).not.toContain(
      policyId,
    );
  });

  test("ends what waited to run, and has none of its plans approved", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster, { mode: "approve-by-timeout", approveAfterMs: 60_000 });
    const first = await runNow(policyId);
    const { body: plan } = await call<Plan>("GET", `/v1/plans/${first.body.run?.planId}`);
    expect(plan.state).toBe("proposed");
    await env.DB.batch([
      env.DB.prepare("UPDATE plans SET created_at = created_at - 3600000 WHERE id = ?").bind(plan.planId),
      env.DB.prepare(
        "INSERT INTO policy_runs (id, policy_id, cluster, due_key, trigger, created_at, due_at) VALUES (?, ?, ?, 'x', ?, 1, 1)",
      ).bind(`prn_${cluster}`, policyId, cluster, JSON.stringify({ type: "interval" })),
    ]);
    await store(policyId, "{}");
    await cron();
    expect(await runsOf(policyId)).toContainEqual(
      expect.objectContaining({
        runId: `prn_${cluster}`,
        outcome: "failed",
        summary: expect.stringContaining("cannot be read"),
      }),
    );
    expect((await call<Plan>("GET", `/v1/plans/${plan.planId}`)).body.state).toBe("proposed");
    const refused = await call<Problem>("POST", `/v1/plans/${plan.planId}/approve`, {
      body: { contentHash: plan.contentHash },
    });
    expect([refused.status, refused.body.type]).toEqual([409, "/problems/unreadable-policy"]);
  });
});
