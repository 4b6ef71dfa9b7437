import { z } from "zod";
import { AppError } from "../errors.ts";
import { idempotent } from "../http/idempotency.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { scope } from "../model/principal.ts";
import { operatorId, timestampMs } from "../model/wire/common.ts";
import { createToken } from "../services/tokens.ts";

const tokenBody = z
  .strictObject({
    name: z.string().min(1).max(100),
    scopes: z.array(scope).min(1),
    /** `agent` needs it: the one host that the token acts for. */
    hostId: operatorId.optional(),
    cluster: operatorId.optional(),
    expiresAt: timestampMs.optional(),
  })
  .superRefine((token, context) => {
    if (token.scopes.includes("agent") && token.hostId === undefined)
      context.addIssue({
        code: "custom",
        path: ["hostId"],
        message: "a token with scope `agent` is bound to one host",
      });
    if (token.scopes.includes("ingest") && token.hostId === undefined && token.cluster === undefined)
      context.addIssue({
        code: "custom",
        path: ["cluster"],
        message: "a token with scope `ingest` is bound to a host or a cluster",
      });
  })
  .meta({ id: "NewToken" });

const tokenView = z
  .strictObject({
    id: z.string(),
    name: z.string(),
    scopes: z.array(scope).readonly(),
    hostId: z.string().nullable(),
    cluster: z.string().nullable(),
    createdAt: z.int(),
    expiresAt: z.int().nullable(),
    revokedAt: z.int().nullable(),
  })
  .meta({ id: "Token" });

export const tokenRoutes = createRouter()
  .openapi(
    declareRoute(["admin"], {
      method: "post",
      path: "/",
      summary: "Make a token; it is shown once",
      middleware: idempotent,
      request: { body: jsonBody(tokenBody) },
      responses: {
        201: jsonAnswer("The token, for the only time", z.strictObject({ id: z.string(), token: z.string() })),
      },
    }),
    async (c) => c.json(await createToken(c.var.deps, c.var.principal, c.req.valid("json")), 201),
  )
  .openapi(
    declareRoute(["admin"], {
      method: "get",
      path: "/",
      summary: "Tokens, newest first, without their secrets",
      responses: { 200: jsonAnswer("Tokens", z.strictObject({ items: z.array(tokenView) })) },
    }),
    async (c) => c.json({ items: await c.var.deps.store.tokens.list() }, 200),
  )
  .openapi(
    declareRoute(["admin"], {
      method: "delete",
      path: "/{id}",
      summary: "Revoke a token; it works at most 60 s longer",
      request: { params: z.strictObject({ id: z.string().min(1).max(64) }) },
      responses: { 200: jsonAnswer("Revoked", z.strictObject({ id: z.string() })) },
    }),
    async (c) => {
      const { id } = c.req.valid("param");
      const { deps, principal } = c.var;
      const entry = { actor: principal.id, action: "token.revoked", subject: id };
      if (!(await deps.store.tokens.revoke(id, deps.now(), entry)))
        throw new AppError({ code: "not_found", what: "token", id });
      return c.json({ id }, 200);
    },
  );
