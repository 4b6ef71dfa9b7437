import { z } from "zod";
import { idempotent } from "../http/idempotency.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { policyRun } from "../model/policy/run.ts";
import { policyEvent } from "../model/policy/trigger.ts";
import { raiseEvent } from "../services/policy-events.ts";

const eventAnswer = z
  .strictObject({
    /** One for each policy that waits for such events. `run` null: the event is one that came before. */
    policies: z.array(z.strictObject({ policyId: z.string(), run: policyRun.nullable(), why: z.string() })),
  })
  .meta({ id: "PolicyEventAnswer" });

export const policyEventRoutes = createRouter().openapi(
  declareRoute(["operate"], {
    method: "post",
    path: "/",
    summary: "Something has happened: the policies that wait for it run",
    middleware: idempotent,
    request: { body: jsonBody(policyEvent) },
    responses: { 200: jsonAnswer("What the event has started", eventAnswer) },
  }),
  async (c) => c.json({ policies: await raiseEvent(c.var.deps, c.var.principal, c.req.valid("json")) }, 200),
);
