import { env } from "cloudflare:workers";
import { Webhook as Verifier } from "standardwebhooks";
import { describe, expect, test } from "vitest";
import { type Bindings, type Deps, makeDeps } from "../../worker/env.ts";
import type { NewRoute, NotificationRoute } from "../../worker/model/notifications/route.ts";
import type { EventDraft } from "../../worker/model/webhooks/events.ts";
import { fanOutWaiting, sweepOutbox } from "../../worker/services/outbox.ts";
import { beginRouteTurn } from "../../worker/services/route-turns.ts";
import { agentOf, call, vm } from "../support/api.ts";
import { ALL, linked, talk } from "../support/chat-talk.ts";
import { auditOf } from "../support/policies.ts";
import { bodiesOf, boxOf, hook, type Hook, later, received, turn } from "../support/webhooks.ts";

type Refused = { type: string; issues?: { path: string }[] };
type Fields = Partial<Record<keyof NewRoute, unknown>>;

let made = 0;
/** Clusters of their own, so that no route hears of another's events. */
const clusterOf = () => `rt-${++made}`;
const make = (fields: Fields) =>
  call<NotificationRoute & Refused>("POST", "/v1/routes", { body: { name: `r-${++made}`, ...fields } });

/** A webhook that gets nothing but what routes have gathered. */
const silentHook = (how = "ok") => hook(how, { events: ["notification.raised"] });

async function world(fields: Fields = {}) {
  const cluster = clusterOf();
  const at = await silentHook();
  const to = [{ kind: "webhook", webhookId: at.webhookId }];
  const route = (await make({ clusters: [cluster], to, ...fields })).body;
  return { cluster, at, route };
}

const failed = (cluster: string, n: number): EventDraft => ({
  type: "policy.failed",
  cluster,
  subject: `pol_${n}`,
  data: { policyId: `pol_${n}`, runId: `prn_${n}`, why: `reason ${n}` },
});

/** What happens is written as everything that happens is, without a queue. */
const happen = (deps: Deps, ...events: EventDraft[]) =>
  deps.store.audit.record({ actor: "test", action: "test.happened", subject: "x" }, deps.now(), events);

async function routeTurn(deps: Deps, { routeId }: NotificationRoute): Promise<boolean> {
  await fanOutWaiting(deps);
  const begun = await beginRouteTurn(deps, routeId);
  await begun?.();
  return begun !== null;
}

type Notified = { severity: string; count: number; byType: Record<string, number>; events: { sentence: string }[] };
/** Has the webhook served, and answers what it got. */
async function told(deps: Deps, at: Hook): Promise<Notified[]> {
  await turn(deps, at);
  return (await bodiesOf(at)).map(({ data }) => data as Notified);
}

const readRoute = async ({ routeId }: NotificationRoute) =>
  (await call<NotificationRoute>("GET", `/v1/routes/${routeId}`)).body;

describe("what happens", () => {
  test("is told to a webhook by the queue alone, signed", async () => {
    const { cluster, at } = await world({ severityMin: "info", groupWaitMs: 200 });
    await call("POST", "/v1/freezes", { body: { cluster, from: Date.now(), reason: "year end" } });
    const [body] = await received(at, 1);
    expect(body).toMatchObject({
      type: "notification.raised",
      data: {
        severity: "info",
        count: 1,
        events: [{ type: "freeze.created", cluster, sentence: `[${cluster}] Frozen by admin: year end` }],
      },
    });
    const [taken] = (await boxOf(at)).taken;
    expect(() => new Verifier(at.secret).verify(taken?.body ?? "", taken?.headers ?? {})).not.toThrow();
  });

  test("at once is one message that says how many, and what comes after waits for the next", async () => {
    const { cluster, at, route } = await world();
    await happen(later(0), ...Array.from({ length: 230 }, (_, n) => failed(cluster, n)));
    expect(await routeTurn(later(0), route)).toBe(true);
    expect(await told(later(0), at)).toEqual([]);
    expect(await readRoute(route)).toMatchObject({ waiting: 230, lastSentAt: null });
    await routeTurn(later(11_000), route);
    expect(await told(later(11_000), at)).toMatchObject([
      { count: 230, severity: "warning", byType: { "policy.failed": 230 }, events: { length: 20 } },
    ]);
    expect(await readRoute(route)).toMatchObject({ waiting: 0, sentWithinHour: 1 });
    await happen(later(12_000), failed(cluster, 500));
    await routeTurn(later(60_000), route);
    expect(await told(later(60_000), at)).toHaveLength(1);
    await routeTurn(later(312_000), route);
    expect((await told(later(312_000), at))[1]).toMatchObject({ count: 1 });
  });

  test("of another severity, cluster, type or label is not told", async () => {
    const { cluster, at, route } = await world({
      events: ["host.*", "policy.*"],
      labels: { rack: "r1" },
      groupWaitMs: 0,
    });
    const guest = vm({ labels: { rack: "r1" } });
    await agentOf(cluster, `${cluster}-a`, [], { labels: { rack: "r1" } });
    await agentOf(cluster, `${cluster}-b`, [guest], { labels: { rack: "r2" } });
    const state = (type: "host.failing" | "host.recovered", hostId: string, of = cluster): EventDraft => ({
      type,
      cluster: of,
      subject: hostId,
      data: { hostId, sentence: `${hostId} it is`, heardAt: null },
    });
    await happen(
      later(0),
      state("host.failing", `${cluster}-a`),
      state("host.failing", `${cluster}-b`),
      state("host.failing", `${cluster}-a`, clusterOf()),
      state("host.recovered", `${cluster}-a`),
      failed(cluster, 1),
    );
    await routeTurn(later(0), route);
    const [first] = await told(later(0), at);
    expect(first).toMatchObject({ count: 1, severity: "critical" });
    expect(first?.events[0]?.sentence).toContain(`${cluster}-a it is`);
    expect(await readRoute(route)).toMatchObject({ waiting: 0 });
  });

  test("beyond the messages of an hour is told in one when there is room again", async () => {
    const { cluster, at, route } = await world({
      groupBy: ["subject"],
      groupWaitMs: 0,
      groupIntervalMs: 0,
      perHourMax: 2,
    });
    await happen(later(0), ...Array.from({ length: 40 }, (_, n) => failed(cluster, n)));
    await routeTurn(later(0), route);
    expect((await told(later(0), at)).map(({ count }) => count).toSorted((a, b) => a - b)).toEqual([1, 39]);
    await happen(later(60_000), ...Array.from({ length: 7 }, (_, n) => failed(cluster, 100 + n)));
    expect(await routeTurn(later(60_000), route)).toBe(false);
    expect(await routeTurn(later(3_500_000), route)).toBe(false);
    await routeTurn(later(3_601_000), route);
    const all = await told(later(3_601_000), at);
    expect(all.map(({ count }) => count).reduce((sum, count) => sum + count, 0)).toBe(47);
  });

  test("is told once, though two turns are at it, and though a turn is cut off", async () => {
    const { cluster, at, route } = await world({ groupWaitMs: 0 });
    await happen(later(0), failed(cluster, 1), failed(cluster, 2));
    const deps = later(0);
    const cut = { ...deps.store.routes, endTurn: () => Promise.reject(new Error("cut off")) };
    await expect(routeTurn({ ...deps, store: { ...deps.store, routes: cut } }, route)).rejects.toThrow("cut off");
    expect(await readRoute(route)).toMatchObject({ waiting: 2 });
    await fanOutWaiting(later(0));
    const turns = await Promise.all([1, 2, 3].map(() => beginRouteTurn(later(0), route.routeId)));
    await Promise.all(turns.map((begun) => begun?.()));
    expect(await told(later(0), at)).toMatchObject([{ count: 2 }]);
  });

  test("is found by Cron where the queue has lost it", async () => {
    const { cluster, at, route } = await world({ groupWaitMs: 0 });
    await happen(later(0), failed(cluster, 1));
    const asked: string[] = [];
    const deps = later(0);
    const queue = {
      ...deps.queue,
      deliver: (targets: readonly { targetId: string }[]) => {
        asked.push(...targets.map(({ targetId }) => targetId));
        return Promise.resolve();
      },
    };
    await sweepOutbox({ ...deps, queue });
    expect(asked).toContain(route.routeId);
    await routeTurn(later(0), route);
    expect(await told(later(0), at)).toHaveLength(1);
  });

  test("waits where no target is left, and goes to the next that is named", async () => {
    const { cluster, at, route } = await world({ groupWaitMs: 0 });
    await call("DELETE", `/v1/webhooks/${at.webhookId}`);
    await happen(later(0), failed(cluster, 1));
    await routeTurn(later(0), route);
    expect(await readRoute(route)).toMatchObject({ missing: [at.webhookId], waiting: 1 });
    const other = await silentHook();
    const to = [{ kind: "webhook", webhookId: other.webhookId }];
    expect(
      (await call<NotificationRoute>("PATCH", `/v1/routes/${route.routeId}`, { body: { to } })).body.missing,
    ).toEqual([]);
    await received(other, 1);
  });

  test("is said in a chat channel", async () => {
    const ops = await linked(talk("slack"), "on-call", ALL);
    await ops.say("subscribe freeze.deleted");
    await ops.saw("This channel is told");
    const channels = await call<{ items: { id: string; channelId: string }[] }>("GET", "/v1/chat/channels?limit=1000");
    const channelId = channels.body.items.find((one) => one.channelId === ops.channelId)?.id;
    const cluster = clusterOf();
    const { body } = await make({ clusters: [cluster], to: [{ kind: "chat", channelId }], groupWaitMs: 0 });
    await happen(later(0), ...Array.from({ length: 12 }, (_, n) => failed(cluster, n)));
    await routeTurn(later(0), body);
    await sweepOutbox({ ...later(0), queue: makeDeps(env as unknown as Bindings).queue });
    const said = await ops.saw(`[${cluster}] 12 events`);
    expect(JSON.stringify(said.body)).toMatch(/A policy's run has failed: reason 0.*and 2 more/s);
  });
});

describe("a route", () => {
  test("is made, read, listed, changed, tried and deleted", async () => {
    const at = await silentHook();
    const to = [{ kind: "webhook", webhookId: at.webhookId }];
    const { status, headers, body } = await make({ name: "on call", to });
    expect([status, headers.get("etag")]).toEqual([201, '"1"']);
    expect(body).toMatchObject({
      events: ["*"],
      severityMin: "warning",
      clusters: null,
      labels: null,
      groupBy: ["cluster", "severity"],
      groupWaitMs: 10_000,
      groupIntervalMs: 300_000,
      perHourMax: 12,
      enabled: true,
      missing: [],
      waiting: 0,
    });
    const path = `/v1/routes/${body.routeId}`;
    expect((await call("GET", path)).body).toEqual(body);
    expect((await call<{ items: NotificationRoute[] }>("GET", "/v1/routes?limit=1000")).body.items).toContainEqual(
      body,
    );
    expect((await call<{ to: unknown[] }>("POST", `${path}/test`)).body.to).toEqual(to);
    expect((await received(at, 1))[0]).toMatchObject({
      type: "notification.raised",
      data: { testBy: "admin", count: 0 },
    });
    const stale = await call<Refused>("PATCH", path, { body: { name: "x" }, headers: { "if-match": '"9"' } });
    expect(stale.status).toBe(412);
    const changed = await call<NotificationRoute>("PATCH", path, { body: { severityMin: "critical", enabled: false } });
    expect(changed.body).toMatchObject({ severityMin: "critical", enabled: false, version: 2, name: "on call" });
    expect((await call("DELETE", `${path}?reason=done`)).status).toBe(200);
    expect((await call<Refused>("GET", path)).body.type).toBe("/problems/route-not-found");
    expect((await auditOf(body.routeId)).map(({ action }) => action)).toEqual([
      "route.deleted",
      "route.changed",
      "route.tested",
      "route.created",
    ]);
  });

  test("is refused where it contradicts what there is", async () => {
    const at = await silentHook();
    const to = [{ kind: "webhook", webhookId: at.webhookId }];
    const pathOf = async (fields: Fields) => (await make({ to, ...fields })).body.issues?.map(({ path }) => path);
    expect(await pathOf({ to: [...to, { kind: "webhook", webhookId: "whk_none" }] })).toEqual(["to.1.webhookId"]);
    expect(await pathOf({ to: [{ kind: "chat", channelId: "chn_none" }] })).toEqual(["to.0.channelId"]);
    const first = (await make({ name: "one", to })).body;
    expect((await make({ name: "one", to })).body.type).toBe("/problems/name-taken");
    const second = (await make({ name: "two", to })).body;
    const change = (id: string, body: unknown) => call<Refused>("PATCH", `/v1/routes/${id}`, { body });
    expect((await change(second.routeId, { name: "one" })).body.type).toBe("/problems/name-taken");
    expect((await change(first.routeId, { to: [{ kind: "webhook", webhookId: "x" }] })).body.issues?.[0]?.path).toBe(
      "to.0.webhookId",
    );
  });
});

test("what routes have sent is not sent again by replaying a range of time, and one delivery of it is", async () => {
  const { cluster, at, route } = await world({ groupWaitMs: 0 });
  const from = Date.now() - 1000;
  await happen(later(0), failed(cluster, 1));
  await routeTurn(later(0), route);
  expect(await told(later(0), at)).toHaveLength(1);
  const replay = async (body: object) =>
    (await call<{ deliveries: number }>("POST", `/v1/webhooks/${at.webhookId}/replay`, { body })).body.deliveries;
  expect(await replay({ from, to: Date.now() + 1000, only: "all" })).toBe(0);
  const { body } = await call<{ items: { deliveryId: string }[] }>("GET", `/v1/webhooks/${at.webhookId}/deliveries`);
  expect(await replay({ deliveryId: body.items[0]?.deliveryId })).toBe(1);
});
