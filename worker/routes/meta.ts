import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { createRouter, declareRoute, jsonAnswer } from "../http/route.ts";
import { metricsText, readStatus } from "../services/status.ts";

const count = z.int().min(0);
const status = z
  .strictObject({
    now: z.int(),
    hosts: z.strictObject({ known: count, /** Heard within the last minute. */ fresh: count }),
    telemetry: z.strictObject({
      /** Everything before this time that had come by then is packed and rolled up, ms since 1970. */
      closedUntil: z.int(),
      /** Hours of hosts that are over and are still to be packed, late ones included. */
      hoursToPack: count,
      /** Of them, those that got samples after they were closed. */
      lateHours: count,
    }),
    migrations: z.strictObject({ active: count }),
    policies: z.strictObject({
      /** Not paused. */
      enabled: count,
      /** Of them, those that this version cannot read: they do not run until they are changed or deleted. */
      unreadable: z.array(z.strictObject({ policyId: z.string(), why: z.string() })),
    }),
    webhooks: z.strictObject({
      enabled: count,
      paused: count,
      /** Deliveries that wait, and since when the oldest does. */
      waiting: count,
      oldestWaitingAt: z.int().nullable(),
      /** Events whose deliveries are still to be made. */
      eventsWaiting: count,
    }),
  })
  .meta({ id: "Status" });

export const metaRoutes = createRouter()
  .openapi(
    createRoute({
      method: "get",
      path: "/healthz",
      summary: "The Worker answers",
      responses: { 200: jsonAnswer("It does", z.strictObject({ status: z.literal("ok"), now: z.int() })) },
    }),
    (c) => c.json({ status: "ok" as const, now: c.var.deps.now() }, 200),
  )
  .openapi(
    createRoute({
      method: "get",
      path: "/v1/keys",
      summary: "Public keys that sign commands, for agents to pin",
      responses: {
        200: jsonAnswer("Keys, `whpk_` and base64", z.strictObject({ commandPublicKeys: z.array(z.string()) })),
      },
    }),
    async (c) => c.json({ commandPublicKeys: [(await c.var.deps.signer()).publicKey] }, 200),
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/v1/status",
      summary:
        "How Drover is doing: hosts heard, hours still to be packed, active migrations, policies that cannot be read",
      responses: { 200: jsonAnswer("Status", status) },
    }),
    async (c) => c.json(await readStatus(c.var.deps), 200),
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/metrics",
      summary: "The same for Prometheus, and what this isolate took in and asked of D1",
      responses: { 200: { description: "Prometheus text format", content: { "text/plain": { schema: z.string() } } } },
    }),
    async (c) =>
      c.text(await metricsText(c.var.deps), 200, { "content-type": "text/plain; version=0.0.4; charset=utf-8" }),
  );
