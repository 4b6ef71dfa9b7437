import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { askPreflight, preflightBody, preflightView, readPreflight } from "../services/preflights.ts";

export const moveRoutes = createRouter()
  .openapi(
    declareRoute(["plan"], {
      method: "post",
      path: "/preflight",
      summary: "Ask a host's agent whether it could take a VM, and look at each of its reasons; nothing is moved",
      description:
        "Waits for the agent, `waitMs` at most; then 504 with `preflightId`, under which a late answer can be read.",
      middleware: idempotent,
      request: { body: jsonBody(preflightBody) },
      responses: { 200: jsonAnswer("What the destination's agent says", preflightView) },
    }),
    async (c) => c.json(await askPreflight(c.var.deps, c.req.valid("json")), 200),
  )
  .openapi(
    declareRoute(["read", "plan"], {
      method: "get",
      path: "/preflight/{preflightId}",
      summary: "A preflight that was asked for in the last seven days",
      request: { params: z.strictObject({ preflightId: z.string().min(1).max(64) }) },
      responses: { 200: jsonAnswer("The preflight", preflightView) },
    }),
    async (c) => c.json(await readPreflight(c.var.deps, c.req.valid("param").preflightId), 200),
  );
