import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import type { Context } from "hono";
import { z } from "zod";
import type { AppEnv } from "../env.ts";
import { AppError } from "../errors.ts";
import { encodingOf, inflate } from "../http/inflate.ts";
import { createRouter, declareRoute, jsonAnswer } from "../http/route.ts";
import { createNameCache, readOtlp } from "../model/telemetry/foreign/opentelemetry.ts";
import { readOtlpJson } from "../model/telemetry/foreign/otlp-json.ts";
import { readOtlpProtobuf } from "../model/telemetry/foreign/otlp-protobuf.ts";
import { type KnownSeries, readRemoteWrite } from "../model/telemetry/foreign/prometheus.ts";
import { createSeriesCache } from "../model/telemetry/foreign/series-cache.ts";
import { unsnappy } from "../model/telemetry/foreign/snappy.ts";
import type { LabelSettings } from "../model/telemetry/foreign/target.ts";
import { WireError } from "../model/telemetry/foreign/wire.ts";
import { operatorId } from "../model/wire/common.ts";
import { assertAllStored, type ForeignAnswer, storeForeign } from "../services/foreign.ts";

/** What a body may inflate to. */
const INFLATED_BYTES_MAX = 16 * 1024 * 1024;

const label = z.string().min(1).max(128);
const labelQuery = z.strictObject({
  /** All series are of this host, whatever their labels say. */
  host: operatorId.optional(),
  /** The label (or attribute) that has the host's id; unless given `host`, `host.name`, or `instance` without its port. */
  host_label: label.optional(),
  /** The label that has the VM's UUID, or its name; unless given `uuid`, `vm`, `vm_uuid`, `vm.id` or `vm.uuid`. */
  vm_label: label.optional(),
  /** The label that has the VM's name; unless given `vm_name` or `vm.name`. */
  vm_name_label: label.optional(),
  /** Labels that are no part of a stored name, separated by commas, as `cluster,replica`. */
  ignore_labels: z.string().max(2000).optional(),
});

const settingsOf = (query: z.infer<typeof labelQuery>): LabelSettings => ({
  host: query.host ?? null,
  hostLabel: query.host_label ?? null,
  vmLabel: query.vm_label ?? null,
  vmNameLabel: query.vm_name_label ?? null,
  ignoredLabels: (query.ignore_labels ?? "").split(",").filter((name) => name !== ""),
});

const bodyOf = async (c: Context<AppEnv>): Promise<Uint8Array> => new Uint8Array(await c.req.raw.arrayBuffer());

const mediaTypeOf = (c: Context<AppEnv>): string =>
  (c.req.header("content-type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";

const unsupported = (detail: string) => new AppError({ code: "unsupported_media_type", detail });

/** What reading gives, a body that cannot be read being the sender's fault. */
function reading<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof WireError)
      throw new AppError({ code: error.kind === "too_large" ? "too_much" : "malformed_body", detail: error.message });
    throw error;
  }
}

const remoteWriteCache = createSeriesCache<KnownSeries>();
const otlpCache = createNameCache();

function assertRemoteWrite(c: Context<AppEnv>): void {
  const type = c.req.header("content-type") ?? "";
  if (mediaTypeOf(c) !== "application/x-protobuf")
    throw unsupported(`The body's type is ${type || "not given"}; it must be application/x-protobuf.`);
  const message = /;\s*proto=("?)([^";\s]+)\1/i.exec(type)?.[2];
  if (message !== undefined && message !== "prometheus.WriteRequest")
    throw unsupported(`The body is a ${message}; Drover takes remote write 1.0, prometheus.WriteRequest.`);
  encodingOf(c.req.header("content-encoding"), ["snappy"]);
}

type ExportAnswer = { partialSuccess?: { rejectedDataPoints: string; errorMessage: string } };

function exportAnswer({ refusedSamples, refusedCount, refused }: ForeignAnswer): ExportAnswer {
  if (refusedCount === 0) return {};
  const errorMessage = refused.map(({ series, reason }) => `${series}: ${reason}`).join("; ");
  return { partialSuccess: { rejectedDataPoints: String(refusedSamples), errorMessage } };
}

/** ExportMetricsServiceResponse (opentelemetry-proto, collector/metrics/v1/metrics_service.proto). */
function encodeExportAnswer({ partialSuccess }: ExportAnswer): Uint8Array<ArrayBuffer> {
  const out = new BinaryWriter();
  if (partialSuccess) {
    out.tag(1, WireType.LengthDelimited).fork();
    out.tag(1, WireType.Varint).int64(partialSuccess.rejectedDataPoints);
    out.tag(2, WireType.LengthDelimited).string(partialSuccess.errorMessage);
    out.join();
  }
  return out.finish();
}

const partialSuccess = z.strictObject({ rejectedDataPoints: z.string(), errorMessage: z.string() });

export const foreignRoutes = createRouter()
  .openapi(
    declareRoute(["ingest", "agent"], {
      method: "post",
      path: "/prometheus/write",
      summary: "Prometheus remote write 1.0: protobuf and snappy, at most 16 MiB inflated and 100,000 series",
      request: {
        query: labelQuery,
        body: {
          required: true,
          content: { "application/x-protobuf": { schema: { type: "string", format: "binary" } } },
        },
      },
      responses: { 204: { description: "All of it is stored" } },
    }),
    async (c) => {
      assertRemoteWrite(c);
      const body = await bodyOf(c);
      const settings = settingsOf(c.req.valid("query"));
      const series = reading(() => readRemoteWrite(unsnappy(body, INFLATED_BYTES_MAX), settings, remoteWriteCache));
      const answer = await storeForeign(c.var.deps, c.var.principal, series);
      assertAllStored(answer);
      return c.body(null, 204, {
        "x-prometheus-remote-write-samples-written": String(answer.stored),
        "x-prometheus-remote-write-histograms-written": "0",
        "x-prometheus-remote-write-exemplars-written": "0",
      });
    },
  )
  .openapi(
    declareRoute(["ingest", "agent"], {
      method: "post",
      path: "/otlp/v1/metrics",
      summary: "OTLP/HTTP metrics: protobuf or JSON, gzip accepted, at most 16 MiB inflated and 100,000 data points",
      request: {
        query: labelQuery,
        body: {
          required: true,
          content: {
            "application/x-protobuf": { schema: { type: "string", format: "binary" } },
            // Read as OTLP has it, not by a schema.
            "application/json": { schema: { type: "object" } },
          },
        },
      },
      responses: {
        200: jsonAnswer(
          "Stored, but for what was refused",
          z.strictObject({ partialSuccess: partialSuccess.optional() }),
        ),
      },
    }),
    async (c) => {
      const type = mediaTypeOf(c);
      if (type !== "application/x-protobuf" && type !== "application/json")
        throw unsupported(
          `The body's type is ${type || "not given"}; it must be application/x-protobuf or application/json.`,
        );
      const encoding = encodingOf(c.req.header("content-encoding"), ["gzip", "identity"]);
      const received = await bodyOf(c);
      const body = encoding === "gzip" ? inflate(received, INFLATED_BYTES_MAX) : received;
      const settings = settingsOf(c.req.valid("query"));
      const resources = reading(() =>
        type === "application/json" ? readOtlpJson(jsonOf(body)) : readOtlpProtobuf(body),
      );
      const answer = await storeForeign(c.var.deps, c.var.principal, readOtlp(resources, settings, otlpCache));
      // Nothing was stored because nothing may be: partial success would hide that.
      if (answer.isForeign && answer.stored === 0) assertAllStored(answer);
      const answered = exportAnswer(answer);
      if (type === "application/json") return c.json(answered, 200);
      return c.body(encodeExportAnswer(answered), 200, { "content-type": "application/x-protobuf" }) as never;
    },
  );

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(body));
  } catch {
    throw new AppError({ code: "malformed_body", detail: "The body is not JSON." });
  }
}
