import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { newRule, ruleBody, storedRule } from "../model/placement/rules.ts";
import { operatorId } from "../model/wire/common.ts";
import { createRule, deleteRule, readRule, replaceRule } from "../services/rules.ts";

const ruleIdParam = z.strictObject({ ruleId: z.string().min(1).max(64) });

export const ruleRoutes = createRouter()
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/",
      summary: "State a placement rule: who belongs together, who apart, who on which hosts",
      middleware: idempotent,
      request: { body: jsonBody(newRule) },
      responses: {
        201: jsonAnswer(
          "The rule; plans made from now on keep it where it is hard, and weigh its price where it is soft",
          storedRule,
        ),
      },
    }),
    async (c) => c.json(await createRule(c.var.deps, c.var.principal, c.req.valid("json")), 201),
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Placement rules by id",
      request: { query: z.strictObject({ cluster: operatorId.optional(), ...pageQuery }) },
      responses: { 200: jsonAnswer("Rules", page(storedRule)) },
    }),
    async (c) => {
      const { cluster, after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.rules.list(cluster ?? null, after ?? null, limit + 1);
      const { items, next } = cursor(found, limit, ({ ruleId }) => ruleId);
      return c.json({ items: items.map(({ rule }) => rule).filter((rule) => rule !== null), next }, 200);
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{ruleId}",
      summary: "One placement rule",
      request: { params: ruleIdParam },
      responses: { 200: jsonAnswer("The rule", storedRule) },
    }),
    async (c) => c.json(await readRule(c.var.deps, c.req.valid("param").ruleId), 200),
  )
  .openapi(
    declareRoute(["operate"], {
      method: "put",
      path: "/{ruleId}",
      summary: "Replace what a placement rule says",
      request: { params: ruleIdParam, body: jsonBody(ruleBody) },
      responses: { 200: jsonAnswer("The rule as it is now", storedRule) },
    }),
    async (c) => {
      const { ruleId } = c.req.valid("param");
      return c.json(await replaceRule(c.var.deps, c.var.principal, ruleId, c.req.valid("json")), 200);
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "delete",
      path: "/{ruleId}",
      summary: "Withdraw a placement rule",
      request: { params: ruleIdParam },
      responses: { 200: jsonAnswer("Withdrawn", z.strictObject({ ruleId: z.string() })) },
    }),
    async (c) => {
      const { ruleId } = c.req.valid("param");
      await deleteRule(c.var.deps, c.var.principal, ruleId);
      return c.json({ ruleId }, 200);
    },
  );
