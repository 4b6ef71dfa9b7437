// Stopping what is under way, and planning anew what a failed move has left.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { StoppedRun } from "../../worker/model/run.ts";
import { agentOf, call, eventually, vm } from "../support/api.ts";
import { approve, commandFor, OUTCOME, read, runOf, toPreCopying, type World, world } from "../support/run-world.ts";

const planOf = async ({ planId }: Plan) => (await call<Plan>("GET", `/v1/plans/${planId}`)).body;
type Cancelled = { plan: Plan; migrations: StoppedRun[] };
const cancel = ({ planId }: Plan) =>
  call<Cancelled>("POST", `/v1/plans/${planId}/cancel`, { body: { reason: "not today" } });
type Stopped = { freezes: { freezeId: string; cluster: string }[]; cancelledPlans: string[]; migrations: StoppedRun[] };
const stop = (cluster: string, more = {}) =>
  call<Stopped>("POST", "/v1/stop", { body: { cluster, reason: "fire drill", ...more } });

async function toResuming(at: World): Promise<string> {
  const { migrationId } = await toPreCopying(at);
  await at.a.report(migrationId, { type: "switched", side: "source", postCopy: true });
  await at.b.report(migrationId, { type: "switched", side: "destination", postCopy: true });
  expect((await read(migrationId)).state).toBe("resuming");
  return migrationId;
}

describe("a plan is cancelled", () => {
  test("before anything has begun: its run ends at once, and a second time there is nothing to cancel", async () => {
    const { plan } = await world();
    expect(await cancel(plan)).toMatchObject({ status: 409, body: { type: expect.stringContaining("illegal-state") } });
    await approve(plan);
    const { status, body } = await cancel(plan);
    expect([status, body.plan.state]).toEqual([200, "cancelled"]);
    expect(body.migrations).toMatchObject([{ effect: "cancelled", state: "cancelled" }]);
    expect(await runOf(plan)).toMatchObject({ state: "cancelled", failure: { reason: "plan-cancelled" } });
    expect((await cancel(plan)).status).toBe(409);
  });

  test("while it copies: the source is asked, and its answer ends the run", async () => {
    const at = await world();
    const { migrationId } = await toPreCopying(at);
    const { body } = await cancel(at.plan);
    expect(body.migrations).toMatchObject([{ migrationId, effect: "asked", state: "pre-copying" }]);
    const command = await commandFor(at.a, { [at.guest.uuid]: "running" }, "migration.cancel");
    await at.a.report(migrationId, {
      type: "cancelled",
      commandId: command.id,
      reason: "command",
      detail: "as told",
      vmState: "running",
    });
    expect((await read(migrationId)).state).toBe("cancelled");
    expect((await planOf(at.plan)).state).toBe("cancelled");
  });

  test("past the point of no return: the run goes on, which is said, and ends well", async () => {
    const at = await world();
    const migrationId = await toResuming(at);
    const { body } = await cancel(at.plan);
    expect(body.migrations).toMatchObject([{ migrationId, effect: "runs-on", state: "resuming" }]);
    expect(body.migrations[0]?.detail).toContain("would lose it");
    await at.a.report(migrationId, { type: "completed", outcome: OUTCOME });
    expect((await read(migrationId)).state).toBe("verifying");
    expect((await planOf(at.plan)).state).toBe("cancelled");
  });
});

describe("a run that copies", () => {
  test("is asked to cancel by one command until that has expired, then by another", async () => {
    const w = await world();
    const { migrationId } = await toPreCopying(w);
    const cancelled = async (reason: string): Promise<string> => {
      await call("POST", `/v1/migrations/${migrationId}/cancel`, { body: { reason } });
      return (await commandFor(w.a, { [w.guest.uuid]: "running" }, "migration.cancel")).id;
    };
    const first = await cancelled("once");
    expect(await cancelled("twice")).toBe(first);
    await env.DB.prepare("UPDATE commands SET expires_at = issued_at WHERE id = ?").bind(first).run();
    const second = await cancelled("the agent was away");
    expect([first, second]).toEqual([`${migrationId}-cancel-source-1`, `${migrationId}-cancel-source-2`]);
  });
});

describe("POST /v1/stop", () => {
  test("freezes the cluster, cancels its plans and tells what goes on; pressed again it needs no second freeze", async () => {
    const [copying, other] = [await world(), await world()];
    await toPreCopying(copying);
    await approve(other.plan);
    const first = await stop(copying.cluster);
    expect(first).toMatchObject({
      status: 200,
      body: {
        freezes: [{ cluster: copying.cluster }],
        cancelledPlans: [copying.plan.planId],
        migrations: [{ effect: "asked" }],
      },
    });
    const again = await stop(copying.cluster);
    expect(again.body).toMatchObject({ freezes: first.body.freezes, cancelledPlans: [] });
    expect((await planOf(other.plan)).state).toMatch(/approved|executing/);
    const made = await call<Plan>("POST", "/v1/plans", {
      body: { cluster: copying.cluster, goal: "evacuate", parameters: { hostIds: [copying.a.hostId] } },
    });
    expect(made.status).toBe(201);
    const refused = await approve(made.body);
    expect(refused.status).toBe(409);
  });

  test("says of a post-copy that it goes on, and why", async () => {
    const at = await world();
    const migrationId = await toResuming(at);
    const { body } = await stop(at.cluster, { until: Date.now() + 60_000 });
    expect(body.migrations).toMatchObject([{ migrationId, effect: "runs-on", state: "resuming" }]);
    expect((await read(migrationId)).state).toBe("resuming");
  });

  test("until a time that is past is refused: it would hold nothing", async () => {
    const at = await world();
    expect(await stop(at.cluster, { until: Date.now() - 1 })).toMatchObject({
      status: 422,
      body: { issues: [{ path: "until" }] },
    });
    expect((await approve(at.plan)).status).toBe(200);
  });

  test("of a cluster that nobody knows is refused, and without a reason too", async () => {
    expect((await stop("nowhere")).status).toBe(422);
    expect((await call("POST", "/v1/stop", { body: {} })).status).toBe(422);
    expect((await call("POST", "/v1/stop", { body: { reason: "x" }, token: "drv_no" })).status).toBe(401);
  });
});

describe("a failed move of a plan that is to be planned anew", () => {
  const failAt = async (at: World, onFailure: "stop" | "replan") => {
    const { planId, contentHash } = at.plan;
    await call("POST", `/v1/plans/${planId}/approve`, { body: { contentHash, onFailure } });
    const run = await runOf(at.plan);
    const prepare = await commandFor(at.b, {}, "migration.prepare");
    const refusal = { type: "refused" as const, commandId: prepare.id, reason: "preflight", detail: "no such pool" };
    await at.b.report(run.migrationId, refusal);
    await eventually(
      () => planOf(at.plan),
      ({ state }) => state === "failed",
    );
  };
  const plansOf = async (cluster: string) =>
    (await call<{ items: Plan[] }>("GET", `/v1/plans?cluster=${cluster}`)).body.items;

  test("leads to a proposal, for it would be the same move again; where it is to stop, to nothing", async () => {
    const [replanned, stopped] = [await world(), await world()];
    await failAt(stopped, "stop");
    await failAt(replanned, "replan");
    const plans = await eventually(
      () => plansOf(replanned.cluster),
      ({ length }) => length === 2,
    );
    expect(plans[0]).toMatchObject({ state: "proposed", replans: replanned.plan.planId });
    type Entry = { action: string; subject: string; detail: { beyond: { why: string }[] } };
    const { body } = await call<{ items: Entry[] }>("GET", "/v1/audit");
    const entry = body.items.find(({ action, subject }) => action === "plan.replanned" && subject === plans[0]?.planId);
    expect(entry?.detail.beyond).toMatchObject([{ n: 1, why: expect.stringContaining("failed") }]);
    expect(await plansOf(stopped.cluster)).toHaveLength(1);
  });

  test("lets the rest go on by itself where it lies within the approval", async () => {
    const cluster = "replan-rest";
    const guests = [vm({ name: "first" }), vm({ name: "second" })];
    const a = await agentOf(cluster, `${cluster}-a`, guests);
    const b = await agentOf(cluster, `${cluster}-b`, []);
    await a.load(2, Object.fromEntries(guests.map(({ uuid }) => [uuid, 0.5])));
    await b.load(1, {});
    const { body: plan } = await call<Plan>("POST", "/v1/plans", {
      body: { cluster, goal: "evacuate", parameters: { hostIds: [a.hostId], concurrencyPerHost: 1 } },
    });
    expect(plan.content.moves).toHaveLength(2);
    const { planId, contentHash } = plan;
    await call("POST", `/v1/plans/${planId}/approve`, { body: { contentHash, onFailure: "replan" } });
    const states = Object.fromEntries(guests.map(({ uuid }) => [uuid, "running"]));
    await a.beat(states);
    const prepare = await commandFor(b, {}, "migration.prepare");
    const failing = await read(prepare.migrationId);
    // Somebody shuts it down meanwhile: what is left is one move that was approved and has not begun.
    const left = guests.filter(({ uuid }) => uuid !== failing.vmUuid);
    await a.put(left);
    await a.beat(Object.fromEntries(left.map(({ uuid }) => [uuid, "running"])));
    const refusal = { type: "refused" as const, commandId: prepare.id, reason: "preflight", detail: "no such pool" };
    await b.report(failing.migrationId, refusal);
    const next = await eventually(
      async () => (await plansOf(cluster)).find(({ replans }) => replans === planId),
      (found) => found?.state === "approved" || found?.state === "executing",
    );
    expect(next).toMatchObject({ onFailure: "replan", reason: `within the approval of ${planId}` });
    expect(await runOf(next as Plan)).toMatchObject({ vmUuid: left[0]?.uuid, toHostId: b.hostId });
  });
});
