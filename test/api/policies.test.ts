import { describe, expect, test } from "vitest";
import type { Plan } from "../../worker/model/plan.ts";
import type { PolicyView } from "../../worker/model/policy/view.ts";
import { agentOf, call, tokenFor, vm } from "../support/api.ts";
import { auditOf, hotCluster, policyBody, policyOf, runNow, runsOf } from "../support/policies.ts";

type Refused = { type: string; issues?: { path: string; message: string }[]; anyOf?: string[] };

describe("a policy", () => {
  test("is in shadow for its first seven days unless told otherwise, and says so", async () => {
    const { cluster } = await hotCluster();
    const body = policyBody(cluster, { shadowUntil: undefined });
    const made = await call<PolicyView>("POST", "/v1/policies", { body });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ mode: "advise", effectiveMode: "shadow", version: 1, enabled: true });
    expect((made.body.shadowUntil ?? 0) - made.body.createdAt).toBe(7 * 86_400_000);
    expect(made.body.notes.join()).toMatch(/In shadow until \d{4}-.*shadowUntil/);
    expect(made.headers.get("etag")).toBe('"1"');
    const live = await policyOf(cluster, { name: "live", shadowUntil: null });
    expect(live).toMatchObject({ effectiveMode: "advise", notes: [] });
    expect(live.nextDueAt).toBe(live.createdAt + 60_000);
  });

  test("by cron is due when a clock of its zone says so", async () => {
    const { cluster } = await hotCluster();
    const trigger = { type: "cron", expression: "30 9 * * 1-5", timeZone: "America/St_Johns" };
    const { nextDueAt } = await policyOf(cluster, { trigger });
    const shown = new Intl.DateTimeFormat("en-GB", { timeZone: trigger.timeZone, timeStyle: "short" });
    expect(shown.format(nextDueAt ?? 0)).toBe("09:30");
  });

  test("is listed by cluster, read, changed and deleted, each change with who and why", async () => {
    const { cluster } = await hotCluster();
    const first = await policyOf(cluster);
    const second = await policyOf(cluster, { name: "second" });
    const page = await call<{ items: PolicyView[]; next: string | null }>(
      "GET",
      `/v1/policies?cluster=${cluster}&limit=1`,
    );
    expect([page.body.items.map(({ policyId }) => policyId), page.body.next]).toEqual([
      [first.policyId],
      first.policyId,
    ]);
    const rest = await call<{ items: PolicyView[] }>("GET", `/v1/policies?cluster=${cluster}&after=${first.policyId}`);
    expect(rest.body.items).toEqual([second]);
    const path = `/v1/policies/${first.policyId}`;
    const scope = { vms: { labels: { tier: "web" } } };
    const changed = await call<PolicyView>("PATCH", path, {
      body: { scope, budgets: { movesMaxPerDay: 3 }, reason: "r1" },
    });
    expect(changed.body).toMatchObject({ version: 2, scope, budgets: { movesMaxPerDay: 3 }, name: "balance" });
    const cleared = await call<PolicyView>("PATCH", path, { body: { scope: null } });
    expect(cleared.body.scope).toBeUndefined();
    expect((await call<PolicyView>("GET", path)).body).toEqual(cleared.body);
    expect((await call("DELETE", `${path}?reason=over`)).status).toBe(200);
    expect((await call("GET", path)).status).toBe(404);
    expect((await call("GET", `${path}/runs`)).status).toBe(404);
    const entries = await auditOf(first.policyId);
    expect(entries.map(({ action, reason }) => [action, reason])).toEqual([
      ["policy.deleted", "over"],
      ["policy.changed", null],
      ["policy.changed", "r1"],
      ["policy.created", null],
    ]);
  });

  test("is changed only from the version that was seen, where the caller says which", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster);
    const path = `/v1/policies/${policyId}`;
    const change = (version: string) =>
      call<Refused>("PATCH", path, { body: { name: `n${version}` }, headers: { "if-match": version } });
    expect((await change('"1"')).status).toBe(200);
    const stale = await change('"1"');
    expect([stale.status, stale.body.type]).toEqual([412, "/problems/changed-meanwhile"]);
    expect((await call("DELETE", path, { headers: { "if-match": '"1"' } })).status).toBe(412);
    expect((await change("x")).body.issues?.[0]?.path).toBe("If-Match");
  });

  test("has a name of its own in its cluster", async () => {
    const { cluster } = await hotCluster();
    await policyOf(cluster);
    const other = await policyOf(cluster, { name: "other" });
    const again = await call<Refused>("POST", "/v1/policies", { body: policyBody(cluster) });
    expect([again.status, again.body.type]).toEqual([409, "/problems/name-taken"]);
    expect((await call("PATCH", `/v1/policies/${other.policyId}`, { body: { name: "balance" } })).status).toBe(409);
  });

  test("is made once for one Idempotency-Key", async () => {
    const { cluster } = await hotCluster();
    const send = () =>
      call<PolicyView>("POST", "/v1/policies", {
        body: policyBody(cluster),
        headers: { "idempotency-key": `k-${cluster}` },
      });
    const [first, second] = [await send(), await send()];
    expect(second.body.policyId).toBe(first.body.policyId);
    expect(second.headers.get("idempotency-replayed")).toBe("true");
  });

  test("that approves by itself is made only by who may approve", async () => {
    const { cluster } = await hotCluster();
    const operate = await tokenFor(["operate", "read"]);
    const as = (method: string, path: string, body: unknown) => call<Refused>(method, path, { token: operate, body });
    const auto = policyBody(cluster, { mode: "auto" });
    expect((await as("POST", "/v1/policies", auto)).body.anyOf).toEqual(["approve"]);
    const { policyId } = await policyOf(cluster);
    expect((await as("PATCH", `/v1/policies/${policyId}`, { mode: "auto" })).status).toBe(403);
    expect((await as("PATCH", `/v1/policies/${policyId}`, { name: "renamed" })).status).toBe(200);
    const live = await policyOf(cluster, { name: "auto", mode: "auto" });
    expect((await as("PATCH", `/v1/policies/${live.policyId}`, { budgets: {} })).status).toBe(403);
    expect((await as("POST", `/v1/policies/${live.policyId}/pause`, { reason: "stop" })).status).toBe(200);
    expect((await as("POST", `/v1/policies/${live.policyId}/resume`, { reason: "go" })).status).toBe(403);
    const reader = await tokenFor(["read", "plan", "approve"]);
    expect((await call("POST", "/v1/policies", { token: reader, body: policyBody(cluster) })).status).toBe(403);
  });

  test("that is paused does not run, and is resumed without making up for what was missed", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster);
    const paused = await call<PolicyView>("POST", `/v1/policies/${policyId}/pause`, { body: { reason: "backup" } });
    expect(paused.body).toMatchObject({ enabled: false, nextDueAt: null, version: 2 });
    expect(paused.body.notes[0]).toMatch(/Paused/);
    expect((await runNow(policyId)).status).toBe(409);
    expect((await runNow(policyId, { dryRun: true })).status).toBe(200);
    const resumed = await call<PolicyView>("POST", `/v1/policies/${policyId}/resume`, { body: { reason: "done" } });
    expect(resumed.body).toMatchObject({ enabled: true, version: 3 });
    expect((await auditOf(policyId)).map(({ action, reason }) => [action, reason]).slice(0, 2)).toEqual([
      ["policy.resumed", "done"],
      ["policy.paused", "backup"],
    ]);
  });
});

describe("a run", () => {
  test("dry: answers the plan and stores nothing", async () => {
    const { cluster, hot } = await hotCluster();
    const { policyId } = await policyOf(cluster);
    const { status, body } = await runNow(policyId, { dryRun: true });
    expect(status).toBe(200);
    expect(body).toMatchObject({ dryRun: true, outcome: "proposed", run: null });
    expect(body.content?.moves.length).toBeGreaterThan(0);
    expect(body.content?.moves[0]?.fromHostId).toBe(hot.hostId);
    expect(await runsOf(policyId)).toEqual([]);
    expect((await call<{ items: unknown[] }>("GET", `/v1/plans?cluster=${cluster}`)).body.items).toEqual([]);
  });

  test("in advise: proposes a plan that a person approves as any other", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster);
    const { body } = await runNow(policyId, { reason: "look" });
    expect(body).toMatchObject({ dryRun: false, outcome: "proposed" });
    expect(body.run).toMatchObject({ mode: "advise", trigger: { type: "manual", by: "admin", reason: "look" } });
    const plan = (await call<Plan>("GET", `/v1/plans/${body.run?.planId}`)).body;
    expect(plan).toMatchObject({ state: "proposed", policyId, mode: "advise", createdBy: `policy:${policyId}` });
    const approved = await call<Plan>("POST", `/v1/plans/${plan.planId}/approve`, {
      body: { contentHash: plan.contentHash },
    });
    expect(approved.body).toMatchObject({ state: "approved", decidedBy: "admin" });
    expect((await runNow(policyId)).body).toMatchObject({ outcome: "nothing-to-do" });
  });

  test("that comes to the same moves keeps the plan that stands; one that does not, supersedes it", async () => {
    const { cluster, hot, cold, guests } = await hotCluster();
    const { policyId } = await policyOf(cluster);
    const planIdOf = async () => (await runNow(policyId)).body.run?.planId;
    const first = await planIdOf();
    expect(await planIdOf()).toBe(first);
    await call("PATCH", `/v1/policies/${policyId}`, {
      body: { goals: [{ goal: "evacuate", parameters: { hostIds: [hot.hostId] } }] },
    });
    const second = await planIdOf();
    expect(second).not.toBe(first);
    expect((await call<Plan>("GET", `/v1/plans/${first}`)).body.state).toBe("superseded");
    await hot.put([]);
    await cold.put(guests);
    expect(await runNow(policyId)).toMatchObject({ body: { outcome: "nothing-to-do", run: { planId: null } } });
    expect((await call<Plan>("GET", `/v1/plans/${second}`)).body.state).toBe("superseded");
  });

  test("takes the first goal that has something to do", async () => {
    const { cluster, cold } = await hotCluster();
    const { policyId } = await policyOf(cluster, {
      goals: [{ goal: "evacuate", parameters: { hostIds: [cold.hostId] } }, { goal: "balance" }],
    });
    expect((await runNow(policyId, { dryRun: true })).body.content?.goal).toBe("balance");
  });

  test("in shadow: keeps a plan that nobody can approve, reject or change", async () => {
    const { cluster } = await hotCluster();
    const { policyId } = await policyOf(cluster, { shadowUntil: Date.now() + 3_600_000 });
    const { body } = await runNow(policyId);
    expect(body).toMatchObject({ outcome: "shadowed", run: { mode: "shadow" } });
    const plan = (await call<Plan>("GET", `/v1/plans/${body.run?.planId}`)).body;
    expect(plan).toMatchObject({ mode: "shadow", policyId, state: "expired", endedAt: expect.any(Number) });
    for (const [verb, sent] of [
      ["approve", { contentHash: plan.contentHash }],
      ["reject", { reason: "x" }],
      ["moves/1/skip", { reason: "x" }],
    ] as const) {
      const refused = await call<{ type: string; advice: string }>("POST", `/v1/plans/${plan.planId}/${verb}`, {
        body: sent,
      });
      expect([refused.status, refused.body.type]).toEqual([409, "/problems/shadow-plan"]);
      expect(refused.body.advice).toContain("shadowUntil");
    }
    expect((await runNow(policyId)).body).toMatchObject({ outcome: "nothing-to-do", run: { planId: null } });
  });

  test("about another host leaves the plan that waits for the first", async () => {
    const { cluster, hot, cold } = await hotCluster();
    const third = await agentOf(cluster, `${cluster}-third`, [vm()]);
    await third.load(0.5, {});
    const goals = [{ goal: "evacuate" }];
    const { policyId } = await policyOf(cluster, { goals, trigger: { type: "event", events: ["host.failing"] } });
    const planIdOf = async (hostId: string) => (await runNow(policyId, { hostId })).body.run?.planId;
    const stateOf = async (planId: string | null | undefined) =>
      (await call<Plan>("GET", `/v1/plans/${planId}`)).body.state;
    const first = await planIdOf(hot.hostId);
    expect(await planIdOf(third.hostId)).not.toBe(first);
    expect(await planIdOf(cold.hostId)).toBeNull();
    expect(await stateOf(first)).toBe("proposed");
    expect(await planIdOf(hot.hostId)).toBe(first);
  });

  test("leaves moves outside the scope out, whoever approves", async () => {
    const { cluster, hot, guests } = await hotCluster();
    const [kept] = guests.map(({ uuid }) => uuid);
    const goals = [{ goal: "evacuate", parameters: { hostIds: [hot.hostId] } }];
    const { policyId } = await policyOf(cluster, { goals, scope: { vms: { exceptUuids: [kept] } } });
    const { body } = await runNow(policyId);
    const { content } = (await call<Plan>("GET", `/v1/plans/${body.run?.planId}`)).body;
    expect(content.moves.map((move) => move.vm).toSorted()).toEqual(
      guests.flatMap(({ uuid }) => (uuid === kept ? [] : [uuid])).toSorted(),
    );
    expect(content.notMoved.find((entry) => entry.vm === kept)?.rejections[0]?.constraint).toBe("out-of-scope");
    const none = await policyOf(cluster, { name: "none", goals, scope: { hosts: { labels: { rack: "r9" } } } });
    expect((await runNow(none.policyId)).body).toMatchObject({
      outcome: "nothing-to-do",
      summary: "A move needs two hosts, and its scope has 0 of the cluster's.",
    });
  });

  test("finds moves inside the scope where the best ones are outside", async () => {
    const { cluster, guests } = await hotCluster();
    const dry = async (fields: Record<string, unknown>) => {
      const { policyId } = await policyOf(cluster, fields);
      return (await runNow(policyId, { dryRun: true })).body.content?.moves.map((move) => move.vm) ?? [];
    };
    const [best] = await dry({ name: "all" });
    const others = guests.flatMap(({ uuid }) => (uuid === best ? [] : [uuid]));
    const moved = await dry({ name: "others", scope: { vms: { uuids: others } } });
    expect(moved.length).toBeGreaterThan(0);
    expect(moved.every((vm) => others.includes(vm))).toBe(true);
  });

  test("by hand is about the host that is given, as a run by event is", async () => {
    const { cluster, hot } = await hotCluster();
    const { policyId } = await policyOf(cluster, {
      goals: [{ goal: "evacuate" }],
      trigger: { type: "event", events: ["host.failing"] },
    });
    const body = { dryRun: true, hostId: hot.hostId };
    expect((await runNow(policyId, body)).body.content?.moves.map((move) => move.fromHostId)).toEqual(
      Array.from({ length: 4 }, () => hot.hostId),
    );
    expect((await runNow(policyId, { hostId: hot.hostId })).body).toMatchObject({
      outcome: "proposed",
      run: { trigger: { type: "manual", hostId: hot.hostId } },
    });
    expect((await runNow(policyId, { hostId: "ghost" })).status).toBe(422);
    expect((await runNow(policyId, { dryRun: true, hostId: "ghost" })).status).toBe(422);
  });
});
