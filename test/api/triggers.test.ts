import { env } from "cloudflare:workers";
import { describe, expect, test, vi } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import type { Plan } from "../../worker/model/plan.ts";
import type { AlertRecord } from "../../worker/model/triggers/trigger.ts";
import { runSchedule } from "../../worker/services/schedule.ts";
import { takeAlerts } from "../../worker/services/trigger-alerts.ts";
import { agentOf, call, eventually } from "../support/api.ts";
import { auditOf, cron, policyOf, runsOf } from "../support/policies.ts";
import { alert, make, notification, outcomes, post, world } from "../support/triggers.ts";

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
