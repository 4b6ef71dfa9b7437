// Approvals by several, in real D1.
import { describe, expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { Principal, Scope } from "../../worker/model/principal.ts";
import type { ApprovalsView } from "../../worker/model/approval.ts";
import { HOUR_MS } from "../../worker/model/units.ts";
import { approvePlan } from "../../worker/services/plan-approvals.ts";
import { agentOf, type Answer, call, tokenFor, vm } from "../support/api.ts";
import { later, STILL } from "../support/webhooks.ts";
import { runOf, world } from "../support/run-world.ts";

type Told = Plan & { type: string; detail: string; approvers: string[] | null };

const setRule = (cluster: string, rule: object) => call("PUT", `/v1/approval-rules/${cluster}`, { body: rule });
const approve = (plan: Plan, token: string, more: object = {}): Promise<Answer<Told>> =>
  call("POST", `/v1/plans/${plan.planId}/approve`, { token, body: { contentHash: plan.contentHash, ...more } });
const approvalsOf = async ({ planId }: Plan) =>
  (await call<ApprovalsView>("GET", `/v1/plans/${planId}/approvals`)).body;

/** Somebody with a token of their own. */
async function person(...scopes: Scope[]): Promise<{ id: string; token: string }> {
  const { body } = await call<{ id: string; token: string }>("POST", "/v1/tokens", {
    body: { name: "person", scopes: ["read", "plan", "approve", ...scopes] },
  });
  return body;
}

describe("a plan that needs two", () => {
  test("begins with the second, and the first of somebody twice is one", async () => {
    const at = await world();
    await setRule(at.cluster, { needed: 2 });
    const [bob, carol] = [await person(), await person()];
    expect((await approve(at.plan, bob.token)).status).toBe(202);
    expect((await approve(at.plan, bob.token)).status).toBe(202);
    expect(await approvalsOf(at.plan)).toMatchObject({ missing: 1, given: [{ by: bob.id, counts: true }] });
    const { status, body } = await approve(at.plan, carol.token, { reason: "fine" });
    expect([status, body.state, body.decidedBy]).toEqual([200, "approved", carol.id]);
    expect(await runOf(at.plan)).toMatchObject({ state: expect.any(String) });
    expect(await approvalsOf(at.plan)).toMatchObject({ missing: 0, overriddenBy: null, given: [{}, { by: carol.id }] });
  });

  test("is told of at each step, in the log and to webhooks", async () => {
    const at = await world();
    await setRule(at.cluster, { needed: 2 });
    const [bob, carol] = [await person(), await person()];
    await approve(at.plan, bob.token, { reason: "looks right" });
    await approve(at.plan, carol.token);
    const { results } = await STILL.DB.prepare("SELECT type, data FROM outbox WHERE subject = ? ORDER BY sequence")
      .bind(at.plan.planId)
      .all<{ type: string; data: string }>();
    const events = results.map(({ type, data }) => ({ type, data: JSON.parse(data) as object }));
    expect(events.slice(0, 3)).toMatchObject([
      { type: "plan.proposed" },
      { type: "plan.approval-given", data: { by: bob.id, reason: "looks right", given: 1, needed: 2 } },
      { type: "plan.approved", data: { by: carol.id, override: false } },
    ]);
    const { body } = await call<{ items: { actor: string; action: string; subject: string }[] }>(
      "GET",
      "/v1/audit?limit=20",
    );
    const steps = body.items
      .filter(({ subject }) => subject === at.plan.planId)
      .map(({ actor, action }) => [actor, action]);
    expect(steps).toEqual([
      [carol.id, "plan.approved"],
      [bob.id, "plan.approval-given"],
      ["admin", "plan.created"],
    ]);
  });

  test("needs both anew when a move was left out meanwhile", async () => {
    const at = await world();
    await setRule(at.cluster, { needed: 2 });
    const [bob, carol] = [await person(), await person()];
    await approve(at.plan, bob.token);
    const stored = await later(0).store.plans.byId(at.plan.planId);
    if (stored === null) throw new Error("no plan");
    const entry = { actor: "test", action: "move.skipped", subject: at.plan.planId };
    // Another move than its only one: there would be nothing left to approve.
    await later(0).store.plans.setSkipped(stored, [99], Date.now(), entry);
    expect((await approve(at.plan, carol.token)).status).toBe(202);
    expect(await approvalsOf(at.plan)).toMatchObject({
      missing: 1,
      given: [{ by: bob.id, counts: false }, { counts: true }],
    });
    expect((await approve(at.plan, bob.token)).status).toBe(200);
  });

  test("does not count what was given too long ago", async () => {
    const at = await world();
    await setRule(at.cluster, { needed: 2, validMs: HOUR_MS });
    const [bob, carol] = [await person(), await person()];
    const { contentHash, planId } = at.plan;
    const as = (id: string): Principal => ({ id, name: id, scopes: ["approve"], hostId: null, cluster: null });
    await approvePlan(later(0), as(bob.id), planId, { contentHash });
    const late = later(HOUR_MS + 60_000);
    expect(await approvePlan(late, as(carol.id), planId, { contentHash })).toMatchObject({ state: "proposed" });
    expect(await approvePlan(late, as(bob.id), planId, { contentHash })).toMatchObject({ state: "approved" });
  });

  test("begins once when both come at the same moment", async () => {
    const at = await world();
    await setRule(at.cluster, { needed: 2 });
    const people = [await person(), await person()];
    const answers = await Promise.all(people.map(({ token }) => approve(at.plan, token)));
    expect(answers.map(({ status }) => status).every((status) => status === 200 || status === 202)).toBe(true);
    expect((await call<Plan>("GET", `/v1/plans/${at.plan.planId}`)).body.state).not.toBe("proposed");
    const { body } = await call<{ items: object[] }>("GET", `/v1/migrations?planId=${at.plan.planId}`);
    expect(body.items).toHaveLength(1);
  });
});

describe("who may approve", () => {
  test("is not who has asked for it, where the rule says so", async () => {
    const at = await world();
    await setRule(at.cluster, { selfPermitted: false });
    const [asker, other] = [await person(), await person()];
    const { body: plan } = await call<Plan>("POST", "/v1/plans", {
      token: asker.token,
      body: { cluster: at.cluster, goal: "evacuate", parameters: { hostIds: [at.a.hostId] } },
    });
    const { status, body } = await approve(plan, asker.token);
    expect([status, body.type]).toEqual([403, "/problems/may-not-approve"]);
    expect(body.detail).toContain("who has asked for it may not approve it");
    expect((await approve(plan, other.token)).status).toBe(200);
  });

  test("is one of those who are named", async () => {
    const at = await world();
    const [bob, mallory] = [await person(), await person()];
    await setRule(at.cluster, { from: [bob.id] });
    const { status, body } = await approve(at.plan, mallory.token);
    expect([status, body.approvers]).toEqual([403, [bob.id]]);
    expect((await approve(at.plan, bob.token)).status).toBe(200);
  });

  test("is no policy, unless the rule says so", async () => {
    const at = await world({ postCopyPermitted: false });
    const { planId, contentHash } = at.plan;
    const policy: Principal = { id: "policy:pol_x", name: "auto", scopes: ["approve"], hostId: null, cluster: null };
    const automatic = () => approvePlan(makeDeps(STILL), policy, planId, { contentHash, automatic: { leftOut: [] } });
    await setRule(at.cluster, { needed: 1 });
    await expect(automatic()).rejects.toMatchObject({ fault: { code: "may_not_approve" } });
    await setRule(at.cluster, { needed: 2, automaticPermitted: true });
    expect(await automatic()).toMatchObject({ state: "approved", decidedBy: "policy:pol_x" });
  });
});

describe("a policy", () => {
  test("may ask for more than its cluster, and who has made it may then not approve alone", async () => {
    const at = await world();
    const [maker, other] = [await person("operate"), await person()];
    const { body: policy } = await call<{ policyId: string; approvals: object }>("POST", "/v1/policies", {
      token: maker.token,
      body: {
        cluster: at.cluster,
        name: "drain",
        goals: [{ goal: "evacuate", parameters: { hostIds: [at.a.hostId] } }],
        trigger: { type: "interval", everyMs: HOUR_MS },
        shadowUntil: null,
        approvals: { selfPermitted: false },
      },
    });
    expect(policy.approvals).toMatchObject({ needed: 1, selfPermitted: false });
    const { body } = await call<{ run: { planId: string } }>("POST", `/v1/policies/${policy.policyId}/run`, {
      token: maker.token,
      body: {},
    });
    const { body: plan } = await call<Plan>("GET", `/v1/plans/${body.run.planId}`);
    expect(plan).toMatchObject({ state: "proposed", policyId: policy.policyId });
    expect((await approve(plan, maker.token)).body.type).toBe("/problems/may-not-approve");
    expect((await approve(plan, other.token)).status).toBe(200);
    const changed = await call(`PATCH`, `/v1/policies/${policy.policyId}`, { body: { approvals: null } });
    expect(changed.body).not.toHaveProperty("approvals");
  });
});

describe("an emergency", () => {
  test("needs a reason and the scope operate, and is said to be one", async () => {
    const at = await world();
    await setRule(at.cluster, { needed: 3 });
    const [ops, bob] = [await person("operate"), await person()];
    const fire = { override: true, reason: "fire in rack 3" };
    expect((await approve(at.plan, bob.token, fire)).status).toBe(403);
    expect((await approve(at.plan, ops.token, { override: true })).status).toBe(422);
    expect((await approve(at.plan, ops.token, fire)).status).toBe(200);
    expect(await approvalsOf(at.plan)).toMatchObject({ overriddenBy: ops.id, missing: 0 });
    const { body } = await call<{ items: { action: string; subject: string; reason: string }[] }>(
      "GET",
      "/v1/audit?limit=5",
    );
    expect(body.items.find(({ subject }) => subject === at.plan.planId)).toMatchObject({
      action: "plan.overridden",
      reason: "fire in rack 3",
    });
  });

  test("changes nothing about what was seen", async () => {
    const at = await world();
    const { status } = await call("POST", `/v1/plans/${at.plan.planId}/approve`, {
      body: { contentHash: "0".repeat(64), override: true, reason: "fire" },
    });
    expect(status).toBe(409);
  });
});

describe("some moves of a plan", () => {
  test("are approved, the others left out", async () => {
    const cluster = "some-moves";
    const guests = [vm(), vm(), vm()];
    const a = await agentOf(cluster, "some-a", guests);
    const b = await agentOf(cluster, "some-b", []);
    await a.load(2, Object.fromEntries(guests.map(({ uuid }) => [uuid, 0.5])));
    await b.load(1, {});
    const { body: plan } = await call<Plan>("POST", "/v1/plans", {
      body: { cluster, goal: "evacuate", parameters: { hostIds: [a.hostId] } },
    });
    expect(plan.content.moves).toHaveLength(3);
    const token = await tokenFor(["approve"]);
    expect((await approve(plan, token, { moves: [7] })).status).toBe(404);
    await call("POST", `/v1/plans/${plan.planId}/moves/1/skip`, { body: { reason: "not this one" } });
    const torn = await approve(plan, token, { moves: [1, 3] });
    expect([torn.status, torn.body.detail]).toEqual([422, expect.stringContaining("move 1 is left out already")]);
    const { status, body } = await approve(plan, token, { moves: [3] });
    expect([status, body.skipped]).toEqual([200, [1, 2]]);
    const { body: runs } = await call<{ items: { moveNumber: number }[] }>(
      "GET",
      `/v1/migrations?planId=${plan.planId}`,
    );
    expect(runs.items.map(({ moveNumber }) => moveNumber)).toEqual([3]);
  });
});

describe("the rule of a cluster", () => {
  test("is read, changed and taken away", async () => {
    expect((await call("GET", "/v1/approval-rules/none")).status).toBe(404);
    expect((await setRule("ruled", { needed: 2, from: ["a"] })).status).toBe(422);
    await setRule("ruled", { needed: 2 });
    expect((await call("GET", "/v1/approval-rules/ruled")).body).toMatchObject({
      rule: { needed: 2, selfPermitted: true, automaticPermitted: false },
      updatedBy: "admin",
    });
    expect((await call("DELETE", "/v1/approval-rules/ruled")).status).toBe(422);
    expect((await call("DELETE", "/v1/approval-rules/ruled?reason=over")).status).toBe(200);
    expect((await call("DELETE", "/v1/approval-rules/ruled?reason=over")).status).toBe(404);
  });
});
