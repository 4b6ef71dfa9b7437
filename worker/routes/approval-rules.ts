import { z } from "zod";
import { AppError } from "../errors.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { approvalRule } from "../model/approval-rule.ts";
import { operatorId } from "../model/wire/common.ts";
import { removeApprovalRule, setApprovalRule } from "../services/approvals.ts";

const clusterParam = z.strictObject({ cluster: operatorId });
const stored = z
  .strictObject({ cluster: z.string(), rule: approvalRule, updatedBy: z.string(), updatedAt: z.int() })
  .meta({ id: "ClusterApprovalRule" });

export const approvalRuleRoutes = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary:
        "Whose approval plans need, by cluster; of a cluster that is not there anybody's with the scope is enough",
      responses: { 200: jsonAnswer("Rules", z.strictObject({ items: z.array(stored) })) },
    }),
    async (c) => c.json({ items: await c.var.deps.store.approvals.rules() }, 200),
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{cluster}",
      summary: "Whose approval plans of a cluster need",
      request: { params: clusterParam },
      responses: { 200: jsonAnswer("The rule", stored) },
    }),
    async (c) => {
      const { cluster } = c.req.valid("param");
      const found = await c.var.deps.store.approvals.ruleOf(cluster);
      if (!found) throw new AppError({ code: "not_found", what: "approval-rule", id: cluster });
      return c.json(found, 200);
    },
  )
  .openapi(
    declareRoute(["admin"], {
      method: "put",
      path: "/{cluster}",
      summary: "Set whose approval plans of a cluster need; also those that wait already",
      request: { params: clusterParam, body: jsonBody(approvalRule) },
      responses: { 200: jsonAnswer("Set", stored) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      return c.json(await setApprovalRule(deps, principal, c.req.valid("param").cluster, c.req.valid("json")), 200);
    },
  )
  .openapi(
    declareRoute(["admin"], {
      method: "delete",
      path: "/{cluster}",
      summary: "Anybody's approval is enough again, if they have the scope",
      request: { params: clusterParam, query: z.strictObject({ reason: z.string().min(1).max(500) }) },
      responses: { 200: jsonAnswer("Removed", clusterParam) },
    }),
    async (c) => {
      const { cluster } = c.req.valid("param");
      await removeApprovalRule(c.var.deps, c.var.principal, cluster, c.req.valid("query").reason);
      return c.json({ cluster }, 200);
    },
  );
