import { z } from "zod";
import { AppError } from "../errors.ts";
import { assertActsFor } from "../http/auth.ts";
import { inflatedJson } from "../http/inflate.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { AGGREGATES } from "../model/series.ts";
import { batchAnswer } from "../model/telemetry/batch-ring.ts";
import { latestSchema } from "../model/telemetry/latest.ts";
import { HOUR_MS, MINUTE_MS } from "../model/units.ts";
import { commandEnvelope } from "../model/wire/command.ts";
import { operatorId, timestampMs, vmUuid } from "../model/wire/common.ts";
import { telemetryBatch } from "../model/wire/telemetry.ts";
import { ingest, querySeries } from "../services/telemetry.ts";

/** Of the body as it comes and of what it inflates to. */
const BODY_BYTES_MAX = 5 * 1024 * 1024;
const RANGE_MS_MAX = 49 * HOUR_MS;
const STEPS_MAX = 11_520;

const seriesQuery = z
  .strictObject({
    host: operatorId.optional(),
    vm: vmUuid.optional(),
    /** Needed only where several clusters have a VM of this uuid. */
    cluster: operatorId.optional(),
    /** A name; `*` stands for any characters. */
    metric: z.string().regex(/^[a-zA-Z0-9_:*]{1,128}$/, "a metric name, in which * stands for any characters"),
    /** ms since 1970; one hour before `to` unless given. */
    from: z.coerce.number().pipe(timestampMs).optional(),
    /** ms since 1970, not included; now unless given. */
    to: z.coerce.number().pipe(timestampMs).optional(),
    /** ms */
    step: z.coerce.number().int().min(1000).default(MINUTE_MS),
    agg: z.enum(AGGREGATES).default("mean"),
  })
  .refine(({ host, vm }) => (host === undefined) !== (vm === undefined), {
    path: ["host"],
    message: "either host or vm",
  });

function rangeOf(query: { from?: number | undefined; to?: number | undefined; step: number }, now: number) {
  const to = query.to ?? now;
  const from = query.from ?? Math.max(0, to - HOUR_MS);
  const fault = (path: string, message: string) =>
    new AppError({ code: "invalid_request", issues: [{ path, message }] });
  if (from >= to) throw fault("from", "must be before to");
  if (to - from > RANGE_MS_MAX) throw fault("from", "at most 49 h before to: raw samples are kept for 48 h");
  if ((to - from) / query.step > STEPS_MAX) throw fault("step", `must be longer: at most ${STEPS_MAX} steps`);
  return { from, to };
}

const alignedSeries = z
  .strictObject({
    metric: z.string(),
    /** null: not in the catalogue. */
    unit: z.string().nullable(),
    /** One a step; null: no sample in it. */
    values: z.array(z.number().nullable()),
    /** Stretches without a sample. */
    gaps: z.array(z.strictObject({ from: z.int(), to: z.int() })),
  })
  .meta({ id: "AlignedSeries" });

const latestView = z
  .strictObject({ hostId: z.string(), cluster: z.string(), heardAt: z.int().nullable(), latest: latestSchema })
  .meta({ id: "LatestOfHost" });

export const telemetryRoutes = createRouter()
  .openapi(
    declareRoute(["agent", "ingest"], {
      method: "post",
      path: "/telemetry",
      summary: "Samples of a host and its VMs; gzip accepted, at most 5 MiB inflated",
      middleware: inflatedJson(BODY_BYTES_MAX),
      request: { body: jsonBody(telemetryBatch) },
      responses: {
        200: jsonAnswer(
          "Stored, but for what was refused",
          z.strictObject({ batch: z.string(), ...batchAnswer.shape, commands: z.array(commandEnvelope) }),
        ),
      },
    }),
    async (c) => {
      const batch = c.req.valid("json");
      assertActsFor(c.var.principal, batch.host, null);
      return c.json(await ingest(c.var.deps, c.var.principal, batch), 200);
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/series",
      summary: "Samples of a host or a VM, aligned and aggregated, and their gaps",
      request: { query: seriesQuery },
      responses: {
        200: jsonAnswer(
          "Series by metric",
          z.strictObject({
            from: z.int(),
            to: z.int(),
            step: z.int(),
            agg: z.enum(AGGREGATES),
            series: z.array(alignedSeries),
          }),
        ),
      },
    }),
    async (c) => {
      const { host, vm, cluster, metric, step, agg, ...range } = c.req.valid("query");
      const { from, to } = rangeOf({ ...range, step }, c.var.deps.now());
      const { series } = await querySeries(c.var.deps, {
        hostId: host ?? null,
        vmUuid: vm ?? null,
        cluster: cluster ?? null,
        metric,
        from,
        to,
        stepMs: step,
        agg,
      });
      return c.json({ from, to, step, agg, series }, 200);
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/latest",
      summary: "Latest values of hosts and their VMs, each [time in ms, value, moving average]",
      request: {
        query: z.strictObject({ host: operatorId.optional(), cluster: operatorId.optional(), ...pageQuery }),
      },
      responses: { 200: jsonAnswer("Latest values by host", page(latestView)) },
    }),
    async (c) => {
      const { host, cluster, after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.telemetry.latest({
        hostId: host ?? null,
        cluster: cluster ?? null,
        after: after ?? null,
        limit: limit + 1,
      });
      if (host !== undefined && found.length === 0) throw new AppError({ code: "not_found", what: "host", id: host });
      return c.json(
        cursor(found, limit, ({ hostId }) => hostId),
        200,
      );
    },
  );
