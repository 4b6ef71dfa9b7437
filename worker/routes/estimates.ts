import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { estimateAnswer, estimateBody } from "../model/migration/types.ts";
import { severalAnswer, severalBody } from "../model/migration/several-types.ts";
import { estimate, estimateTogether } from "../services/estimates.ts";

export const estimateRoutes = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "post",
      path: "/",
      summary: "What each mechanism would cost, with intervals, and which is recommended",
      request: { body: jsonBody(estimateBody) },
      responses: { 200: jsonAnswer("Estimates", estimateAnswer) },
    }),
    async (c) => c.json(await estimate(c.var.deps, c.req.valid("json")), 200),
  )
  .openapi(
    declareRoute(["read"], {
      method: "post",
      path: "/several",
      summary: "Migrations that share a link: how many at a time, in which order, and what stops converging",
      request: { body: jsonBody(severalBody) },
      responses: { 200: jsonAnswer("Plans", severalAnswer) },
    }),
    async (c) => c.json(await estimateTogether(c.var.deps, c.req.valid("json")), 200),
  );
