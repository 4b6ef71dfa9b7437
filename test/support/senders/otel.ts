// OpenTelemetry's own SDK for JavaScript as a sender of OTLP over HTTP.
import { OTLPMetricExporter as JsonExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPMetricExporter as ProtobufExporter } from "@opentelemetry/exporter-metrics-otlp-proto";
import { HostMetrics } from "@opentelemetry/host-metrics";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import type { Target } from "./prometheus.ts";

export type OtelFormat = "json" | "protobuf";

export type Otel = {
  provider: MeterProvider;
  /** Sends what was measured so far; throws when that was refused. */
  flush: () => Promise<void>;
  stop: () => Promise<void>;
};

/** Measures this machine (`system.*`) every second, sends it gzipped, and whatever else is put into `provider`. */
export function startOtel({ url, token }: Target, format: OtelFormat, attributes: Record<string, string>): Otel {
  // The enum that it wants stands in a package of which only the value is needed.
  const options = { url, headers: { authorization: `Bearer ${token}` }, compression: "gzip" as never };
  const exporter = format === "json" ? new JsonExporter(options) : new ProtobufExporter(options);
  const reader = new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 1000, exportTimeoutMillis: 900 });
  const provider = new MeterProvider({ resource: resourceFromAttributes(attributes), readers: [reader] });
  new HostMetrics({ meterProvider: provider }).start();
  return { provider, flush: () => provider.forceFlush(), stop: () => provider.shutdown().catch(() => undefined) };
}
