import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { stoppedRun } from "../model/run.ts";
import { operatorId, timestampMs } from "../model/wire/common.ts";
import { stopEverything } from "../services/stop.ts";

const stopped = z
  .strictObject({
    /** What keeps anything from beginning: end them with `DELETE /v1/freezes/{freezeId}`. */
    freezes: z.array(z.strictObject({ freezeId: z.string(), cluster: z.string() })),
    cancelledPlans: z.array(z.string()),
    migrations: z.array(stoppedRun),
  })
  .meta({ id: "Stopped" });

export const stopRoutes = createRouter().openapi(
  declareRoute(["operate"], {
    method: "post",
    path: "/",
    summary: "Stop everything: freeze, cancel plans, end what may be ended; what must go on is told with why",
    middleware: idempotent,
    request: {
      body: jsonBody(
        z.strictObject({
          /** Absent: every cluster. */
          cluster: operatorId.optional(),
          reason: z.string().min(1).max(500),
          /** When the freeze is over; absent: when a person ends it. */
          until: timestampMs.optional(),
        }),
      ),
    },
    responses: { 200: jsonAnswer("What was stopped, and what goes on", stopped) },
  }),
  async (c) => c.json(await stopEverything(c.var.deps, c.var.principal, c.req.valid("json")), 200),
);
