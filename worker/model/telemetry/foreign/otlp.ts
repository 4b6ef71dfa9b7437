// OpenTelemetry's metrics as both encodings of OTLP have them (opentelemetry-proto, metrics/v1/metrics.proto), without what
// Drover does not store.
import type { Label } from "./remote-write.ts";

export type OtlpPoint = {
  /** Values that are no text as JSON says them. */
  attributes: Label[];
  /** In ms since 1970, cut; 0 where it is not said. */
  timeMs: number;
  /** From the start of what was measured to `timeMs`; NaN where the start is not said. */
  spanMs: number;
  /** NaN: no value was recorded. */
  value: number;
  /** How many were there; they are read over. */
  exemplars: number;
};

export type OtlpMetric = {
  name: string;
  kind: "gauge" | "sum" | "histogram" | "exponential histogram" | "summary" | "none";
  temporality: "unspecified" | "delta" | "cumulative";
  isMonotonic: boolean;
  /** Of gauges and sums. */
  points: OtlpPoint[];
  /** Data points of the other kinds, read over. */
  skipped: number;
};

export type OtlpResource = { attributes: Label[]; metrics: OtlpMetric[] };

/** Data points of one body. */
export const POINTS_MAX = 100_000;

/** By the numbers that stand for them. */
export const TEMPORALITIES = ["unspecified", "delta", "cumulative"] as const;
/** In a data point's flags: it says that there is no value. */
export const NO_RECORDED_VALUE = 1;

export const emptyMetric = (): OtlpMetric => ({
  name: "",
  kind: "none",
  temporality: "unspecified",
  isMonotonic: false,
  points: [],
  skipped: 0,
});

const NS_PER_MS = 1_000_000n;

/** The two times of a data point, in ns since 1970; 0: not said. */
export function timesOf(startNs: bigint, timeNs: bigint): Pick<OtlpPoint, "timeMs" | "spanMs"> {
  return {
    timeMs: Number(timeNs / NS_PER_MS),
    spanMs: startNs === 0n ? Number.NaN : Number(timeNs - startNs) / 1e6,
  };
}
