// What is done when receivers fail, hang, redirect, cut and lie; order, limits and replay. Turns are taken by the tests, at
// times of their own; the receiver is real.
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { makeDeps } from "../../worker/env.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../worker/model/units.ts";
import type { NewWebhook } from "../../worker/model/webhooks/webhook.ts";
import { deliveryIdAt, fanOutWaiting, sweepOutbox } from "../../worker/services/outbox.ts";
import { beginTurn } from "../../worker/services/webhook-turns.ts";
import { call, eventually } from "../support/api.ts";
import { failing, tappedD1 } from "../support/tapped-d1.ts";
import { bodiesOf, boxOf, deliveriesOf, type Hook, hook, later, read, STILL, turn } from "../support/webhooks.ts";

let clusters = 0;

/** A webhook of a cluster of its own that the queue leaves alone, with so many events that wait for it. */
async function waiting(
  how: string,
  events: number,
  fields: Partial<NewWebhook> = {},
): Promise<Hook & { cluster: string }> {
  const cluster = `wd-${++clusters}`;
  const at = await hook(how, { clusters: [cluster], events: ["stop.pressed"], ...fields });
  await happen(cluster, events);
  return { ...at, cluster };
}

/** Written as everything is: in a batch with its audit entry. No queue is told. */
async function happen(cluster: string, count: number, subject?: string): Promise<void> {
  const { store } = later(0);
  for (let n = 1; n <= count; n++) {
    const entry = { actor: "test", action: "stop", subject: cluster };
    const data = { cluster, reason: `drill ${n}`, by: "test" };
    await store.audit.record(entry, Date.now(), [
      { type: "stop.pressed", cluster, subject: subject ?? `${cluster}-${n}`, data },
    ]);
  }
}

/** Waits until there are so many, by turns of its own: the queue may be as slow as it likes, and may come first. */
const served = <T>(at: Hook, ask: () => Promise<T[]>, count: number) =>
  eventually(
    async () => {
      await turn(later(0), at);
      return ask();
    },
    (all) => all.length === count,
  );

describe("a receiver that", () => {
  test.each([
    ["status/500", "answered 500"],
    ["status/404", "answered 404"],
    ["redirect", "302: redirects are not followed; change the URL"],
    ["hang", "no answer within 500 ms"],
    ["stall", "no answer within 500 ms"],
    ["cut", expect.stringMatching(/^no connection, or it was cut/)],
    ["half", expect.stringMatching(/^no connection, or it was cut/)],
    ["noise", expect.stringMatching(/^no connection, or it was cut/)],
  ])("does %s is tried again, and its log says: %s", async (how, error) => {
    const at = await waiting(how, 1);
    await turn(later(0), at);
    const [delivery] = await deliveriesOf(at);
    expect(delivery).toMatchObject({ state: "pending", attempts: 1, last: { error } });
    const gapMs = (delivery?.nextAttemptAt ?? 0) - (delivery?.last?.at ?? 0);
    expect(gapMs).toBeGreaterThanOrEqual(5000);
    expect(gapMs).toBeLessThan(7000);
    expect(await read(at)).toMatchObject({ failingSince: expect.any(Number) });
  });

  test("floods its answer has done its part; two kilobytes of it are kept", async () => {
    const at = await waiting("flood", 1, { timeoutMs: 5000 });
    await turn(later(0), at);
    const [delivery] = await deliveriesOf(at);
    expect(delivery).toMatchObject({ state: "delivered", last: { answer: { status: 200 } } });
    expect(delivery?.last?.answer?.body).toHaveLength(2048);
  });

  test("comes back gets what it missed, each once, under the same id", async () => {
    const at = await waiting("flaky/2", 1);
    for (const ms of [0, 6000, 40_000]) await turn(later(ms), at);
    const [delivery] = await deliveriesOf(at);
    expect(delivery).toMatchObject({ state: "delivered", attempts: 3 });
    expect(new Set((await bodiesOf(at)).map(({ id }) => id)).size).toBe(1);
    const { headers } = (await boxOf(at)).taken[2] ?? {};
    expect(headers?.["webhook-id"]).toBe(delivery?.eventId);
  });

  test("asks to wait is not asked again before, with anything", async () => {
    const at = await waiting("later/120", 3, { inFlightMax: 2 });
    await turn(later(0), at);
    expect((await boxOf(at)).taken).toHaveLength(2);
    expect(await turn(later(110_000), at)).toBe(false);
    expect(await turn(later(121_000), at)).toBe(true);
    expect((await boxOf(at)).taken.length).toBeGreaterThan(2);
  });

  test("answers 410 is paused, which is told to others and in the audit log", async () => {
    const other = await hook("ok", { events: ["webhook.paused"] });
    const at = await waiting("status/410", 1);
    await turn(later(0), at);
    expect(await read(at)).toMatchObject({ state: "paused", pausedBecause: "gone", version: 2 });
    expect(await turn(later(MINUTE_MS), at)).toBe(false);
    await turn(later(MINUTE_MS), other);
    expect(await bodiesOf(other)).toMatchObject([{ type: "webhook.paused", subject: at.webhookId }]);
    const { body } = await call<{ items: object[] }>("GET", "/v1/audit?limit=20");
    expect(body.items).toContainEqual(
      expect.objectContaining({ actor: "drover", action: "webhook.paused", subject: at.webhookId }),
    );
  });

  test("fails for three days is paused; what is a day old by then has failed", async () => {
    const at = await waiting("status/503", 1);
    await turn(later(0), at);
    for (const day of [1, 2]) {
      await happen(at.cluster, 1);
      await turn(later(day * DAY_MS), at);
      expect(await read(at)).toMatchObject({ state: "enabled" });
    }
    await happen(at.cluster, 1);
    await turn(later(3 * DAY_MS + HOUR_MS), at);
    expect(await read(at)).toMatchObject({
      state: "paused",
      pausedBecause: "failing",
      pausedWhy: expect.stringContaining("3 days"),
    });
    await sweepOutbox(later(5 * DAY_MS));
    const states = (await deliveriesOf(at)).map(({ state, why }) => ({ state, why }));
    expect(states).toContainEqual({ state: "failed", why: "not delivered within a day" });
  });
});

describe("a turn", () => {
  test("has no more in flight than the webhook takes, and there is one at a time", async () => {
    const at = await waiting("ok", 12, { inFlightMax: 3 });
    const deps = later(0);
    await fanOutWaiting(deps);
    const [first, second] = [await beginTurn(deps, at.webhookId), await beginTurn(deps, at.webhookId)];
    expect(second).toBeNull();
    await first?.();
    const { taken, inFlightMax } = await boxOf(at);
    expect([taken.length, new Set(taken.map(({ body }) => body)).size]).toEqual([12, 12]);
    expect(inFlightMax).toBeLessThanOrEqual(3);
  });

  test("that died before it wrote down what it has sent is made up for: at least once, and no more than a wave twice", async () => {
    const at = await waiting("ok", 4, { inFlightMax: 4 });
    await fanOutWaiting(later(0));
    // Its round trips: taken, due, recorded.
    const { tap } = failing(2, "before");
    const dying = makeDeps({ ...STILL, DB: tappedD1(env.DB, tap) });
    const begun = await beginTurn({ ...later(0), store: dying.store }, at.webhookId);
    await expect(begun?.()).rejects.toThrow(/Failed query|lost/);
    expect((await boxOf(at)).taken).toHaveLength(4);
    expect(await beginTurn(later(30_000), at.webhookId)).toBeNull();
    expect(await turn(later(61_000), at)).toBe(true);
    const ids = (await bodiesOf(at)).map(({ id }) => id);
    expect([ids.length, new Set(ids).size]).toEqual([8, 4]);
    expect((await deliveriesOf(at)).every(({ state }) => state === "delivered")).toBe(true);
  });

  test("stops with a pause, a deletion or another's lease", async () => {
    const at = await waiting("ok", 3, { inFlightMax: 1 });
    await fanOutWaiting(later(0));
    const begun = await beginTurn(later(0), at.webhookId);
    await call("POST", `/v1/webhooks/${at.webhookId}/pause`, { body: { reason: "stop it" } });
    await begun?.();
    expect((await boxOf(at)).taken.length).toBe(1);
  });

  test("judges the address before each wave: one that has become private is sent nothing", async () => {
    const at = await waiting("ok", 1);
    const { outgoing } = later(0);
    await turn(later(0, { outgoing: { ...outgoing, allowed: { local: false, networks: [], names: [] } } }), at);
    expect((await boxOf(at)).taken).toEqual([]);
    expect(await deliveriesOf(at)).toMatchObject([
      { state: "pending", last: { error: "not sent: only https is sent to" } },
    ]);
  });
});

describe("order", () => {
  test("holds within a subject, whatever fails, and one subject does not wait for another", async () => {
    const at = await waiting("flaky/1", 0, { ordered: true });
    for (const subject of ["a", "b", "a", "b", "a"]) await happen(at.cluster, 1, subject);
    for (let ms = 0; ms < 200_000; ms += 6000) await turn(later(ms), at);
    const deliveries = (await deliveriesOf(at)).toReversed();
    expect(deliveries.map(({ state }) => state)).toEqual(Array.from({ length: 5 }, () => "delivered"));
    for (const subject of ["a", "b"]) {
      const ends = deliveries.filter((one) => one.subject === subject).map(({ endedAt }) => endedAt);
      expect(ends).toEqual(ends.toSorted((a, b) => (a ?? 0) - (b ?? 0)));
      expect(new Set(ends).size).toBe(ends.length);
    }
  });

  test("is not kept where it was not asked for: nothing waits for what fails", async () => {
    const at = await waiting("status/400", 0, { inFlightMax: 1 });
    await happen(at.cluster, 3, "same");
    await turn(later(0), at);
    expect((await deliveriesOf(at)).map(({ attempts }) => attempts)).toEqual([1, 1, 1]);
  });
});

describe("a replay", () => {
  const replay = (at: Hook, body: object) =>
    call<{ deliveries: number; replayId: string }>("POST", `/v1/webhooks/${at.webhookId}/replay`, { body });

  test("of one delivery sends the same body under the same id", async () => {
    const at = await waiting("ok", 1);
    await turn(later(0), at);
    const [delivery] = await deliveriesOf(at);
    expect(await replay(at, { deliveryId: delivery?.deliveryId })).toMatchObject({
      status: 202,
      body: { deliveries: 1 },
    });
    await served(at, () => bodiesOf(at), 2);
    const { taken } = await boxOf(at);
    expect(taken).toHaveLength(2);
    expect(taken[1]?.body).toBe(taken[0]?.body);
    expect(taken[1]?.headers["webhook-id"]).toBe(taken[0]?.headers["webhook-id"]);
    expect((await deliveriesOf(at))[0]).toMatchObject({ origin: "replay" });
  });

  test("of a time has what did not come through, or all of it", async () => {
    const from = Date.now() - 1;
    const at = await waiting("status/410", 3);
    await turn(later(0), at);
    await sweepOutbox(later(2 * DAY_MS));
    await call("PATCH", `/v1/webhooks/${at.webhookId}`, {
      body: { url: (await read(at)).url.replace("status/410", "ok") },
    });
    const range = { from, to: Date.now() + 1 };
    expect((await replay(at, range)).body.deliveries).toBe(3);
    expect((await replay(at, range)).body.deliveries).toBe(0);
    await call("POST", `/v1/webhooks/${at.webhookId}/resume`, { body: { reason: "mended" } });
    await served(at, () => deliveriesOf(at, "?state=delivered"), 3);
    expect((await replay(at, range)).body.deliveries).toBe(0);
    expect((await replay(at, { ...range, only: "all" })).body.deliveries).toBe(3);
  });

  test.each([
    [{ from: 2, to: 1 }, 422],
    [{}, 422],
    [{ deliveryId: "dlv_nobody" }, 404],
  ])("of %j is refused", async (body, status) => {
    expect((await replay(await hook("ok"), body)).status).toBe(status);
  });
});

describe("what the queue loses", () => {
  test("Cron finds: events without deliveries, and deliveries that nobody serves", async () => {
    const at = await waiting("ok", 2);
    const served: string[] = [];
    const deps = later(0);
    const deliver: typeof deps.queue.deliver = async (targets) => {
      served.push(...targets.map(({ targetId }) => targetId));
    };
    await sweepOutbox({ ...deps, queue: { ...deps.queue, deliver } });
    expect(served).toContain(at.webhookId);
    served.length = 0;
    await sweepOutbox({ ...deps, queue: { ...deps.queue, deliver } });
    expect(served).toContain(at.webhookId);
    expect((await deliveriesOf(at)).length).toBe(2);
  });

  test("a fan-out that is done twice, or by two at once, makes each delivery once", async () => {
    const at = await waiting("ok", 5);
    await Promise.all([fanOutWaiting(later(0)), fanOutWaiting(later(0)), fanOutWaiting(later(0))]);
    expect((await deliveriesOf(at)).length).toBe(5);
  });
});

test("deliveries, attempts and events are kept for 30 days", async () => {
  const at = await waiting("ok", 1);
  await turn(later(0), at);
  const { store, now } = later(0);
  await store.deliveries.forget(deliveryIdAt(now() - MINUTE_MS), 500);
  expect(await deliveriesOf(at)).toHaveLength(1);
  await store.deliveries.forget(deliveryIdAt(now() + MINUTE_MS), 500);
  expect(await deliveriesOf(at)).toEqual([]);
});
