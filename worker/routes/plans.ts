import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { inflatedJson } from "../http/inflate.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { approvalsView } from "../model/approval.ts";
import { goal, planParameters } from "../model/placement/types.ts";
import { whyNotAnswer } from "../model/placement/why-not-types.ts";
import { draftPlan, onFailure, plan, planSummary, replay } from "../model/plan.ts";
import { stoppedRun } from "../model/run.ts";
import { snapshotInput } from "../model/snapshot-input.ts";
import { operatorId } from "../model/wire/common.ts";
import { approvePlan } from "../services/plan-approvals.ts";
import { readApprovals } from "../services/approvals.ts";
import { replayPlan, whyNotInPlan } from "../services/plan-questions.ts";
import { cancelPlan, createPlan, dryRun, readPlan, rejectPlan, skipMove, whatIf } from "../services/plans.ts";

const planIdParam = z.strictObject({ planId: z.string().min(1).max(64) });
const moveParam = planIdParam.extend({ n: z.coerce.number().int().min(1) });
const reason = z.string().min(1).max(500);
const whyNotQuery = z.strictObject({
  /** Its uuid, or its name where no other VM of the cluster has it. */
  vm: z.string().min(1).max(255),
  host: operatorId,
});

/** Of the body as it comes and of what it inflates to: about 1,000 hosts with 20,000 VMs, stated without samples. */
export const PLAN_BODY_BYTES_MAX = 16 * 1_048_576;

const planBody = z
  .strictObject({
    /** The plan is for what is stored of this cluster; leave it out with `snapshot`. */
    cluster: operatorId.optional(),
    /** What-if: the plan is for this cluster; nothing of it is read from what is stored, and nothing is stored. */
    snapshot: snapshotInput.optional(),
    goal,
    parameters: planParameters.default(() => planParameters.parse({})),
    /** The plan is answered and not stored. */
    dryRun: z.boolean().optional(),
  })
  .meta({ id: "NewPlan" })
  .transform(({ cluster, snapshot, dryRun: isDry, ...asked }, context) => {
    const refuse = (path: string, message: string) => {
      context.addIssue({ code: "custom", path: [path], message });
      return z.NEVER;
    };
    if (snapshot !== undefined && cluster !== undefined)
      return refuse("cluster", "leave it out: the plan is for the cluster in snapshot");
    if (snapshot !== undefined && isDry === false)
      return refuse("dryRun", "a plan for a snapshot in the body is never stored: leave it out");
    if (snapshot !== undefined) return { of: "stated" as const, input: { ...asked, snapshot } };
    if (cluster === undefined) return refuse("cluster", "give the cluster that the plan is for, or a whole snapshot");
    const input = { ...asked, cluster };
    return isDry === true ? { of: "dry-run" as const, input } : { of: "stored" as const, input };
  });

export const planRoutes = createRouter()
  .openapi(
    declareRoute(["plan"], {
      method: "post",
      path: "/",
      summary:
        "Ask the advisor: what should move, what it costs and why, or why nothing should; gzip accepted, at most 16 MiB inflated",
      middleware: [inflatedJson(PLAN_BODY_BYTES_MAX), idempotent],
      request: { body: jsonBody(planBody) },
      responses: {
        200: jsonAnswer("Of a dry run or a snapshot in the body: the plan, which is not stored", draftPlan),
        201: jsonAnswer("The plan; `done` at once when nothing is to be moved", plan),
      },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const body = c.req.valid("json");
      // A whole cluster as text and as it was parsed takes as much room as the plan for it.
      c.req.bodyCache = {};
      if (body.of === "stored") return c.json(await createPlan(deps, principal, body.input), 201);
      c.header("cache-control", "no-store");
      const made = body.of === "dry-run" ? dryRun(deps, body.input) : whatIf(deps, body.input);
      return c.json(await made, 200);
    },
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
      summary: "Approve exactly what was seen; its moves begin once all have approved who have to",
      request: {
        params: planIdParam,
        body: jsonBody(
          z.strictObject({
            contentHash: z.string().regex(/^[0-9a-f]{64}$/),
            reason: reason.optional(),
            onFailure: onFailure.default("stop"),
            /** Only these moves, by their `n`; the others are left out. */
            moves: z.array(z.int().min(1)).min(1).max(1000).optional(),
            /** In an emergency: without the others whose approval it needs. Takes a reason, and `operate` besides. */
            override: z.boolean().optional(),
          }),
        ),
      },
      responses: {
        200: jsonAnswer("Approved", plan),
        202: jsonAnswer("Counted; the approval of others is missing: GET …/approvals", plan),
      },
    }),
    async (c) => {
      const { planId } = c.req.valid("param");
      const approved = await approvePlan(c.var.deps, c.var.principal, planId, c.req.valid("json"));
      return approved.state === "proposed" ? c.json(approved, 202) : c.json(approved, 200);
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{planId}/approvals",
      summary: "Whose approval a plan needs, and who has given it",
      request: { params: planIdParam },
      responses: { 200: jsonAnswer("Approvals", approvalsView) },
    }),
    async (c) => {
      const found = await readPlan(c.var.deps, c.req.valid("param").planId);
      return c.json(await readApprovals(c.var.deps, found), 200);
    },
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
    declareRoute(["operate"], {
      method: "post",
      path: "/{planId}/cancel",
      summary: "Cancel an approved plan: nothing of it begins any more, and what may be ended is ended",
      request: { params: planIdParam, body: jsonBody(z.strictObject({ reason })) },
      responses: {
        200: jsonAnswer(
          "Cancelled; `migrations` says what became of each",
          z.strictObject({ plan, migrations: z.array(stoppedRun) }),
        ),
      },
    }),
    async (c) =>
      c.json(
        await cancelPlan(c.var.deps, c.var.principal, c.req.valid("param").planId, c.req.valid("json").reason),
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
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{planId}/why-not",
      summary: "Why the plan does not move this VM to this host, and the smallest changes after which it would",
      request: { params: planIdParam, query: whyNotQuery },
      responses: { 200: jsonAnswer("What stands against it, from what the plan was made from", whyNotAnswer) },
    }),
    async (c) => c.json(await whyNotInPlan(c.var.deps, c.req.valid("param").planId, c.req.valid("query")), 200),
  )
  .openapi(
    declareRoute(["read"], {
      method: "post",
      path: "/{planId}/replay",
      summary: "Make a plan once more from what it was made from: do the same bytes come?",
      request: { params: planIdParam },
      responses: { 200: jsonAnswer("Whether they do, and where they differ; nothing is stored", replay) },
    }),
    async (c) => c.json(await replayPlan(c.var.deps, c.req.valid("param").planId), 200),
  );
