import { streamSSE } from "hono/streaming";
import type { Context } from "hono";
import { z } from "zod";
import type { AppEnv } from "../env.ts";
import { AppError } from "../errors.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { RUN_STATES } from "../model/lifecycle.ts";
import { migrationRun } from "../model/run.ts";
import { operatorId } from "../model/wire/common.ts";
import { commandEnvelope } from "../model/wire/command.ts";
import { migrationEvent } from "../model/wire/event.ts";
import { sentDirective, steerBody } from "../model/wire/steering.ts";
import { inFlightForecast } from "../model/migration/in-flight.ts";
import { receiveEvent, resolveRun } from "../services/events.ts";
import { readForecastRun } from "../services/forecasts.ts";
import { isOver, watchRun } from "../services/live-timeline.ts";
import { readRun } from "../services/runs.ts";
import { recoverRun, steerRun } from "../services/steering.ts";
import { cancelRun } from "../services/stopping.ts";

const idParam = z.strictObject({ migrationId: z.string().min(1).max(64) });
const reason = z.string().min(1).max(500);

/** With `forecast`: null where it does not run or has not reported progress yet. */
const forecastRun = migrationRun
  .extend({ forecast: inFlightForecast.nullable() })
  .meta({ id: "MigrationWithForecast" });

const timelineEntry = z
  .strictObject({
    /** From 1, in the order in which Drover stored them. */
    number: z.int(),
    hostId: z.string(),
    bootId: z.string(),
    sequence: z.int(),
    type: z.string(),
    at: z.int(),
    receivedAt: z.int(),
    verdict: z.string(),
    body: z.unknown(),
  })
  .meta({ id: "TimelineEntry" });

/** How soon a client comes back to a stream that ended before the run did. */
const RETRY_MS = 1000;

const isLive = (c: Context<AppEnv>): boolean => /(^|,)\s*text\/event-stream\b/i.test(c.req.header("accept") ?? "");

/** The number of the entry that a client has seen last: of `Last-Event-ID`, which its own reconnecting sends, or of `after`. */
function lastSeen(c: Context<AppEnv>, after: number): number {
  const text = c.req.header("last-event-id");
  if (text === undefined || text === "") return after;
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new AppError({
    code: "invalid_request",
    issues: [{ path: "Last-Event-ID", message: "must be the `id` of an event of this stream" }],
  });
}

/** Server-sent events. 204 where the run has ended and all of it was seen: it makes an EventSource stop coming back. */
async function liveTimeline(c: Context<AppEnv>, migrationId: string, after: number): Promise<Response> {
  const { deps } = c.var;
  const seen = lastSeen(c, after);
  if (seen > 0 && (await isOver(deps, migrationId, seen))) return c.body(null, 204);
  return streamSSE(c, async (stream) => {
    await stream.write(`retry: ${RETRY_MS}\n\n`);
    for await (const message of watchRun(deps, migrationId, seen, () => stream.aborted)) {
      if (message.event === "alive") await stream.write(": alive\n\n");
      else
        await stream.writeSSE({
          event: message.event,
          data: JSON.stringify(message.data),
          ...(message.event === "entry" ? { id: String(message.id) } : {}),
        });
    }
  });
}

export const migrationRoutes = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Migrations, newest first; those of one plan in its order",
      request: {
        query: z.strictObject({
          planId: z.string().min(1).max(64).optional(),
          cluster: operatorId.optional(),
          /** Only those that have not ended. */
          active: z.enum(["true", "false"]).default("false"),
          ...pageQuery,
        }),
      },
      responses: { 200: jsonAnswer("Migrations", page(migrationRun)) },
    }),
    async (c) => {
      const { planId, cluster, active, after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.migrations.list({
        planId: planId ?? null,
        cluster: cluster ?? null,
        active: active === "true",
        after: after ?? null,
        limit: limit + 1,
      });
      return c.json(
        cursor(found, limit, (run) => run.migrationId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{migrationId}",
      summary: "One migration: state, progress, predicted and measured; while it runs, how it goes on",
      request: { params: idParam },
      responses: { 200: jsonAnswer("The migration", forecastRun) },
    }),
    async (c) => c.json(await readForecastRun(c.var.deps, c.req.valid("param").migrationId), 200),
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{migrationId}/events",
      summary:
        "The timeline: every event as received, and what became of it; live, as server-sent events, where the client accepts those",
      description:
        "With `Accept: text/event-stream`: `entry` (a `TimelineEntry`, its number as the id), `run` (state, version, progress and end, when one of them changes), and `end` once the run has ended, after which nothing follows. A stream is ended after some minutes: come back with `Last-Event-ID`. 204: the run has ended and was seen to its end.",
      request: {
        params: idParam,
        query: z.strictObject({
          /** Only entries after the one with this number. */
          after: z.coerce.number().int().min(0).default(0),
        }),
      },
      responses: {
        200: {
          description: "Entries, oldest first, at most 1000",
          content: {
            "application/json": { schema: z.strictObject({ items: z.array(timelineEntry) }) },
            "text/event-stream": { schema: z.string() },
          },
        },
        204: { description: "Of a stream: nothing is left to be told" },
      },
    }),
    async (c) => {
      const { migrationId } = await readRun(c.var.deps, c.req.valid("param").migrationId);
      const { after } = c.req.valid("query");
      // The type of a route's answers knows JSON only.
      if (isLive(c)) return (await liveTimeline(c, migrationId, after)) as never;
      return c.json({ items: await c.var.deps.store.migrations.timeline(migrationId, after) }, 200);
    },
  )
  .openapi(
    declareRoute(["agent"], {
      method: "post",
      path: "/{migrationId}/events",
      summary: "An agent of one of the two hosts reports",
      request: { params: idParam, body: jsonBody(migrationEvent) },
      responses: {
        200: jsonAnswer(
          "Stored; `applied` when it moved the run",
          z.strictObject({
            duplicate: z.boolean(),
            applied: z.boolean(),
            state: z.enum(RUN_STATES),
            /** With progress: what waits for this host. */
            commands: z.array(commandEnvelope),
          }),
        ),
      },
    }),
    async (c) => {
      const { migrationId } = c.req.valid("param");
      return c.json(await receiveEvent(c.var.deps, c.var.principal, migrationId, c.req.valid("json")), 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{migrationId}/cancel",
      summary: "Cancel before the point of no return",
      request: { params: idParam, body: jsonBody(z.strictObject({ reason })) },
      responses: { 200: jsonAnswer("Cancelled, or the source's agent was told to", migrationRun) },
    }),
    async (c) =>
      c.json(
        await cancelRun(c.var.deps, c.var.principal, c.req.valid("param").migrationId, c.req.valid("json").reason),
        200,
      ),
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{migrationId}/steer",
      summary:
        "Direct a migration that copies, within what was approved: downtime-limit (ms), bandwidth (bytes/s), post-copy, cancel",
      request: { params: idParam, body: jsonBody(steerBody) },
      responses: { 200: jsonAnswer("Sent to the source's agent; its answer comes into the timeline", sentDirective) },
    }),
    async (c) => {
      const { migrationId } = c.req.valid("param");
      return c.json(await steerRun(c.var.deps, c.var.principal, migrationId, c.req.valid("json")), 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{migrationId}/recover",
      summary: "Have the agents try at once to go on with a post-copy that has lost its link",
      request: { params: idParam, body: jsonBody(z.strictObject({ reason })) },
      responses: { 200: jsonAnswer("Sent to the source's agent; its answer comes into the timeline", sentDirective) },
    }),
    async (c) => {
      const { migrationId } = c.req.valid("param");
      return c.json(await recoverRun(c.var.deps, c.var.principal, migrationId, c.req.valid("json").reason), 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{migrationId}/resolve",
      summary: "Say where the VM of a lost migration is, after you have looked",
      request: {
        params: idParam,
        body: jsonBody(z.strictObject({ vmRunsAt: z.enum(["source", "destination", "elsewhere", "nowhere"]), reason })),
      },
      responses: { 200: jsonAnswer("Resolved", migrationRun) },
    }),
    async (c) =>
      c.json(await resolveRun(c.var.deps, c.var.principal, c.req.valid("param").migrationId, c.req.valid("json")), 200),
  );
