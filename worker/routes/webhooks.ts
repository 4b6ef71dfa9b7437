import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { etag, ifMatch } from "../http/versions.ts";
import { newWebhook, rotation, webhook, webhookChange } from "../model/webhooks/webhook.ts";
import {
  changeWebhook,
  createWebhook,
  deleteWebhook,
  pauseWebhook,
  readWebhook,
  resumeWebhook,
  rotateSecret,
  viewOf,
} from "../services/webhooks.ts";

const webhookIdParam = z.strictObject({ webhookId: z.string().min(1).max(64) });
const reason = z.string().min(1).max(500);
const because = jsonBody(z.strictObject({ reason }));

const withSecret = z
  .strictObject({
    webhook,
    /** `whsec_` and base64: shown this once. */
    secret: z.string(),
  })
  .meta({ id: "WebhookWithSecret" });

const webhookReads = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Webhooks, oldest first, without their secrets",
      request: { query: z.strictObject(pageQuery) },
      responses: { 200: jsonAnswer("Webhooks", page(webhook)) },
    }),
    async (c) => {
      const { deps } = c.var;
      const { after, limit } = c.req.valid("query");
      const found = await deps.store.webhooks.list(after ?? null, limit + 1);
      const views = found.map((record) => viewOf(record, deps.now()));
      return c.json(
        cursor(views, limit, (item) => item.webhookId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{webhookId}",
      summary: "One webhook, and how it has done of late",
      request: { params: webhookIdParam },
      responses: { 200: jsonAnswer("The webhook", webhook) },
    }),
    async (c) => {
      const { deps } = c.var;
      const found = await readWebhook(deps, c.req.valid("param").webhookId);
      return c.json(viewOf(found, deps.now()), 200, etag(found.version));
    },
  );

const webhookWrites = createRouter()
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/",
      summary: "Have events posted to a URL; the secret that signs them is shown once",
      middleware: idempotent,
      request: { body: jsonBody(newWebhook) },
      responses: { 201: jsonAnswer("The webhook and its secret", withSecret) },
    }),
    async (c) => {
      const made = await createWebhook(c.var.deps, c.var.principal, c.req.valid("json"));
      return c.json(made, 201, etag(made.webhook.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "patch",
      path: "/{webhookId}",
      summary: "Change fields of a webhook. Takes If-Match",
      request: { params: webhookIdParam, body: jsonBody(webhookChange) },
      responses: { 200: jsonAnswer("Changed", webhook) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const { webhookId } = c.req.valid("param");
      const changed = await changeWebhook(deps, principal, webhookId, c.req.valid("json"), ifMatch(c));
      return c.json(changed, 200, etag(changed.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{webhookId}/pause",
      summary: "Send nothing for now; what happens meanwhile waits for a day",
      request: { params: webhookIdParam, body: because },
      responses: { 200: jsonAnswer("Paused", webhook) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const why = c.req.valid("json").reason;
      const paused = await pauseWebhook(deps, principal, c.req.valid("param").webhookId, why);
      return c.json(paused, 200, etag(paused.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{webhookId}/resume",
      summary: "Send again, what has waited first",
      request: { params: webhookIdParam, body: because },
      responses: { 200: jsonAnswer("Resumed", webhook) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const why = c.req.valid("json").reason;
      const resumed = await resumeWebhook(deps, principal, c.req.valid("param").webhookId, why);
      return c.json(resumed, 200, etag(resumed.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{webhookId}/rotate-secret",
      summary: "A new secret; those there are sign beside it for `overlapMs`",
      middleware: idempotent,
      request: { params: webhookIdParam, body: jsonBody(rotation) },
      responses: { 200: jsonAnswer("The webhook and its new secret", withSecret) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const made = await rotateSecret(deps, principal, c.req.valid("param").webhookId, c.req.valid("json"));
      return c.json(made, 200, etag(made.webhook.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "delete",
      path: "/{webhookId}",
      summary: "Delete a webhook and the log of what was sent to it. Takes If-Match",
      request: { params: webhookIdParam, query: z.strictObject({ reason: reason.optional() }) },
      responses: { 200: jsonAnswer("Deleted", webhookIdParam) },
    }),
    async (c) => {
      const { webhookId } = c.req.valid("param");
      const { reason: why } = c.req.valid("query");
      await deleteWebhook(c.var.deps, c.var.principal, webhookId, { version: ifMatch(c), reason: why });
      return c.json({ webhookId }, 200);
    },
  );

export const webhookRoutes = createRouter().route("/", webhookReads).route("/", webhookWrites);
