import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { goal, planParameters } from "../model/placement/types.ts";
import { plan, planSummary } from "../model/plan.ts";
import { operatorId } from "../model/wire/common.ts";
import { approvePlan, createPlan, readPlan, rejectPlan, skipMove } from "../services/plans.ts";

const planIdParam = z.strictObject({ planId: z.string().min(1).max(64) });
const moveParam = planIdParam.extend({ n: z.coerce.number().int().min(1) });
const reason = z.string().min(1).max(500);

const planBody = z
  .strictObject({ cluster: operatorId, goal, parameters: planParameters.default(() => planParameters.parse({})) })
  .meta({ id: "NewPlan" });

export const planRoutes = createRouter()
  .openapi(
    declareRoute(["plan"], {
      method: "post",
      path: "/",
      summary: "Ask the advisor: what should move, what it costs and why, or why nothing should",
      middleware: idempotent,
      request: { body: jsonBody(planBody) },
      responses: { 201: jsonAnswer("The plan; `done` at once when nothing is to be moved", plan) },
    }),
    async (c) => c.json(await createPlan(c.var.deps, c.var.principal, c.req.valid("json")), 201),
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Plans, newest first",
      request: { query: z.strictObject({ cluster: operatorId.optional(), ...pageQuery }) },
      responses: { 200: jsonAnswer("Plans without their content", page(planSummary)) },
    }),
    async (c) => {
      const { cluster, after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.plans.list(cluster ?? null, after ?? null, limit + 1);
      return c.json(
        cursor(found, limit, (item) => item.planId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{planId}",
      summary: "One plan with its moves, reasons and costs",
      request: { params: planIdParam },
      responses: { 200: jsonAnswer("The plan", plan) },
    }),
    async (c) => c.json(await readPlan(c.var.deps, c.req.valid("param").planId), 200),
  )
  .openapi(
    declareRoute(["approve"], {
      method: "post",
      path: "/{planId}/approve",
      summary: "Approve exactly what was seen; its moves begin",
      request: {
        params: planIdParam,
        body: jsonBody(z.strictObject({ contentHash: z.string().regex(/^[0-9a-f]{64}$/), reason: reason.optional() })),
      },
      responses: { 200: jsonAnswer("Approved", plan) },
    }),
    async (c) =>
      c.json(await approvePlan(c.var.deps, c.var.principal, c.req.valid("param").planId, c.req.valid("json")), 200),
  )
  .openapi(
    declareRoute(["approve"], {
      method: "post",
      path: "/{planId}/reject",
      summary: "Reject a plan",
      request: { params: planIdParam, body: jsonBody(z.strictObject({ reason })) },
      responses: { 200: jsonAnswer("Rejected", plan) },
    }),
    async (c) =>
      c.json(
        await rejectPlan(c.var.deps, c.var.principal, c.req.valid("param").planId, c.req.valid("json").reason),
        200,
      ),
  )
  .openapi(
    declareRoute(["approve"], {
      method: "post",
      path: "/{planId}/moves/{n}/skip",
      summary: "Leave one move out that has not begun",
      request: { params: moveParam, body: jsonBody(z.strictObject({ reason })) },
      responses: { 200: jsonAnswer("Left out", plan) },
    }),
    async (c) => {
      const { planId, n } = c.req.valid("param");
      return c.json(await skipMove(c.var.deps, c.var.principal, planId, n, c.req.valid("json").reason), 200);
    },
  );
