// Triggers themselves, and what is refused of what is posted to them.
import { env } from "cloudflare:workers";
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import type { NewTrigger, Trigger } from "../../worker/model/triggers/trigger.ts";
import { call } from "../support/api.ts";
import { auditOf, hotCluster, policyOf, runsOf } from "../support/policies.ts";
import { alert, type Made, make, notification, post, type Refused, world } from "../support/triggers.ts";

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
    expect(await pathOf({ cluster: "nowhere" })).toEqual(["cluster"]);
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
