import { z } from "zod";
import { assertActsFor } from "../http/auth.ts";
import { inflatedJson } from "../http/inflate.ts";
import { createRouter, declareRoute, jsonAnswer, jsonBody } from "../http/route.ts";
import { batchAnswer } from "../model/telemetry/batch-ring.ts";
import { commandEnvelope } from "../model/wire/command.ts";
import { telemetryBatch } from "../model/wire/telemetry.ts";
import { ingest } from "../services/telemetry.ts";

/** Of the body as it comes and of what it inflates to. */
const BODY_BYTES_MAX = 5 * 1024 * 1024;

export const telemetryRoutes = createRouter().openapi(
  declareRoute(["agent", "ingest"], {
    method: "post",
    path: "/telemetry",
    summary: "Samples of a host and its VMs; gzip accepted, at most 5 MiB inflated",
    middleware: inflatedJson(BODY_BYTES_MAX),
    request: { body: jsonBody(telemetryBatch) },
    responses: {
      200: jsonAnswer(
        "Stored, but for what was refused",
        z.strictObject({ batch: z.string(), ...batchAnswer.shape, commands: z.array(commandEnvelope) }),
      ),
    },
  }),
  async (c) => {
    const batch = c.req.valid("json");
    const principal = c.get("principal");
    assertActsFor(principal, batch.host, null);
    return c.json(await ingest(c.get("deps"), principal, batch, c.get("bodyHash")), 200);
  },
);
