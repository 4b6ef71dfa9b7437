import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { Freeze } from "../../worker/model/policy/freeze.ts";
import type { PolicyRun } from "../../worker/model/policy/run.ts";
import { approvePlan } from "../../worker/services/plan-approvals.ts";
import { advanceRun } from "../../worker/services/runs.ts";
import { makeDeps } from "../../worker/env.ts";
import { call } from "../support/api.ts";
import { auditOf, cron, hotCluster, policyBody, policyOf, runNow, runsOf } from "../support/policies.ts";
import { read, runOf, world } from "../support/run-world.ts";

type Refused = { type: string; issues?: { path: string; message: string }[]; moves?: { n: number; why: string }[] };

const freezeWith = async (cluster: string, fields: Record<string, unknown> = {}): Promise<Freeze> => {
  const made = await call<Freeze>("POST", "/v1/freezes", {
    body: { cluster, from: 1, reason: "quarter end", ...fields },
  });
  if (made.status !== 201) throw new Error(JSON.stringify(made.body));
  return made.body;
};

const ADMIN = { id: "admin", name: "admin", scopes: ["approve"], hostId: null, cluster: null } as const;

describe("a freeze", () => {
  test("is made, listed, changed and ended, each with who and why", async () => {
    const cluster = "frz-crud";
    const made = await freezeWith(cluster);
    const path = `/v1/freezes/${made.freezeId}`;
    expect((await call<{ items: Freeze[] }>("GET", `/v1/freezes?cluster=${cluster}`)).body.items).toEqual([made]);
    const changed = await call<Freeze>("PATCH", path, {
      body: { to: 5000, reason: "shorter" },
      headers: { "if-match": '"1"' },
    });
    expect(changed.body).toMatchObject({ to: 5000, version: 2 });
    expect((await call("PATCH", path, { body: { to: 6000 }, headers: { "if-match": '"1"' } })).status).toBe(412);
    expect((await call<Refused>("PATCH", path, { body: { to: 1 } })).body.issues?.[0]?.path).toBe("to");
    expect((await call<Freeze>("PATCH", path, { body: { to: null } })).body.to).toBeUndefined();
    expect((await call("DELETE", `${path}?reason=over`)).status).toBe(200);
    expect((await call("GET", path)).status).toBe(404);
    expect((await auditOf(made.freezeId)).map(({ action, reason }) => [action, reason])).toEqual([
      ["freeze.deleted", "over"],
      ["freeze.changed", "shorter"],
      ["freeze.changed", "shorter"],
      ["freeze.created", "quarter end"],
    ]);
  });

  test("of the cluster holds policies back and a person's approval too, until it is ended", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster);
    const plan = (await call<Plan>("GET", `/v1/plans/${(await runNow(policyId)).body.run?.planId}`)).body;
    const { freezeId } = await freezeWith(cluster);
    expect((await runNow(policyId)).body).toMatchObject({
      outcome: "frozen",
      summary: expect.stringContaining("quarter end"),
    });
    const approve = () =>
      call<Refused>("POST", `/v1/plans/${plan.planId}/approve`, { body: { contentHash: plan.contentHash } });
    const refused = await approve();
    expect([refused.status, refused.body.type]).toEqual([409, "/problems/frozen"]);
    expect(refused.body.moves?.[0]?.why).toContain(freezeId);
    await call("DELETE", `/v1/freezes/${freezeId}`);
    expect((await approve()).status).toBe(200);
  });

  test("by label holds the host with that label still, and no other", async () => {
    const { plan, a, guest, cluster } = await world();
    await a.put([guest], { labels: { rack: "r1" } });
    const other = await freezeWith(cluster, { scope: { labels: { rack: "r2" } } });
    await call("PATCH", `/v1/freezes/${other.freezeId}`, { body: { scope: { labels: { rack: "r1" } } } });
    const approve = () =>
      call<Refused>("POST", `/v1/plans/${plan.planId}/approve`, { body: { contentHash: plan.contentHash } });
    expect((await approve()).body.type).toBe("/problems/frozen");
    await call("PATCH", `/v1/freezes/${other.freezeId}`, { body: { scope: { labels: { rack: "r2" } } } });
    expect((await approve()).status).toBe(200);
  });

  test("is planned around where a policy approves at once", async () => {
    const { cluster, hot, guests } = await hotCluster();
    const [still] = guests.map(({ uuid }) => uuid);
    const body = { cluster, reason: "audit", from: Date.now() - 1, scope: { uuids: [still] } };
    const { freezeId } = (await call<{ freezeId: string }>("POST", "/v1/freezes", { body })).body;
    const goals = [{ goal: "evacuate", parameters: { hostIds: [hot.hostId] } }];
    const { policyId } = await policyOf(cluster, { mode: "auto", goals, budgets: { movesMaxPerHour: 3 } });
    const { outcome, summary, numbers } = (await runNow(policyId)).body;
    expect([outcome, numbers?.approved, numbers?.leftOut]).toEqual(["approved", [1, 2, 3], []]);
    expect(summary).toContain(`frozen by ${freezeId} (audit): 1 VMs, 0 hosts`);
  });

  test("that begins after the approval cancels what has not begun", async () => {
    const { plan, cluster } = await world();
    const still = {
      start: async () => undefined,
      ensure: async () => undefined,
      notify: async () => undefined,
    };
    const deps = { ...makeDeps(env), runs: still };
    await approvePlan(deps, ADMIN, plan.planId, { contentHash: plan.contentHash });
    const { migrationId } = await runOf(plan);
    await freezeWith(cluster);
    await advanceRun(deps, migrationId);
    expect(await read(migrationId)).toMatchObject({ state: "cancelled", failure: { reason: "frozen" } });
    expect((await call<Plan>("GET", `/v1/plans/${plan.planId}`)).body.state).toBe("cancelled");
  });
});

describe("an event", () => {
  type Started = { policies: { policyId: string; run: PolicyRun | null; why: string }[] };
  const raise = (body: Record<string, unknown>) => call<Started & Refused>("POST", "/v1/events", { body });

  const listening = async (fields: Record<string, unknown> = {}) => {
    const world = await hotCluster();
    const { policyId } = await policyOf(world.cluster, {
      goals: [{ goal: "evacuate" }],
      trigger: { type: "event", events: ["host.failing"] },
      ...fields,
    });
    return { ...world, policyId };
  };

  test("starts the policies that wait for it, and evacuates the host it names", async () => {
    const { cluster, hot, policyId } = await listening();
    const { status, body } = await raise({ cluster, type: "host.failing", hostId: hot.hostId, detail: "ECC errors" });
    expect(status).toBe(200);
    expect(body.policies).toMatchObject([{ policyId, run: { outcome: "proposed", trigger: { type: "event" } } }]);
    const plan = (await call<Plan>("GET", `/v1/plans/${body.policies[0]?.run?.planId}`)).body;
    expect(plan.content).toMatchObject({ goal: "evacuate", parameters: { hostIds: [hot.hostId] } });
    expect((await raise({ cluster, type: "host.hot", hostId: hot.hostId })).body.policies).toEqual([]);
    expect((await auditOf(hot.hostId)).map(({ action, reason }) => [action, reason])).toContainEqual([
      "event.raised",
      "ECC errors",
    ]);
  });

  test("that comes again within the gap starts nothing, however many send it; one with another key does", async () => {
    const { cluster, hot, cold, policyId } = await listening();
    const event = { cluster, type: "host.failing", hostId: hot.hostId };
    const answers = await Promise.all([raise(event), raise(event), raise(event)]);
    expect(answers.filter(({ body }) => body.policies[0]?.run !== null)).toHaveLength(1);
    await raise({ ...event, hostId: cold.hostId });
    await raise({ ...event, key: "other" });
    expect(await runsOf(policyId)).toHaveLength(3);
  });

  test("that comes within the minimum interval waits, and Cron runs it afterwards", async () => {
    const { cluster, hot, cold, policyId } = await listening({ minIntervalMs: 3_600_000 });
    await raise({ cluster, type: "host.failing", hostId: hot.hostId });
    const { body } = await raise({ cluster, type: "host.failing", hostId: cold.hostId });
    expect(body.policies[0]).toMatchObject({
      run: { startedAt: null, outcome: null },
      why: expect.stringContaining("Waits"),
    });
    await cron();
    expect((await runsOf(policyId))[0]?.startedAt).toBeNull();
    await env.DB.batch([
      env.DB.prepare("UPDATE policies SET last_started_at = 1 WHERE id = ?").bind(policyId),
      env.DB.prepare("UPDATE policy_runs SET due_at = 1 WHERE policy_id = ? AND started_at IS NULL").bind(policyId),
    ]);
    await cron();
    expect((await runsOf(policyId))[0]).toMatchObject({ outcome: expect.any(String), endedAt: expect.any(Number) });
  });

  test("is seen by Cron: a host over its threshold runs what waits for it, once within the gap", async () => {
    const { cluster, hot } = await hotCluster();
    const { policyId } = await policyOf(cluster, { trigger: { type: "event", events: ["host.hot", "host.failing"] } });
    await cron();
    expect((await runsOf(policyId))[0]?.outcome).toBe("proposed");
    await cron();
    expect(await runsOf(policyId)).toMatchObject([
      {
        trigger: { type: "event", event: { type: "host.hot", hostId: hot.hostId, detail: expect.any(String) } },
        outcome: "proposed",
      },
    ]);
  });

  test("is a maintenance that begins, and not one that is changed", async () => {
    const { cluster, hot, policyId } = await listening({
      trigger: { type: "event", events: ["host.maintenance"], gapMs: 0 },
    });
    const maintain = (reason: string) => call("POST", `/v1/hosts/${hot.hostId}/maintenance`, { body: { reason } });
    await maintain("new DIMMs");
    await maintain("new DIMMs, and a disk");
    await cron();
    const runs = await runsOf(policyId);
    expect(runs).toMatchObject([
      { trigger: { event: { cluster, hostId: hot.hostId, detail: "new DIMMs" } }, outcome: "proposed" },
    ]);
    expect((await call<Plan>("GET", `/v1/plans/${runs[0]?.planId}`)).body.content.parameters.hostIds).toEqual([
      hot.hostId,
    ]);
  });

  test("of a host that is not in the cluster is refused", async () => {
    const { cluster } = await listening();
    expect((await raise({ cluster, type: "host.failing", hostId: "ghost" })).body.issues?.[0]?.path).toBe("hostId");
    expect((await raise({ cluster, type: "host.failing" })).body.issues?.[0]?.path).toBe("hostId");
    expect((await raise({ cluster, type: "host.sad", hostId: "x" })).body.issues?.[0]?.path).toBe("type");
  });
});

describe("bad input is refused at its place", () => {
  test("in a policy", async () => {
    const { cluster, cold } = await hotCluster();
    const cases: [Record<string, unknown>, string][] = [
      [{ trigger: { type: "cron", expression: "0 9 * * *", timeZone: "Mars/Olympus" } }, "trigger.timeZone"],
      [{ trigger: { type: "cron", expression: "0 0 30 2 *" } }, "trigger.expression"],
      [{ trigger: { type: "cron", expression: "61 * * * *" } }, "trigger.expression"],
      [{ trigger: { type: "interval", everyMs: 1000 } }, "trigger.everyMs"],
      [{ trigger: { type: "event", events: ["alert", "alert"] } }, "trigger.events.1"],
      [{ goals: [{ goal: "levitate" }] }, "goals.0.goal"],
      [{ goals: [] }, "goals"],
      [{ goals: [{ goal: "balance", strategy: "magic" }] }, "goals.0.strategy"],
      [{ goals: [{ goal: "balance", parameters: { hostIds: [cold.hostId] } }] }, "goals.0.parameters.hostIds"],
      [
        { goals: [{ goal: "balance", parameters: { scope: { vms: { labels: { tier: "web" } } } } }] },
        "goals.0.parameters.scope",
      ],
      [{ cooldownMs: -1 }, "cooldownMs"],
      [{ goals: [{ goal: "evacuate", parameters: { hostIds: ["ghost"] } }] }, "goals.0.parameters.hostIds.0"],
      [
        { goals: [{ goal: "balance" }, { goal: "balance", parameters: { hotRatio: 2 } }] },
        "goals.1.parameters.hotRatio",
      ],
      [
        { mode: "auto", goals: [{ goal: "balance", parameters: { mechanisms: ["hybrid"] } }] },
        "goals.0.parameters.mechanisms",
      ],
      [{ mode: "approve-by-timeout" }, "approveAfterMs"],
      [{ windows: [{ timeZone: "UTC", days: ["mon"], from: "09:00", to: "09:00" }] }, "windows.0.to"],
      [{ windows: [{ timeZone: "Nowhere", days: ["mon"], from: "09:00", to: "10:00" }] }, "windows.0.timeZone"],
      [{ scope: { hosts: { hostIds: [cold.hostId], exceptHostIds: [cold.hostId] } } }, "scope.hosts.exceptHostIds.0"],
      [{ budgets: { movesMaxPerHour: -1 } }, "budgets.movesMaxPerHour"],
      [{ cluster: "nowhere" }, "cluster"],
      [{ colour: "red" }, "colour"],
    ];
    for (const [fields, path] of cases) {
      const { status, body } = await call<Refused>("POST", "/v1/policies", { body: policyBody(cluster, fields) });
      expect([status, body.issues?.map((issue) => issue.path)]).toEqual([422, expect.arrayContaining([path])]);
    }
  });

  test("in a change, which is judged with what it leaves as it is", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster);
    const path = async (body: unknown) =>
      (await call<Refused>("PATCH", `/v1/policies/${policyId}`, { body })).body.issues?.[0]?.path;
    expect(await path({ mode: "approve-by-timeout" })).toBe("approveAfterMs");
    expect(await path({ cluster: "other" })).toBe("cluster");
    expect(await path({ name: null })).toBe("name");
    expect(await path({ goals: [{ goal: "evacuate", parameters: { hostIds: ["ghost"] } }] })).toBe(
      "goals.0.parameters.hostIds.0",
    );
  });
});
