import { z } from "zod";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer } from "../http/route.ts";

const auditView = z
  .strictObject({
    id: z.int(),
    at: z.int(),
    /** Token id, `admin`, or the host whose agent spoke. */
    actor: z.string(),
    action: z.string(),
    subject: z.string(),
    reason: z.string().nullable(),
    detail: z.unknown(),
  })
  .meta({ id: "AuditEntry" });

export const auditRoutes = createRouter().openapi(
  declareRoute(["admin"], {
    method: "get",
    path: "/",
    summary: "Who changed what, and why; newest first",
    request: { query: z.strictObject({ ...pageQuery, after: z.coerce.number().int().min(1).optional() }) },
    responses: { 200: jsonAnswer("Entries", page(auditView)) },
  }),
  async (c) => {
    const { after, limit } = c.req.valid("query");
    const found = await c.var.deps.store.audit.page(limit + 1, after ?? null);
    return c.json(
      cursor(found, limit, (entry) => String(entry.id)),
      200,
    );
  },
);
