import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { estimateAnswer, estimateBody } from "../model/migration/types.ts";
import { estimate } from "../services/estimates.ts";

export const estimateRoutes = createRouter().openapi(
  declareRoute(["read"], {
    method: "post",
    path: "/",
    summary: "What each mechanism would cost, with intervals, and which is recommended",
    request: { body: jsonBody(estimateBody) },
    responses: { 200: jsonAnswer("Estimates", estimateAnswer) },
  }),
  async (c) => c.json(await estimate(c.var.deps, c.req.valid("json")), 200),
);
