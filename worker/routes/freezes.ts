import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { etag, ifMatch } from "../http/versions.ts";
import { freeze, freezeChange, freezeDefinition } from "../model/policy/freeze.ts";
import { operatorId } from "../model/wire/common.ts";
import { changeFreeze, createFreeze, deleteFreeze, readFreeze } from "../services/freezes.ts";

const freezeIdParam = z.strictObject({ freezeId: z.string().min(1).max(64) });

export const freezeRoutes = createRouter()
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/",
      summary: "Freeze a cluster, or hosts and VMs of it: nothing there is approved or begun",
      middleware: idempotent,
      request: { body: jsonBody(freezeDefinition) },
      responses: { 201: jsonAnswer("The freeze", freeze) },
    }),
    async (c) => {
      const made = await createFreeze(c.var.deps, c.var.principal, c.req.valid("json"));
      return c.json(made, 201, etag(made.version));
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Freezes, oldest first, those that are over among them",
      request: { query: z.strictObject({ cluster: operatorId.optional(), ...pageQuery }) },
      responses: { 200: jsonAnswer("Freezes", page(freeze)) },
    }),
    async (c) => {
      const { cluster, after, limit } = c.req.valid("query");
      const found = await c.var.deps.store.freezes.list(cluster ?? null, after ?? null, limit + 1);
      return c.json(
        cursor(found, limit, (item) => item.freezeId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{freezeId}",
      summary: "One freeze",
      request: { params: freezeIdParam },
      responses: { 200: jsonAnswer("The freeze", freeze) },
    }),
    async (c) => {
      const found = await readFreeze(c.var.deps, c.req.valid("param").freezeId);
      return c.json(found, 200, etag(found.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "patch",
      path: "/{freezeId}",
      summary: "Change a freeze; null takes a field away. Takes If-Match",
      request: { params: freezeIdParam, body: jsonBody(freezeChange) },
      responses: { 200: jsonAnswer("Changed", freeze) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const { freezeId } = c.req.valid("param");
      const changed = await changeFreeze(deps, principal, freezeId, c.req.valid("json"), ifMatch(c));
      return c.json(changed, 200, etag(changed.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "delete",
      path: "/{freezeId}",
      summary: "End a freeze. Takes If-Match",
      request: { params: freezeIdParam, query: z.strictObject({ reason: z.string().min(1).max(500).optional() }) },
      responses: { 200: jsonAnswer("Ended", freezeIdParam) },
    }),
    async (c) => {
      const { freezeId } = c.req.valid("param");
      const { reason } = c.req.valid("query");
      await deleteFreeze(c.var.deps, c.var.principal, freezeId, { version: ifMatch(c), reason });
      return c.json({ freezeId }, 200);
    },
  );
