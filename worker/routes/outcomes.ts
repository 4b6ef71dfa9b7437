import { z } from "zod";
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute } from "../http/route.ts";
import { type OutcomeRecord, outcomeRecord } from "../model/outcome-record.ts";
import { mechanism, operatorId, timestampMs, vmUuid } from "../model/wire/common.ts";

const time = z.coerce.number().pipe(timestampMs).optional();

const outcomesQuery = z.strictObject({
  cluster: operatorId.optional(),
  /** Where the VM came from or went to. */
  host: operatorId.optional(),
  vm: vmUuid.optional(),
  mechanism: mechanism.optional(),
  state: outcomeRecord.shape.state.optional(),
  /** Ended at or after `from` and before `to`, ms since 1970. */
  from: time,
  to: time,
  ...pageQuery,
});

const cursorOf = ({ endedAt, migrationId }: OutcomeRecord): string => `${endedAt}.${migrationId}`;

function readCursor(text: string | undefined): { endedAt: number; migrationId: string } | null {
  if (text === undefined) return null;
  const [, endedAt, migrationId] = /^(\d{1,16})\.(.+)$/.exec(text) ?? [];
  if (endedAt === undefined || migrationId === undefined)
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "after", message: "is no cursor of this list: take `next` of the page before" }],
    });
  return { endedAt: Number(endedAt), migrationId };
}

type Format = "application/json" | "text/csv" | "application/x-ndjson";
const FORMATS: readonly (readonly [RegExp, Format])[] = [
  [/^text\/csv\b/i, "text/csv"],
  [/^application\/(x-ndjson|jsonl|jsonlines)\b/i, "application/x-ndjson"],
  [/^(application\/(json|\*)|\*\/\*)/i, "application/json"],
];

/** The first format that the client lists and that there is; JSON where it lists none of them. */
function formatOf(accept: string | undefined): Format {
  for (const wanted of (accept ?? "").split(","))
    for (const [pattern, format] of FORMATS) if (pattern.test(wanted.trim())) return format;
  return "application/json";
}

function exported(
  { outcomeExport }: Deps,
  format: Exclude<Format, "application/json">,
  { items, next }: { items: OutcomeRecord[]; next: string | null },
  url: string,
): Response {
  const isCsv = format === "text/csv";
  const headers = new Headers({
    "content-type": isCsv ? "text/csv; charset=utf-8; header=present" : "application/x-ndjson; charset=utf-8",
    "content-disposition": `attachment; filename="outcomes.${isCsv ? "csv" : "jsonl"}"`,
  });
  if (next !== null) {
    const more = new URL(url);
    more.searchParams.set("after", next);
    headers.set("link", `<${more.pathname}${more.search}>; rel="next"`);
  }
  return new Response(isCsv ? outcomeExport.csv(items) : outcomeExport.jsonLines(items), { headers });
}

export const outcomeRoutes = createRouter().openapi(
  declareRoute(["read"], {
    method: "get",
    path: "/",
    summary:
      "Predicted and measured of every run that has ended, the last one first; as CSV or JSON lines where the client accepts that",
    request: { query: outcomesQuery },
    responses: {
      200: {
        description: "Outcomes. Of CSV and JSON lines the header `Link` has the next page, where there is one",
        content: {
          "application/json": { schema: page(outcomeRecord) },
          "text/csv": { schema: z.string() },
          "application/x-ndjson": { schema: z.string() },
        },
      },
    },
  }),
  async (c) => {
    const { after, limit, ...filter } = c.req.valid("query");
    const found = await c.var.deps.store.outcomes.list({ ...filter, after: readCursor(after), limit: limit + 1 });
    const answer = cursor(found, limit, cursorOf);
    const format = formatOf(c.req.header("accept"));
    // The type of a route's answers knows JSON only.
    if (format !== "application/json") return exported(c.var.deps, format, answer, c.req.url) as never;
    return c.json(answer, 200);
  },
);
