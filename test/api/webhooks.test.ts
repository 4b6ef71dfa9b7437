// Webhooks as their owners have them: real D1, the real queue, and a real receiver.
import { Webhook as Verifier } from "standardwebhooks";
import { createMessageBatch } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { describe, expect, test } from "vitest";
import { newWebhookSecret, webhookHeaders } from "../../worker/adapters/webhook-signing.ts";
import { type Bindings, makeDeps } from "../../worker/env.ts";
import worker from "../../worker/index.ts";
import type { Webhook } from "../../worker/model/webhooks/webhook.ts";
import { judgeTarget } from "../../worker/services/webhook-targets.ts";
import { call, tokenFor } from "../support/api.ts";
import { boxOf, deliveriesOf, hook, read, received, RECEIVER } from "../support/webhooks.ts";

const freeze = (cluster: string, reason = "year end") =>
  call<{ freezeId: string }>("POST", "/v1/freezes", { body: { cluster, from: Date.now(), reason } });

describe("a signature", () => {
  const now = Math.floor(Date.now() / 1000);
  const body = '{"type":"plan.proposed","why":"größer"}';

  test("is what the official verifier expects", async () => {
    const secret = newWebhookSecret();
    const headers = await webhookHeaders([secret], "evt_1", now, body);
    expect(new Verifier(secret).verify(body, headers)).toEqual(JSON.parse(body));
    expect(() => new Verifier(secret).verify(`${body} `, headers)).toThrow(/signature/);
    expect(() => new Verifier(newWebhookSecret()).verify(body, headers)).toThrow(/signature/);
    expect(() => new Verifier(secret).verify(body, { ...headers, "webhook-id": "evt_2" })).toThrow(/signature/);
  });

  test("is there once for each secret, so that either verifies", async () => {
    const secrets = [newWebhookSecret(), newWebhookSecret()];
    const headers = await webhookHeaders(secrets, "evt_1", now, body);
    expect(headers["webhook-signature"]?.split(" ")).toHaveLength(2);
    for (const secret of secrets) expect(() => new Verifier(secret).verify(body, headers)).not.toThrow();
  });
});

describe("a webhook", () => {
  test("gets what happens, signed so that the official verifier takes it", async () => {
    const at = await hook("ok", { clusters: ["wh-signed"], events: ["freeze.*"] });
    const { body } = await freeze("wh-signed");
    const [event] = await received(at, 1);
    const [taken] = (await boxOf(at)).taken;
    expect(event).toMatchObject({
      type: "freeze.created",
      version: 1,
      cluster: "wh-signed",
      subject: body.freezeId,
      link: `/v1/freezes/${body.freezeId}`,
      data: { reason: "year end", isPartial: false, by: "admin" },
    });
    expect(taken?.headers["webhook-id"]).toBe(event?.id);
    expect(() => new Verifier(at.secret).verify(taken?.body ?? "", taken?.headers ?? {})).not.toThrow();
    const [delivery] = await deliveriesOf(at);
    expect(delivery).toMatchObject({
      state: "delivered",
      attempts: 1,
      origin: "event",
      last: { answer: { status: 204 } },
    });
    const shown = await call("GET", `/v1/webhooks/${at.webhookId}/deliveries/${delivery?.deliveryId}`);
    expect(shown.body).toMatchObject({ body: taken?.body, history: [{ number: 1, error: null }] });
    expect(await read(at)).toMatchObject({ failingSince: null, lastDeliveredAt: expect.any(Number) });
  });

  test("gets nothing of other clusters and types", async () => {
    const at = await hook("ok", { clusters: ["wh-mine"], events: ["freeze.deleted"] });
    const [mine, other] = [await freeze("wh-mine"), await freeze("wh-other")];
    for (const { body } of [other, mine]) await call("DELETE", `/v1/freezes/${body.freezeId}`);
    expect((await received(at, 1)).map(({ subject }) => subject)).toEqual([mine.body.freezeId]);
  });

  test("shows its secret once, and its log only to who may read", async () => {
    const at = await hook("ok");
    for (const path of ["", `/${at.webhookId}`]) {
      const { body } = await call("GET", `/v1/webhooks${path}`);
      expect(JSON.stringify(body)).not.toContain(at.secret);
    }
    const token = await tokenFor(["plan"]);
    expect((await call("GET", `/v1/webhooks/${at.webhookId}/deliveries`, { token })).status).toBe(403);
    const reader = await tokenFor(["read"]);
    expect((await call("GET", `/v1/webhooks/${at.webhookId}`, { token: reader })).status).toBe(200);
    expect((await call("POST", `/v1/webhooks/${at.webhookId}/test`, { token: reader })).status).toBe(403);
  });

  test("is made once for one Idempotency-Key", async () => {
    const headers = { "idempotency-key": crypto.randomUUID() };
    const body = { url: `${RECEIVER}/once/ok` };
    const [first, second] = [
      await call("POST", "/v1/webhooks", { body, headers }),
      await call("POST", "/v1/webhooks", { body, headers }),
    ];
    expect(second.body).toEqual(first.body);
  });

  test("is changed for what was seen only", async () => {
    const at = await hook("ok");
    const path = `/v1/webhooks/${at.webhookId}`;
    const etag = (await call("GET", path)).headers.get("etag") ?? "";
    const change = (description: string) =>
      call<Webhook>("PATCH", path, { body: { description }, headers: { "if-match": etag } });
    expect(await change("to the pager")).toMatchObject({
      status: 200,
      body: { description: "to the pager", version: 2 },
    });
    expect(await change("to the other")).toMatchObject({ status: 412, body: { type: "/problems/changed-meanwhile" } });
    expect((await call("DELETE", path, { headers: { "if-match": etag } })).status).toBe(412);
    expect((await call("DELETE", path)).status).toBe(200);
    expect(await call("GET", path)).toMatchObject({ status: 404, body: { type: "/problems/webhook-not-found" } });
    expect((await call("GET", `${path}/deliveries`)).status).toBe(404);
  });

  test.each([
    [{ url: "http://hooks.example.com/" }, "url"],
    [{ url: "https://10.0.0.1/" }, "url"],
    [{ url: "https://hooks.example.com/", events: ["plan.propsed"] }, "events.0"],
    [{ url: "https://hooks.example.com/", inFlightMax: 6 }, "inFlightMax"],
    [{ url: "https://hooks.example.com/", timeoutMs: 60_000 }, "timeoutMs"],
    [{ url: "https://hooks.example.com/", secret: "mine" }, "secret"],
  ])("%j is refused where it is wrong", async (body, path) => {
    const refused = await call<{ issues: { path: string }[] }>("POST", "/v1/webhooks", { body });
    expect([refused.status, refused.body.issues[0]?.path]).toEqual([422, path]);
  });

  test("is listed in pages", async () => {
    await hook("ok");
    await hook("ok");
    const first = await call<{ items: Webhook[]; next: string }>("GET", "/v1/webhooks?limit=1");
    const second = await call<{ items: Webhook[] }>("GET", `/v1/webhooks?limit=1&after=${first.body.next}`);
    expect(second.body.items[0]?.webhookId).not.toBe(first.body.items[0]?.webhookId);
  });

  test("that is paused gets nothing until it is resumed, and then what has waited", async () => {
    const at = await hook("ok", { clusters: ["wh-paused"], events: ["freeze.*"] });
    const path = `/v1/webhooks/${at.webhookId}`;
    const body = { reason: "upgrade" };
    expect(await call("POST", `${path}/pause`, { body })).toMatchObject({
      body: { state: "paused", pausedBecause: "asked", pausedWhy: "upgrade" },
    });
    await freeze("wh-paused");
    const other = await hook("ok", { clusters: ["wh-paused"], events: ["freeze.deleted"] });
    expect((await boxOf(other)).taken).toEqual([]);
    expect((await boxOf(at)).taken).toEqual([]);
    expect(await call("POST", `${path}/resume`, { body })).toMatchObject({
      body: { state: "enabled", pausedAt: null },
    });
    expect(await received(at, 1)).toMatchObject([{ type: "freeze.created" }]);
  });
});

test("a test is sent at once, to this webhook alone, and answers what came of it", async () => {
  const [at, other] = [await hook("ok"), await hook("ok")];
  const sent = await call("POST", `/v1/webhooks/${at.webhookId}/test`);
  expect(sent).toMatchObject({
    status: 200,
    body: {
      origin: "test",
      type: "webhook.test",
      state: "delivered",
      attempts: 1,
      history: [{ answer: { status: 204 } }],
    },
  });
  const [taken] = (await boxOf(at)).taken;
  expect(() => new Verifier(at.secret).verify(taken?.body ?? "", taken?.headers ?? {})).not.toThrow();
  expect((await boxOf(other)).taken).toEqual([]);
  const refusing = await hook("status/500");
  const failed = await call("POST", `/v1/webhooks/${refusing.webhookId}/test`);
  expect(failed.body).toMatchObject({
    state: "failed",
    why: "answered 500",
    nextAttemptAt: null,
    last: { answer: { body: "no" } },
  });
});

test("a rotated secret signs beside the old one for the overlap, and alone without one", async () => {
  const at = await hook("ok");
  const rotate = (body: object) =>
    call<{ secret: string; webhook: Webhook }>("POST", `/v1/webhooks/${at.webhookId}/rotate-secret`, { body });
  const signedBy = async () => {
    await call("POST", `/v1/webhooks/${at.webhookId}/test`);
    const last = (await boxOf(at)).taken.at(-1);
    return (secret: string) => {
      try {
        new Verifier(secret).verify(last?.body ?? "", last?.headers ?? {});
        return true;
      } catch {
        return false;
      }
    };
  };
  const second = await rotate({});
  expect(second.body.webhook.secrets).toMatchObject([{ endsAt: expect.any(Number) }, { endsAt: null }]);
  expect([at.secret, second.body.secret].map(await signedBy())).toEqual([true, true]);
  const third = await rotate({ overlapMs: 0, reason: "leaked" });
  expect([at.secret, second.body.secret, third.body.secret].map(await signedBy())).toEqual([false, false, true]);
});

describe("an address", () => {
  const deps = makeDeps({
    ...(env as unknown as Bindings),
    LOCAL: "no",
    DNS_URL: `${RECEIVER}/_dns`,
    WEBHOOK_ALLOW: ".corp.example",
  });
  test.each([
    ["https://hooks.example.com/a", { ok: true }],
    ["https://wiki.corp.example/a", { ok: true }],
    ["https://rebound.example.com/a", { refused: expect.stringContaining("127.0.0.1") }],
    ["https://metadata.example.com/a", { refused: expect.stringContaining("169.254.169.254") }],
    ["https://mapped.example.com/a", { refused: expect.stringContaining("10.0.0.1") }],
    ["https://nowhere.example.com/a", { refused: expect.stringContaining("no address") }],
    ["https://broken.example.com/a", { unknown: expect.stringContaining("code 2") }],
    [`${RECEIVER}/a`, { refused: "only https is sent to" }],
  ])("%s is judged by what it leads to", async (url, verdict) => {
    expect(await judgeTarget(deps, url)).toEqual(verdict);
  });
});

test("the API document has every event with its schema and an example", async () => {
  type Body = { content: { "application/json": { schema: object; example: { type: string } } } };
  const { body } = await call<{ webhooks: Record<string, { post: { requestBody: Body } }> }>("GET", "/openapi.json");
  expect(Object.keys(body.webhooks)).toEqual(
    expect.arrayContaining([
      "host.hot",
      "plan.proposed",
      "migration.completed",
      "calibration.drifted",
      "policy.demoted",
    ]),
  );
  for (const [type, { post }] of Object.entries(body.webhooks)) {
    const { schema, example } = post.requestBody.content["application/json"];
    expect(schema).toHaveProperty("$ref");
    expect(example.type).toBe(type);
  }
});

describe("a message of the queue", () => {
  const consume = (queue: string, body: unknown) => {
    const batch = createMessageBatch(queue, [{ id: "m1", timestamp: new Date(), attempts: 1, body }]);
    return worker.queue(batch as MessageBatch, env as unknown as Bindings);
  };

  test("that cannot be read fails, so that it is tried again and then set aside", async () => {
    await expect(consume("drover-outbox", { do: "nothing" })).rejects.toThrow(/invalid/i);
  });

  test("that was set aside is told of and let go", async () => {
    await expect(consume("drover-outbox-dead", { do: "fan-out" })).resolves.toBeUndefined();
  });

  test("about a webhook that is gone does nothing", async () => {
    const body = { do: "deliver", kind: "webhook", targetId: "whk_gone" };
    await expect(consume("drover-outbox", body)).resolves.toBeUndefined();
  });
});
