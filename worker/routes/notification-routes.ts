import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { cursor, page, pageQuery } from "../http/paging.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { etag, ifMatch } from "../http/versions.ts";
import { newRoute, notificationRoute, routeChange, routeTarget } from "../model/notifications/route.ts";
import {
  changeRoute,
  createRoute,
  deleteRoute,
  readRoute,
  testRoute,
  viewsOf,
} from "../services/notification-routes.ts";

const routeIdParam = z.strictObject({ routeId: z.string().min(1).max(64) });

const reads = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Notification routes, oldest first, and how each has done",
      request: { query: z.strictObject(pageQuery) },
      responses: { 200: jsonAnswer("Routes", page(notificationRoute)) },
    }),
    async (c) => {
      const { deps } = c.var;
      const { after, limit } = c.req.valid("query");
      const found = await deps.store.routes.list(after ?? null, limit + 1);
      return c.json(
        cursor(await viewsOf(deps, found), limit, ({ routeId }) => routeId),
        200,
      );
    },
  )
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/{routeId}",
      summary: "One notification route",
      request: { params: routeIdParam },
      responses: { 200: jsonAnswer("The route", notificationRoute) },
    }),
    async (c) => {
      const found = await readRoute(c.var.deps, c.req.valid("param").routeId);
      return c.json(found, 200, etag(found.version));
    },
  );

const writes = createRouter()
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/",
      summary: "Have events gathered and told to webhooks and chat channels",
      middleware: idempotent,
      request: { body: jsonBody(newRoute) },
      responses: { 201: jsonAnswer("The route", notificationRoute) },
    }),
    async (c) => {
      const made = await createRoute(c.var.deps, c.var.principal, c.req.valid("json"));
      return c.json(made, 201, etag(made.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "patch",
      path: "/{routeId}",
      summary: "Change fields of a route. Takes If-Match",
      request: { params: routeIdParam, body: jsonBody(routeChange) },
      responses: { 200: jsonAnswer("Changed", notificationRoute) },
    }),
    async (c) => {
      const { deps, principal } = c.var;
      const { routeId } = c.req.valid("param");
      const changed = await changeRoute(deps, principal, routeId, c.req.valid("json"), ifMatch(c));
      return c.json(changed, 200, etag(changed.version));
    },
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/{routeId}/test",
      summary: "Send a message that says that it is a test to all targets of the route",
      request: { params: routeIdParam },
      responses: {
        200: jsonAnswer(
          "Where it was sent; those that are gone are left out",
          z.strictObject({ to: z.array(routeTarget) }),
        ),
      },
    }),
    async (c) => c.json(await testRoute(c.var.deps, c.var.principal, c.req.valid("param").routeId), 200),
  )
  .openapi(
    declareRoute(["operate"], {
      method: "delete",
      path: "/{routeId}",
      summary: "Delete a route; what it has gathered and not sent is not told. Takes If-Match",
      request: { params: routeIdParam, query: z.strictObject({ reason: z.string().min(1).max(500).optional() }) },
      responses: { 200: jsonAnswer("Deleted", routeIdParam) },
    }),
    async (c) => {
      const { routeId } = c.req.valid("param");
      const { reason } = c.req.valid("query");
      await deleteRoute(c.var.deps, c.var.principal, routeId, { version: ifMatch(c), reason });
      return c.json({ routeId }, 200);
    },
  );

export const notificationRoutes = createRouter().route("/", reads).route("/", writes);
