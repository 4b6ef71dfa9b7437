import { z } from "zod";
import { AppError } from "../errors.ts";
import { idempotent } from "../http/idempotency.ts";
import { createRouter, declareRoute, jsonAnswer } from "../http/route.ts";
import { CALIBRATED, calibrationGroup, regime } from "../model/calibration/types.ts";
import { driverName, hypervisor, mechanism, operatorId } from "../model/wire/common.ts";
import { calibrationReport, importOutcomes } from "../services/calibration.ts";

const quantityAccuracy = z.strictObject({
  samples: z.int(),
  /** Median of |p50 − measured| / measured; null: nothing measured was above 0. */
  apeMedian: z.number().nullable(),
  absoluteErrorMedian: z.number(),
  /** Share of the measured values between p10 and p90. */
  coverageRatio: z.number(),
  /** Median of measured / p50. */
  biasRatio: z.number().nullable(),
});

const groupAccuracy = z
  .strictObject({
    group: z.string(),
    cluster: z.string(),
    hypervisor,
    mechanism,
    regime,
    samples: z.int(),
    subjects: z.int(),
    quantities: z.record(z.enum(CALIBRATED), quantityAccuracy.nullable()),
    convergedRatio: z.number(),
    brier: z.number(),
    learned: calibrationGroup.nullable(),
    drifted: z
      .strictObject({ quantity: z.enum(CALIBRATED), direction: z.enum(["above", "below"]), since: z.int() })
      .nullable(),
  })
  .meta({ id: "GroupAccuracy" });

const FORMATS: Record<string, "csv" | "jsonl"> = {
  "text/csv": "csv",
  "application/x-ndjson": "jsonl",
  "application/jsonl": "jsonl",
};

const importAnswer = z
  .strictObject({
    accepted: z.int(),
    duplicates: z.int(),
    rejectedCount: z.int(),
    rejected: z.array(z.strictObject({ line: z.int(), reason: z.string() })),
    groups: z.array(groupAccuracy),
  })
  .meta({ id: "CalibrationImport" });

function formatOf(contentType: string | undefined): "csv" | "jsonl" {
  const format = FORMATS[(contentType ?? "").split(";")[0]?.trim().toLowerCase() ?? ""];
  if (format !== undefined) return format;
  const detail = `The body's type is ${contentType ?? "not given"}; an import is ${Object.keys(FORMATS).join(", ")}.`;
  throw new AppError({ code: "unsupported_media_type", detail });
}

const text = { schema: { type: "string" } } as const;

export const calibrationRoutes = createRouter()
  .openapi(
    declareRoute(["read"], {
      method: "get",
      path: "/",
      summary: "Predicted against measured: error, coverage, convergence, drift and what is corrected by it, by group",
      request: { query: z.strictObject({ cluster: operatorId.optional() }) },
      responses: { 200: jsonAnswer("Groups", z.strictObject({ groups: z.array(groupAccuracy) })) },
    }),
    async (c) => c.json({ groups: await calibrationReport(c.var.deps, c.req.valid("query").cluster ?? null) }, 200),
  )
  .openapi(
    declareRoute(["operate"], {
      method: "post",
      path: "/imports",
      summary: "Learns from past migrations: CSV or JSON lines; docs/models.md has the columns",
      middleware: idempotent,
      request: {
        query: z.strictObject({
          cluster: operatorId,
          hypervisor: hypervisor.default("kvm"),
          driver: driverName.default("qmp"),
        }),
        body: {
          required: true,
          content: { "text/csv": text, "application/x-ndjson": text, "application/jsonl": text },
        },
      },
      responses: { 200: jsonAnswer("What was learned, and what could not be used", importAnswer) },
    }),
    async (c) => {
      const format = formatOf(c.req.header("content-type"));
      const given = { ...c.req.valid("query"), format, text: await c.req.text() };
      return c.json(await importOutcomes(c.var.deps, c.var.principal, given), 200);
    },
  );
