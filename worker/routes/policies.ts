import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { etag, ifMatch } from "../http/versions.ts";
import { planContent } from "../model/placement/types.ts";
import { newPolicy, policyChange } from "../model/policy/policy.ts";
import { policyRun, runNumbers, runOutcome } from "../model/policy/run.ts";
import { scoreboard } from "../model/policy/scoreboard.ts";
import { listedView, listedViewOf, policyView, viewOf } from "../model/policy/view.ts";
import { DAY_MS, MINUTE_MS } from "../model/units.ts";
import { operatorId } from "../model/wire/common.ts";
import {
  changePolicy,
  createPolicy,
  deletePolicy,
  readPolicy,
  readRecord,
  setPolicyEnabled,
} from "../services/policies.ts";
import { dryRun, runByHand } from "../services/policy-runs.ts";
import { readScoreboard } from "../services/scoreboard.ts";

const policyIdParam = z.strictObject({ policyId: z.string().min(1).max(64) });
const reason = z.string().min(1).max(500);
const because = jsonBody(z.strictObject({ reason }));

const runAnswer = z
  .strictObject({
    dryRun: z.boolean(),
    outcome: runOutcome.nullable(),
    summary: z.string().nullable(),
    numbers: runNumbers.nullable(),
    /** What was written down; null after a dry run. */
    run: policyRun.nullable(),
    /** After a dry run, the plan that it would have kept. */
    content: planContent.nullable(),
  })
  .meta({ id: "PolicyRunAnswer" });

const instant = z.coerce.number().int().min(0).max(8_640_000_000_000_000);
const scoreQuery = z.strictObject({
  from: instant.optional(),
  to: instant.optional(),
  horizonMs: z.coerce
    .number()
    .int()
    .min(MINUTE_MS)
    .max(30 * DAY_MS)
    .default(DAY_MS),
});

const policyWrites = createRouter()
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/",
      summary: "Make a policy; unless `shadowUntil` is given it is in shadow for seven days",
      middleware: idempotent,
      request: { body: jsonBody(newPolicy) },
      responses: { 201: jsonAnswer("The policy; `notes` say what to know of it", policyView) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const policy = await createPolicy(deps, principal, c.req.valid("json"));
      return c.json(viewOf(policy, deps.now()), 201, etag(policy.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "patch",
      path: "/{policyId}",
      summary: "Change fields of a policy; null takes an optional one away. Takes If-Match",
      request: { params: policyIdParam, body: jsonBody(policyChange) },
      responses: { 200: jsonAnswer("Changed", policyView) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const { policyId } = c.req.valid("param");
      const policy = await changePolicy(deps, principal, policyId, c.req.valid("json"), ifMatch(c));
      return c.json(viewOf(policy, deps.now()), 200, etag(policy.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "delete",
      path: "/{policyId}",
      summary: "Delete a policy and its runs; its plans stay. Takes If-Match",
      request: { params: policyIdParam, query: z.strictObject({ reason: reason.optional() }) },
      responses: { 200: jsonAnswer("Deleted", policyIdParam) },
    }),
    async (c) => {
      const { policyId } = c.req.valid("param");
      const { reason: why } = c.req.valid("query");
      await deletePolicy(c.var.deps, c.var.principal, policyId, { version: ifMatch(c), reason: why });
      return c.json({ policyId }, 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{policyId}/pause",
      summary: "Pause a policy: it does not run and silence approves none of its plans",
      request: { params: policyIdParam, body: because },
      responses: { 200: jsonAnswer("Paused", policyView) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const change = { enabled: false, reason: c.req.valid("json").reason };
      const policy = await setPolicyEnabled(deps, principal, c.req.valid("param").policyId, change);
      return c.json(viewOf(policy, deps.now()), 200, etag(policy.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{policyId}/resume",
      summary: "Resume a paused policy; times that passed meanwhile are not made up for",
      request: { params: policyIdParam, body: because },
      responses: { 200: jsonAnswer("Resumed", policyView) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const change = { enabled: true, reason: c.req.valid("json").reason };
      const policy = await setPolicyEnabled(deps, principal, c.req.valid("param").policyId, change);
      return c.json(viewOf(policy, deps.now()), 200, etag(policy.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{policyId}/run",
      summary: "Run a policy now; `dryRun` stores nothing and answers the plan",
      middleware: idempotent,
      request: {
        params: policyIdParam,
        body: jsonBody(
          z.strictObject({
            dryRun: z.boolean().default(false),
            /** As if an event were about this host: an `evacuate` goal without `hostIds` empties it. */
            hostId: operatorId.optional(),
            reason: reason.optional(),
          }),
        ),
      },
      responses: { 200: jsonAnswer("What came of it, or would", runAnswer) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const { policyId } = c.req.valid("param");
      const { dryRun: isDry, reason: why, hostId } = c.req.valid("json");
      if (isDry) return c.json({ dryRun: true, run: null, ...(await dryRun(deps, policyId, hostId ?? null)) }, 200);
      const run = await runByHand(deps, principal, policyId, { reason: why, hostId });
      const { outcome, summary, numbers } = run;
      return c.json({ dryRun: false, outcome, summary, numbers, run, content: null }, 200);
    },
  );

const policyReads = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Policies, oldest first",
      request: { query: z.strictObject({ cluster: operatorId.optional(), ...pageQuery }) },
      responses: { 200: jsonAnswer("Policies; those that cannot be read say why", page(listedView)) },
    }),
    async (c) => {
      const { deps } = c.var;
      const { cluster, after, limit } = c.req.valid("query");
      const found = await deps.store.policies.list(cluster ?? null, after ?? null, limit + 1);
      const views = found.map((stored) => listedViewOf(stored, deps.now()));
      return c.json(
        cursor(views, limit, (policy) => policy.policyId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{policyId}",
      summary: "One policy",
      request: { params: policyIdParam },
      responses: { 200: jsonAnswer("The policy", policyView) },
    }),
    async (c) => {
      const { deps } = c.var;
      const policy = await readPolicy(deps, c.req.valid("param").policyId);
      return c.json(viewOf(policy, deps.now()), 200, etag(policy.version));
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{policyId}/runs",
      summary: "What came of a policy each time it ran, newest first; kept for 90 days",
      request: { params: policyIdParam, query: z.strictObject(pageQuery) },
      responses: { 200: jsonAnswer("Runs", page(policyRun)) },
    }),
    async (c) => {
      const { deps } = c.var;
      const { policyId } = await readRecord(deps, c.req.valid("param").policyId);
      const { after, limit } = c.req.valid("query");
      const found = await deps.store.policyRuns.list(policyId, after ?? null, limit + 1);
      return c.json(
        cursor(found, limit, (run) => run.runId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{policyId}/scoreboard",
      summary: "What the policy would have done in shadow, against what was done and what came of it",
      request: { params: policyIdParam, query: scoreQuery },
      responses: { 200: jsonAnswer("The scoreboard; of the last seven days unless told otherwise", scoreboard) },
    }),
    async (c) => c.json(await readScoreboard(c.var.deps, c.req.valid("param").policyId, c.req.valid("query")), 200),
  );

export const policyRoutes = createRouter().route("/", policyReads).route("/", policyWrites);
