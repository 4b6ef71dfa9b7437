import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { problemSchema } from "../http/problem-schema.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { etag, ifMatch } from "../http/versions.ts";
import { alertRecord, newTrigger, trigger, triggerAnswer, triggerChange } from "../model/triggers/trigger.ts";
import { operatorId } from "../model/wire/common.ts";
import { takeAlerts } from "../services/trigger-alerts.ts";
import { changeTrigger, createTrigger, deleteTrigger, readTrigger, rotateToken, viewOf } from "../services/triggers.ts";

const triggerIdParam = z.strictObject({ triggerId: z.string().min(1).max(64) });

const withToken = z
  .strictObject({
    trigger,
    /** `drt_…`: shown this once. */
    token: z.string(),
  })
  .meta({ id: "TriggerWithToken" });

const triggerReads = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Triggers, oldest first, without their tokens",
      request: { query: z.strictObject({ cluster: operatorId.optional(), ...pageQuery }) },
      responses: { 200: jsonAnswer("Triggers", page(trigger)) },
    }),
    async (c) => {
      const { deps } = c.var;
      const { cluster, after, limit } = c.req.valid("query");
      const found = await deps.store.triggers.list(cluster ?? null, after ?? null, limit + 1);
      const views = found.map((record) => viewOf(deps, record));
      return c.json(
        cursor(views, limit, ({ triggerId }) => triggerId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{triggerId}",
      summary: "One trigger",
      request: { params: triggerIdParam },
      responses: { 200: jsonAnswer("The trigger", trigger) },
    }),
    async (c) => {
      const found = await readTrigger(c.var.deps, c.req.valid("param").triggerId);
      return c.json(viewOf(c.var.deps, found), 200, etag(found.version));
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{triggerId}/alerts",
      summary: "Alerts that came, newest first, and what each came to; kept for 30 days",
      request: { params: triggerIdParam, query: z.strictObject(pageQuery) },
      responses: { 200: jsonAnswer("Alerts", page(alertRecord)) },
    }),
    async (c) => {
      const { triggerId } = await readTrigger(c.var.deps, c.req.valid("param").triggerId);
      const { after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.triggers.alerts(triggerId, after ?? null, limit + 1);
      return c.json(
        cursor(found, limit, ({ alertId }) => alertId),
        200,
      );
    },
  );

const triggerWrites = createRouter()
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/",
      summary: "Let alerts start policies; the token that they come with is shown once",
      middleware: idempotent,
      request: { body: jsonBody(newTrigger) },
      responses: { 201: jsonAnswer("The trigger and its token", withToken) },
    }),
    async (c) => {
      const made = await createTrigger(c.var.deps, c.var.principal, c.req.valid("json"));
      return c.json(made, 201, etag(made.trigger.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "patch",
      path: "/{triggerId}",
      summary: "Change fields of a trigger. Takes If-Match",
      request: { params: triggerIdParam, body: jsonBody(triggerChange) },
      responses: { 200: jsonAnswer("Changed", trigger) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const { triggerId } = c.req.valid("param");
      const changed = await changeTrigger(deps, principal, triggerId, c.req.valid("json"), ifMatch(c));
      return c.json(changed, 200, etag(changed.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{triggerId}/rotate-token",
      summary: "A new token; the old one ends at once",
      middleware: idempotent,
      request: { params: triggerIdParam },
      responses: { 200: jsonAnswer("The trigger and its new token", withToken) },
    }),
    async (c) => {
      const made = await rotateToken(c.var.deps, c.var.principal, c.req.valid("param").triggerId);
      return c.json(made, 200, etag(made.trigger.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "delete",
      path: "/{triggerId}",
      summary: "Delete a trigger and what its alerts came to. Takes If-Match",
      request: { params: triggerIdParam, query: z.strictObject({ reason: z.string().min(1).max(500).optional() }) },
      responses: { 200: jsonAnswer("Deleted", triggerIdParam) },
    }),
    async (c) => {
      const { triggerId } = c.req.valid("param");
      const { reason } = c.req.valid("query");
      await deleteTrigger(c.var.deps, c.var.principal, triggerId, { version: ifMatch(c), reason });
      return c.json({ triggerId }, 200);
    },
  );

const problem = {
  description: "A problem (RFC 9457)",
  content: { "application/problem+json": { schema: problemSchema } },
} as const;

// Any type of content: senders that take a mapping are not all careful about it.
const alerts = createRouter().openapi(
  createRoute({
    method: "post",
    path: "/{triggerId}/alerts",
    summary:
      "Where Alertmanager, Grafana or another sender posts alerts; the trigger's own token is a bearer or `token`",
    description:
      "The body is Alertmanager's webhook body of version 4, as Grafana's webhooks have it too, or any JSON, as the trigger's `source` says; at most 256 KiB. It is read once the token is known to be right.",
    request: {
      params: triggerIdParam,
      query: z.strictObject({ token: z.string().optional() }),
    },
    responses: {
      200: jsonAnswer("What each alert came to", triggerAnswer),
      401: { ...problem, description: "Not verified; why stands in the Worker's log" },
      "4XX": problem,
    },
  }),
  async (c) => {
    const token =
      /^Bearer (\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1] ?? c.req.valid("query").token ?? null;
    const { triggerId } = c.req.valid("param");
    const answer = await takeAlerts(c.var.deps, { triggerId, token, body: await c.req.text() });
    return c.json(answer, 200, { "ratelimit-policy": `"starts";q=${answer.startsPerHourMax};w=3600` });
  },
);

export const triggerRoutes = createRouter().route("/", triggerReads).route("/", triggerWrites).route("/", alerts);
