import { createRoute } from "@hono/zod-openapi";
import { z } from "zod";
import { createRouter, jsonAnswer } from "../http/route.ts";

export const metaRoutes = createRouter()
  .openapi(
    createRoute({
      method: "get",
      path: "/healthz",
      summary: "The Worker answers",
      responses: { 200: jsonAnswer("It does", z.strictObject({ status: z.literal("ok"), now: z.int() })) },
    }),
    (c) => c.json({ status: "ok" as const, now: c.var.deps.now() }, 200),
  )
  .openapi(
    createRoute({
      method: "get",
      path: "/v1/keys",
      summary: "Public keys that sign commands, for agents to pin",
      responses: {
        200: jsonAnswer("Keys, `whpk_` and base64", z.strictObject({ commandPublicKeys: z.array(z.string()) })),
      },
    }),
    async (c) => c.json({ commandPublicKeys: [(await c.var.deps.signer()).publicKey] }, 200),
  );
