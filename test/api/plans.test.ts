import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import { call, tokenFor } from "../support/api.ts";
import { approve, world } from "../support/run-world.ts";

describe("a plan", () => {
  test("has a move with estimate, limits and reasons, and says what doing nothing means", async () => {
    const { plan, a, b, guest } = await world();
    expect(plan).toMatchObject({ state: "proposed", content: { goal: "evacuate" } });
    expect(plan.content.moves).toHaveLength(1);
    const [move] = plan.content.moves;
    expect(move).toMatchObject({ vm: guest.uuid, fromHostId: a.hostId, toHostId: b.hostId });
    expect(move?.reasons.length).toBeGreaterThan(1);
    expect(move?.estimate.totalMs.p50).toBeGreaterThan(0);
    expect(plan.content.doNothing.why).toMatch(/\d/);
  });

  test("that has nothing to do is done at once and says why, with numbers", async () => {
    const { cluster } = await world();
    const { body } = await call<Plan>("POST", "/v1/plans", { body: { cluster, goal: "balance" } });
    expect(body.state).toBe("done");
    expect(body.content.moves).toEqual([]);
    expect(body.content.summary).toMatch(/\d/);
    expect((await approve(body)).status).toBe(409);
  });

  test("names hosts with stale telemetry and moves nothing to or from them", async () => {
    const { cluster, a, b } = await world();
    await env.DB.prepare(
      "UPDATE host_state SET heard_at = heard_at - 120000 WHERE host_number = (SELECT number FROM hosts WHERE id = ?)",
    )
      .bind(b.hostId)
      .run();
    const { body } = await call<Plan>("POST", "/v1/plans", {
      body: { cluster, goal: "evacuate", parameters: { hostIds: [a.hostId] } },
    });
    expect(body.content.unknownHosts).toEqual([expect.objectContaining({ hostId: b.hostId })]);
    expect(body.content.moves).toEqual([]);
    expect(body.content.notMoved).toHaveLength(1);
  });

  test("of an unknown cluster, host or parameter is refused at its field", async () => {
    const { cluster } = await world();
    const path = async (body: unknown) => {
      const answer = await call<{ issues: { path: string }[] }>("POST", "/v1/plans", { body });
      return [answer.status, answer.body.issues[0]?.path];
    };
    expect(await path({ cluster: "nowhere", goal: "balance" })).toEqual([422, "cluster"]);
    expect(await path({ cluster, goal: "locality", parameters: { strategy: "sandpiper" } })).toEqual([
      422,
      "parameters.strategy",
    ]);
    expect((await path({ cluster, goal: "evacuate", parameters: { hostIds: ["ghost"] } }))[1]).toMatch(
      /^parameters\.hostIds/,
    );
    expect(await path({ cluster, goal: "balance", parameters: { hotRatio: 2 } })).toEqual([422, "parameters.hotRatio"]);
    expect(await path({ cluster, goal: "balance", parameters: { hot: 2 } })).toEqual([422, "parameters.hot"]);
  });

  test("of an evacuation that names no host, where none is in maintenance, says that there is nothing to do", async () => {
    const { cluster } = await world();
    const { status, body } = await call<Plan>("POST", "/v1/plans", { body: { cluster, goal: "evacuate" } });
    expect([status, body.state, body.content.moves]).toEqual([201, "done", []]);
    expect(body.content.summary).toContain("maintenance");
  });

  test("is approved only as it was seen, and only once", async () => {
    const { plan } = await world();
    const other = await approve(plan, "0".repeat(64));
    expect([other.status, (other.body as unknown as { type: string }).type]).toEqual([409, "/problems/plan-changed"]);
    const both = await Promise.all([approve(plan), approve(plan)]);
    expect(both.map((answer) => answer.status).filter((status) => status === 200)).toHaveLength(1);
    const runs = await call<{ items: unknown[] }>("GET", `/v1/migrations?planId=${plan.planId}`);
    expect(runs.body.items).toHaveLength(1);
  });

  test("is rejected with a reason and cannot be approved afterwards", async () => {
    const { plan } = await world();
    const reject = await call<Plan>("POST", `/v1/plans/${plan.planId}/reject`, { body: { reason: "not today" } });
    expect(reject.body).toMatchObject({ state: "rejected", reason: "not today" });
    expect((await approve(plan)).status).toBe(409);
  });

  test("whose only move is skipped has nothing to approve", async () => {
    const { plan } = await world();
    const skip = await call<Plan>("POST", `/v1/plans/${plan.planId}/moves/1/skip`, { body: { reason: "keep it" } });
    expect(skip.body.skipped).toEqual([1]);
    expect((await approve(plan)).status).toBe(409);
    expect((await call("POST", `/v1/plans/${plan.planId}/moves/9/skip`, { body: { reason: "x" } })).status).toBe(404);
  });

  test("past its time cannot be approved", async () => {
    const { plan } = await world();
    await env.DB.prepare("UPDATE plans SET expires_at = 1 WHERE id = ?").bind(plan.planId).run();
    expect((await approve(plan)).body).toMatchObject({ state: "expired" });
  });

  test("with a VM that another approved plan moves is refused, naming the VM", async () => {
    const first = await world();
    const second = await call<Plan>("POST", "/v1/plans", {
      body: { cluster: first.cluster, goal: "evacuate", parameters: { hostIds: [first.a.hostId] } },
    });
    expect((await approve(first.plan)).status).toBe(200);
    const refused = await approve(second.body);
    expect([refused.status, refused.body]).toEqual([409, expect.objectContaining({ vmUuids: [first.guest.uuid] })]);
  });

  test("needs the scope `approve`", async () => {
    const { plan } = await world();
    const token = await tokenFor(["plan", "read"]);
    expect(
      (await call("POST", `/v1/plans/${plan.planId}/approve`, { token, body: { contentHash: plan.contentHash } }))
        .status,
    ).toBe(403);
  });
});
