import { env } from "cloudflare:workers";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { AlertRecord, NewTrigger, Trigger } from "../../worker/model/triggers/trigger.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import { takeAlerts } from "../../worker/services/trigger-alerts.ts";
import { agentOf, call, eventually } from "../support/api.ts";
import { auditOf, cron, hotCluster, policyOf, runsOf } from "../support/policies.ts";
import { alert, type Made, make, notification, outcomes, post, type Refused, world } from "../support/triggers.ts";

describe("an alert", () => {
  test("starts the policy that waits for it, which evacuates the host that it names", async () => {
    const at = await world();
    const { status, headers, body } = await post(at, notification(alert(at.hot.hostId)));
    expect([status, body.started, body.leftOut]).toEqual([200, 1, 0]);
    expect(headers.get("ratelimit-policy")).toBe('"starts";q=20;w=3600');
    expect(body.alerts).toMatchObject([
      { key: `fp-${at.hot.hostId}`, status: "firing", hostId: at.hot.hostId, vm: null, outcome: "started" },
    ]);
    expect(body.alerts[0]?.runs).toMatchObject([{ policyId: at.policyId }]);
    const [run] = await eventually(
      () => runsOf(at.policyId),
      ([first]) => first?.endedAt !== null,
    );
    expect(run).toMatchObject({ runId: body.alerts[0]?.runs[0]?.runId, outcome: "proposed" });
    const plan = (await call<Plan>("GET", `/v1/plans/${run?.planId}`)).body;
    expect(plan.content).toMatchObject({ goal: "evacuate", parameters: { hostIds: [at.hot.hostId] } });
    expect(plan.state).toBe("proposed");
    expect((await auditOf(at.hot.hostId))[0]).toMatchObject({
      action: "event.raised",
      actor: `trigger:${at.trigger.triggerId}`,
      reason: expect.stringContaining("ECC errors"),
    });
  });

  test("that comes again is a duplicate, also of four at once; another one is not", async () => {
    const at = await world();
    const body = notification(alert(at.hot.hostId));
    const answers = await Promise.all([post(at, body), post(at, body), post(at, body), post(at, body)]);
    expect(answers.flatMap(outcomes).toSorted()).toEqual(["duplicate", "duplicate", "duplicate", "started"]);
    const other = alert(at.hot.hostId, { fingerprint: "another" });
    expect(outcomes(await post(at, notification(alert(at.hot.hostId), other, other)))).toEqual([
      "duplicate",
      "started",
      "duplicate",
    ]);
    expect(await runsOf(at.policyId)).toHaveLength(2);
    expect((await auditOf(at.hot.hostId)).filter(({ action }) => action === "event.raised")).toHaveLength(2);
    const log = await call<{ items: AlertRecord[] }>("GET", `/v1/triggers/${at.trigger.triggerId}/alerts`);
    expect(log.body.items.map(({ key, outcome, times }) => [key, outcome, times])).toEqual([
      ["another", "started", 2],
      [`fp-${at.hot.hostId}`, "started", 5],
    ]);
  });

  test("counts again once its window is over", async () => {
    const at = await world({ dedupeMs: 600_000 }, { trigger: { type: "event", events: ["alert"], gapMs: 0 } });
    const posted = {
      triggerId: at.trigger.triggerId,
      token: at.token,
      body: JSON.stringify(notification(alert(at.hot.hostId))),
    };
    const later = (ms: number) => ({ ...makeDeps(env), now: () => Date.now() + ms });
    const outcomeAt = async (ms: number) => (await takeAlerts(later(ms), posted)).alerts.map(({ outcome }) => outcome);
    expect(await outcomeAt(0)).toEqual(["started"]);
    expect(await outcomeAt(590_000)).toEqual(["duplicate"]);
    expect(await outcomeAt(601_000)).toEqual(["started"]);
  });

  test("each of a body says what it came to, and those that are known start all the same", async () => {
    const at = await world();
    const resolved = alert(at.cold.hostId, { status: "resolved" });
    const ofVm = alert("x", { labels: { uuid: at.guests[0]?.uuid }, fingerprint: "vm" });
    const ghost = alert("x", { labels: { vm: "ghost" }, fingerprint: "no vm" });
    const answer = await post(at, {
      ...notification(alert("nowhere"), resolved, ofVm, ghost),
      truncatedAlerts: 2,
    });
    expect(outcomes(answer)).toEqual(["unknown-host", "resolved", "started", "unknown-vm"]);
    expect(answer.body).toMatchObject({ started: 1, leftOut: 2 });
    expect(answer.body.alerts[2]).toMatchObject({ hostId: at.hot.hostId, vm: at.guests[0]?.uuid });
    // Known by now: what did not start does not stand in its way.
    await agentOf(at.cluster, "nowhere", []);
    expect(outcomes(await post(at, notification(alert("nowhere"), resolved)))).toEqual(["started", "duplicate"]);
  });

  test("beyond the limit of an hour starts nothing, and says so", async () => {
    const at = await world({ startsPerHourMax: 2 });
    const storm = Array.from({ length: 5 }, (_, n) => alert(at.hot.hostId, { fingerprint: `fp-${n}` }));
    const answer = await post(at, notification(...storm));
    expect(outcomes(answer)).toEqual(["started", "started", "rate-limited", "rate-limited", "rate-limited"]);
    expect(await runsOf(at.policyId)).toHaveLength(2);
    const over = { ...makeDeps(env), now: () => Date.now() + 3_601_000 };
    const body = JSON.stringify(notification(storm[4]));
    expect((await takeAlerts(over, { triggerId: at.trigger.triggerId, token: at.token, body })).started).toBe(1);
  });

  test("over a hundred of a body are counted and left", async () => {
    const at = await world({ startsPerHourMax: 1 });
    const storm = Array.from({ length: 130 }, (_, n) => alert("nowhere", { fingerprint: `${n}`, annotations: {} }));
    const { status, body } = await post(at, notification(...storm));
    expect([status, body.alerts.length, body.leftOut]).toEqual([200, 100, 30]);
  });

  test("for which no policy waits says so, and starts one that waits later", async () => {
    const at = await world({ event: "host.failing" });
    const body = notification(alert(at.hot.hostId));
    expect((await post(at, body)).body.alerts).toMatchObject([
      { outcome: "nobody-waits", why: expect.stringContaining("host.failing") },
    ]);
    await policyOf(at.cluster, {
      name: "late",
      goals: [{ goal: "evacuate" }],
      trigger: { type: "event", events: ["host.failing"] },
    });
    expect(outcomes(await post(at, body))).toEqual(["started"]);
  });

  test("starts the one policy that its trigger names, whatever that waits for", async () => {
    const at = await world();
    const other = await policyOf(at.cluster, { name: "hourly", trigger: { type: "interval", everyMs: 3_600_000 } });
    const { body } = await make(at.cluster, { policyId: other.policyId });
    const answer = await post(body, notification(alert(at.hot.hostId)));
    expect(answer.body.alerts[0]?.runs.map(({ policyId }) => policyId)).toEqual([other.policyId]);
    await call("POST", `/v1/policies/${other.policyId}/pause`, { body: { reason: "x" } });
    expect((await post(body, notification(alert(at.cold.hostId)))).body.alerts).toMatchObject([
      { outcome: "nobody-waits", why: expect.stringContaining("paused") },
    ]);
  });

  test("whose policy had an event of its key within its gap is noted and starts no run", async () => {
    const at = await world({ dedupeMs: 0 });
    const body = notification(alert(at.hot.hostId));
    await post(at, body);
    expect((await post(at, body)).body.alerts).toMatchObject([
      { outcome: "started", runs: [], why: expect.stringContaining("gap") },
    ]);
  });

  test("of any JSON starts a policy by its mapping", async () => {
    const source = { type: "json", alerts: "/items", host: "/node", key: "/id", status: "/state", detail: "/text" };
    const at = await world({ source });
    const item = { id: 7, node: at.hot.hostId, state: "PROBLEM", text: "fan 3" };
    const answer = await post(
      at,
      { items: [item, { ...item, state: "OK" }, { ...item, state: "maybe" }] },
      {},
      `?token=${at.token}`,
    );
    expect(outcomes(answer)).toEqual(["started", "resolved", "unreadable"]);
    const [run] = await eventually(
      () => runsOf(at.policyId),
      ([first]) => first?.endedAt !== null,
    );
    expect(run?.trigger).toMatchObject({ event: { hostId: at.hot.hostId, detail: "fan 3" } });
  });

  test("whose runs are lost behind the answer are run by Cron", async () => {
    const at = await world();
    const deps = makeDeps(env);
    const policyRuns = { ...deps.store.policyRuns, take: () => Promise.resolve(false) };
    const lossy = { ...deps, store: { ...deps.store, policyRuns } };
    const body = JSON.stringify(notification(alert(at.hot.hostId)));
    await takeAlerts(lossy, { triggerId: at.trigger.triggerId, token: at.token, body });
    expect((await runsOf(at.policyId))[0]).toMatchObject({ startedAt: null });
    await cron();
    expect((await runsOf(at.policyId))[0]).toMatchObject({ outcome: "proposed" });
  });

  test("is not taken by half: where the runs cannot be noted, the alert has not come", async () => {
    const at = await world();
    const body = notification(alert(at.hot.hostId));
    await env.DB.exec(
      `CREATE TRIGGER breaks BEFORE INSERT ON policy_runs WHEN NEW.policy_id = '${at.policyId}' BEGIN SELECT RAISE(ABORT, 'no'); END`,
    );
    const log = vi.spyOn(console, "error").mockReturnValue();
    expect((await post(at, body)).status).toBe(500);
    log.mockRestore();
    await env.DB.exec("DROP TRIGGER breaks");
    expect((await auditOf(at.hot.hostId)).filter(({ action }) => action === "event.raised")).toEqual([]);
    expect(outcomes(await post(at, body))).toEqual(["started"]);
  });

  test("that is old is forgotten", async () => {
    const at = await world();
    await post(at, notification(alert("nowhere")));
    await runSchedule({ ...makeDeps(env), now: () => Date.now() + 31 * 86_400_000 });
    const log = await call<{ items: AlertRecord[] }>("GET", `/v1/triggers/${at.trigger.triggerId}/alerts`);
    expect(log.body.items).toEqual([]);
  });
});

describe("whoever has not the token", () => {
  test("is refused without a reason, which is logged; nothing has come", async () => {
    const at = await world();
    const other = await world();
    const body = notification(alert(at.hot.hostId));
    const warned = vi.spyOn(console, "warn").mockReturnValue();
    const gone = { ...at, trigger: { ...at.trigger, triggerId: "trg_gone" } };
    const forged = await Promise.all([
      post(at, body, {}),
      post(at, body, { authorization: "Bearer drt_no" }),
      post(at, body, { authorization: `Bearer ${env.ADMIN_TOKEN}` }),
      post(at, body, {}, `?token=${other.token}`),
      post(gone, body),
      post(at, "{", { authorization: "Bearer drt_no" }),
    ]);
    const said = warned.mock.calls.map(([line]) => String(line));
    warned.mockRestore();
    expect(new Set(forged.map(({ status, body: answer }) => `${status} ${JSON.stringify(answer)}`))).toHaveLength(1);
    expect(forged[0]).toMatchObject({ status: 401, body: { type: "/problems/unverified" } });
    expect(forged[0]?.headers.get("www-authenticate")).toBeNull();
    expect(said).toHaveLength(6);
    expect(said.join()).toMatch(/no token.*another token.*no such trigger/s);
    expect(said.join()).not.toContain("drt_");
    expect((await call<Trigger>("GET", `/v1/triggers/${at.trigger.triggerId}`)).body.lastAlertAt).toBeNull();
  });

  test("is whoever had it before it was rotated", async () => {
    const at = await world();
    const { body } = await call<Made>("POST", `/v1/triggers/${at.trigger.triggerId}/rotate-token`);
    const empty = notification();
    expect((await post(at, empty)).status).toBe(401);
    expect((await post(body, empty)).status).toBe(200);
  });
});

test("bodies that are none are refused at their place, and nothing of them is done", async () => {
  const at = await world();
  const good = alert(at.hot.hostId);
  expect((await post(at, "{")).body.type).toBe("/problems/malformed-body");
  expect((await post(at, notification(good, { ...good, status: "odd" }))).body).toMatchObject({
    type: "/problems/invalid-request",
    issues: [{ path: "alerts.1.status" }],
  });
  expect((await post(at, { pad: "x".repeat(300_000) })).status).toBe(413);
  expect(await runsOf(at.policyId)).toEqual([]);
  await call("PATCH", `/v1/triggers/${at.trigger.triggerId}`, { body: { enabled: false } });
  expect((await post(at, notification(good))).body.type).toBe("/problems/illegal-state");
});

test("no body, however odd, is answered with a 500, and what is written of it can be read", async () => {
  const at = await world({ dedupeMs: 0 }, { trigger: { type: "event", events: ["alert"], gapMs: 0 } });
  const json = (await make(at.cluster, { source: { type: "json", alerts: "/a", host: "/h", key: "/k", detail: "/d" } }))
    .body;
  const text = fc.oneof(
    fc.string({ unit: "binary", maxLength: 20 }),
    fc.constantFrom(at.hot.hostId, "\u0000", "\ud800", "\udfff x", "__proto__", "x".repeat(5000), "'; --"),
  );
  const anAlert = fc.record({
    status: fc.constantFrom("firing", "resolved"),
    labels: fc.dictionary(fc.constantFrom("instance", "vm", "host", "__proto__", "x"), text),
    annotations: fc.dictionary(fc.constantFrom("summary", "x"), text),
    fingerprint: fc.option(text, { nil: undefined }),
  });
  const odd = fc.record({ h: fc.oneof(text, fc.jsonValue()), k: fc.oneof(text, fc.jsonValue()), d: text });
  const answered = async (to: Made, body: unknown): Promise<void> => {
    const answer = await post(to, body);
    if (answer.status >= 500) throw new Error(`${answer.status} to ${JSON.stringify(body)}`);
  };
  await fc.assert(
    fc.asyncProperty(
      fc.array(anAlert, { maxLength: 3 }),
      fc.array(odd, { maxLength: 3 }),
      fc.jsonValue(),
      async (alerts, a, any) => {
        await answered(at, { alerts });
        await answered(json, { a });
        await answered(at, JSON.stringify(any));
        await answered(json, JSON.stringify(any));
      },
    ),
    { seed: 7, numRuns: 40 },
  );
  for (const { trigger } of [at, json])
    expect((await call("GET", `/v1/triggers/${trigger.triggerId}/alerts`)).status).toBe(200);
  expect((await call("GET", `/v1/policies/${at.policyId}/runs?limit=1000`)).status).toBe(200);
  expect((await call("GET", "/v1/audit?limit=1000")).status).toBe(200);
});

describe("a trigger", () => {
  test("is made, read, listed, changed and deleted; its token is shown once and stored as a hash", async () => {
    const { cluster } = await hotCluster();
    const made = await make(cluster, { name: "first" });
    expect([made.status, made.headers.get("etag")]).toEqual([201, '"1"']);
    expect(made.body.token).toMatch(/^drt_[A-Za-z0-9_-]{43}$/);
    const { triggerId } = made.body.trigger;
    const path = `/v1/triggers/${triggerId}`;
    expect(made.body.trigger).toMatchObject({
      url: `/v1/triggers/${triggerId}/alerts`,
      source: { type: "alertmanager", hostLabels: ["host", "hostname", "instance"], vmLabels: ["uuid", "vm"] },
      event: "alert",
      policyId: null,
      dedupeMs: 3_600_000,
      startsPerHourMax: 20,
    });
    expect((await call("GET", path)).body).toEqual(made.body.trigger);
    const list = await call<{ items: Trigger[] }>("GET", `/v1/triggers?cluster=${cluster}`);
    expect(list.body.items).toEqual([made.body.trigger]);
    const rows = await env.DB.prepare("SELECT * FROM triggers WHERE id = ?").bind(triggerId).all();
    expect(JSON.stringify([rows.results, list.body])).not.toContain(made.body.token);
    const stale = await call<Refused>("PATCH", path, { body: { name: "x" }, headers: { "if-match": '"9"' } });
    expect([stale.status, stale.body.type]).toEqual([412, "/problems/changed-meanwhile"]);
    const changed = await call<Trigger>("PATCH", path, { body: { event: "host.failing", dedupeMs: 0 } });
    expect(changed.body).toMatchObject({ event: "host.failing", dedupeMs: 0, version: 2, name: "first" });
    expect((await call("DELETE", `${path}?reason=done`)).status).toBe(200);
    expect((await call("GET", path)).status).toBe(404);
    expect((await auditOf(triggerId)).map(({ action }) => action)).toEqual([
      "trigger.deleted",
      "trigger.changed",
      "trigger.created",
    ]);
  });

  test("is refused where it contradicts itself or what there is", async () => {
    const { cluster } = await hotCluster();
    const elsewhere = await policyOf((await hotCluster()).cluster);
    const pathOf = async (fields: Partial<Record<keyof NewTrigger, unknown>>) =>
      (await make(cluster, fields)).body.issues?.map(({ path }) => path);
    expect(await pathOf({ policyId: "pol_none" })).toEqual(["policyId"]);
    expect(await pathOf({ policyId: elsewhere.policyId })).toEqual(["policyId"]);
    expect(await pathOf({ source: { type: "json" }, event: "host.hot" })).toEqual(["source"]);
    const first = (await make(cluster, { name: "one" })).body.trigger;
    expect((await make(cluster, { name: "one" })).body.type).toBe("/problems/name-taken");
    const second = (await make(cluster, { name: "two", source: { type: "json" } })).body.trigger;
    const change = (id: string, body: unknown) => call<Refused>("PATCH", `/v1/triggers/${id}`, { body });
    expect((await change(second.triggerId, { name: "one" })).body.type).toBe("/problems/name-taken");
    expect((await change(second.triggerId, { event: "host.hot" })).body.issues?.[0]?.path).toBe("source");
    expect((await change(first.triggerId, { cluster: "x" })).body.issues?.[0]?.path).toBe("cluster");
  });
});
