import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { delivery, deliveryInFull, deliveryState, replayRequest } from "../model/webhooks/webhook.ts";
import { replay, sendTest, showDelivery } from "../services/webhook-deliveries.ts";
import { readWebhook } from "../services/webhooks.ts";

const id = z.string().min(1).max(64);
const webhookIdParam = z.strictObject({ webhookId: id });

const replayed = z
  .strictObject({
    replayId: z.string(),
    /** How many were made. */
    deliveries: z.int(),
    /** The range was too much for one go: ask again with this as `from`. Null: it was not. */
    next: z.int().nullable(),
  })
  .meta({ id: "WebhookReplayed" });

export const webhookDeliveryRoutes = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{webhookId}/deliveries",
      summary: "What was sent to a webhook, newest first, each with its last request and answer; kept for 30 days",
      request: {
        params: webhookIdParam,
        query: z.strictObject({
          state: deliveryState.optional(),
          ...pageQuery,
          limit: z.coerce.number().int().min(1).max(200).default(50),
        }),
      },
      responses: { 200: jsonAnswer("Deliveries", page(delivery)) },
    }),
    async (c) => {
      const { deps } = c.var;
      const { webhookId } = await readWebhook(deps, c.req.valid("param").webhookId);
      const { state = null, after, limit } = c.req.valid("query");
      const found = await deps.store.deliveries.list({ webhookId, state, before: after ?? null, limit: limit + 1 });
      return c.json(
        cursor(found, limit, (item) => item.deliveryId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{webhookId}/deliveries/{deliveryId}",
      summary: "One delivery with what was posted and every attempt",
      request: { params: z.strictObject({ webhookId: id, deliveryId: id }) },
      responses: { 200: jsonAnswer("The delivery", deliveryInFull) },
    }),
    async (c) => {
      const { webhookId, deliveryId } = c.req.valid("param");
      return c.json(await showDelivery(c.var.deps, webhookId, deliveryId), 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{webhookId}/test",
      summary: "Send a `webhook.test` now, once, and answer what came of it",
      middleware: idempotent,
      request: { params: webhookIdParam },
      responses: { 200: jsonAnswer("What was sent, and what came back", deliveryInFull) },
    }),
    async (c) => c.json(await sendTest(c.var.deps, c.var.principal, c.req.valid("param").webhookId), 200),
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{webhookId}/replay",
      summary: "Send events once more: that of one delivery, or those of a range of time",
      middleware: idempotent,
      request: { params: webhookIdParam, body: jsonBody(replayRequest) },
      responses: { 202: jsonAnswer("They are on their way", replayed) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      return c.json(await replay(deps, principal, c.req.valid("param").webhookId, c.req.valid("json")), 202);
    },
  );
