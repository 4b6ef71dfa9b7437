import { z } from "zod";
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer } from "../http/route.ts";
import { ACROSS, AGGREGATES, withNulls } from "../model/series.ts";
import { TIERS, type Tier } from "../model/telemetry/chunk-id.ts";
import { latestSchema } from "../model/telemetry/known.ts";
import { summarySchema } from "../model/telemetry/summary.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../model/units.ts";
import { operatorId, timestampMs, vmUuid } from "../model/wire/common.ts";
import { latestPageJson } from "../model/telemetry/latest-json.ts";
import { latestOfHosts } from "../services/latest.ts";
import { GROUPS, querySeries, type SeriesAnswer } from "../services/series.ts";

const RANGE_MS_MAX = 400 * DAY_MS;
const STEPS_MAX = 11_520;
const NAMES_MAX = 1000;

const list = (what: string) =>
  z
    .string()
    .max(40_000)
    .transform((text) => text.split(",").map((part) => part.trim()))
    .refine((parts) => parts.length <= NAMES_MAX && parts.every((part) => part !== ""), `${what}, separated by commas`);

const metrics = list("names of metrics, in which * stands for any characters").refine(
  (names) => names.every((name) => /^[a-zA-Z0-9_:*]{1,128}$/.test(name)),
  "a metric name, in which * stands for any characters",
);
const hosts = list("host ids, in which * stands for any characters");
const vms = list("UUIDs of VMs, or * for all").refine(
  (uuids) => uuids.every((uuid) => uuid === "*" || vmUuid.safeParse(uuid).success),
  "a VM's lower-case UUID, or * for all",
);
const tiers = Object.keys(TIERS) as [Tier, ...Tier[]];

const seriesQuery = z
  .strictObject({
    /** Hosts by id or pattern, separated by commas. */
    host: hosts.optional(),
    /** VMs by UUID, separated by commas, or `*`: all, or those that are on `host` now. */
    vm: vms.optional(),
    /** Only of this cluster; needed where several clusters have a VM of one UUID. */
    cluster: operatorId.optional(),
    /** Names, separated by commas; `*` stands for any characters. */
    metric: metrics,
    /** ms since 1970; one hour before `to` unless given. */
    from: z.coerce.number().pipe(timestampMs).optional(),
    /** ms since 1970, not included; now unless given. */
    to: z.coerce.number().pipe(timestampMs).optional(),
    /** ms */
    step: z.coerce.number().int().min(1000).default(MINUTE_MS),
    agg: z.enum(AGGREGATES).default("mean"),
    /** One series for each of these; by subject unless given. */
    by: z.enum(GROUPS).optional(),
    /** How the series of a group are made one, where `by` makes groups. */
    across: z.enum(ACROSS).default("mean"),
    /** The tier to answer from; the one that suits range and step unless given. */
    tier: z.enum(tiers).optional(),
    /** `next` of the answer before. */
    after: z.string().min(1).max(200).optional(),
  })
  .refine(({ host, vm }) => host !== undefined || vm !== undefined, { path: ["host"], message: "host, vm or both" })
  .refine(({ host, vm }) => host === undefined || vm === undefined || vm.includes("*"), {
    path: ["vm"],
    message: "beside host it must be *: the VMs that are there now",
  })
  .refine(({ by, vm }) => by !== "vm" || vm !== undefined, { path: ["by"], message: "vm is needed for this" });

type Range = { from?: number | undefined; to?: number | undefined; step: number };

function rangeOf(query: Range, now: number): { from: number; to: number } {
  const to = query.to ?? now;
  const from = query.from ?? Math.max(0, to - HOUR_MS);
  const fault = (path: string, message: string) =>
    new AppError({ code: "invalid_request", issues: [{ path, message }] });
  if (from >= to) throw fault("from", "must be before to");
  if (to - from > RANGE_MS_MAX) throw fault("from", "at most 400 d before to: nothing is kept for longer");
  if ((to - from) / query.step > STEPS_MAX) throw fault("step", `must be longer: at most ${STEPS_MAX} steps`);
  return { from, to };
}

const seriesView = z
  .strictObject({
    cluster: z.string(),
    /** Of a VM: where it is now. null: nowhere, or of several. */
    host: z.string().nullable(),
    vm: vmUuid.nullable(),
    metric: z.string(),
    /** null: not in the catalogue. */
    unit: z.string().nullable(),
    /** One a step; null: no sample in it. */
    values: z.array(z.number().nullable()),
    /** Stretches without a sample. */
    gaps: z.array(z.strictObject({ from: z.int(), to: z.int() })),
  })
  .meta({ id: "Series" });

const seriesPage = z.strictObject({
  from: z.int(),
  to: z.int(),
  step: z.int(),
  agg: z.enum(AGGREGATES),
  /** What answers: samples as they came, or roll-ups. */
  tier: z.enum(tiers),
  /** Why this tier. */
  why: z.string(),
  /** Steps say about what their samples would. */
  approximate: z.boolean(),
  /** Chunks of stored samples that could not be read: what they hold is missing here. */
  harmedChunks: z.int().min(0),
  series: z.array(seriesView),
  /** To be given as `after` for what is left; null: this is all. */
  next: z.string().nullable(),
});

/** Whether a client prefers CSV to JSON. */
const wantsCsv = (accept: string | undefined): boolean => /(^|,)\s*text\/csv\b/i.test(accept ?? "");

function csvOf(deps: Deps, { times, series, next }: SeriesAnswer, url: string): Response {
  const rows = series.map(({ host, vm, metric, values }) => ({ host: host ?? "", vm: vm ?? "", metric, values }));
  const headers = new Headers({ "content-type": "text/csv; charset=utf-8; header=present" });
  if (next !== null) {
    const more = new URL(url);
    more.searchParams.set("after", next);
    headers.set("link", `<${more.pathname}${more.search}>; rel="next"`);
  }
  return new Response([...deps.seriesCsv(times, rows)].join(""), { headers });
}

const latestView = z
  .strictObject({ hostId: z.string(), cluster: z.string(), heardAt: z.int().nullable(), latest: latestSchema })
  .meta({ id: "LatestOfHost" });

const summaryView = z
  .strictObject({
    hostId: z.string(),
    cluster: z.string(),
    /** End of the last hour in it, ms since 1970. */
    summarizedAt: z.int().nullable(),
    summary: summarySchema.nullable(),
  })
  .meta({ id: "SummaryOfHost" });

export const seriesRoutes = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/series",
      summary: "Samples of hosts or VMs, aligned and aggregated, and their gaps; as CSV where the client accepts that",
      request: { query: seriesQuery },
      responses: {
        200: {
          description: "Series by subject and metric",
          content: { "application/json": { schema: seriesPage }, "text/csv": { schema: z.string() } },
        },
      },
    }),
    async (c) => {
      const { host, vm, cluster, metric, step, agg, by, across, tier, after, ...range } = c.req.valid("query");
      const { from, to } = rangeOf({ ...range, step }, c.var.deps.now());
      const answer = await querySeries(c.var.deps, {
        hosts: host ?? null,
        vms: vm ?? null,
        cluster: cluster ?? null,
        metrics: metric,
        from,
        to,
        stepMs: step,
        agg,
        by: by ?? null,
        across,
        tier,
        after: after ?? null,
      });
      // The type of a route's answers knows JSON only.
      if (wantsCsv(c.req.header("accept"))) return csvOf(c.var.deps, answer, c.req.url) as never;
      const series = answer.series.map((one) => ({ ...one, values: withNulls(one.values) }));
      const { tier: used, why, approximate, harmedChunks, next } = answer;
      return c.json({ from, to, step, agg, tier: used, why, approximate, harmedChunks, series, next }, 200);
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/latest",
      summary: "Latest values of hosts and their VMs, each [time in ms, value, moving average]",
      request: {
        query: z.strictObject({
          host: operatorId.optional(),
          cluster: operatorId.optional(),
          /** Names, separated by commas; `*` stands for any characters. All unless given. */
          metric: metrics.optional(),
          ...pageQuery,
        }),
      },
      responses: { 200: jsonAnswer("Latest values by host", page(latestView)) },
    }),
    async (c) => {
      const { host, cluster, metric, after, limit } = c.req.valid("query");
      const found = await latestOfHosts(c.var.deps, {
        hostId: host ?? null,
        cluster: cluster ?? null,
        metrics: metric ?? null,
        after: after ?? null,
        limit: limit + 1,
      });
      if (host !== undefined && found.length === 0) throw new AppError({ code: "not_found", what: "host", id: host });
      const { items, next } = cursor(found, limit, ({ hostId }) => hostId);
      // Written here, as the type of a route's answers cannot say.
      return c.body(latestPageJson(items, next), 200, { "content-type": "application/json" }) as never;
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/summaries",
      summary: "What the last closed hour and the last 24 of them were: quantiles of hosts and their VMs",
      request: {
        query: z.strictObject({ host: operatorId.optional(), cluster: operatorId.optional(), ...pageQuery }),
      },
      responses: { 200: jsonAnswer("Summaries by host; null: no hour of it was closed yet", page(summaryView)) },
    }),
    async (c) => {
      const { host, cluster, after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.telemetry.summaries({
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
