// OTLP's ExportMetricsServiceRequest in JSON: protobuf's JSON mapping with the names of fields in camelCase, enums as numbers
// or names, 64-bit integers as strings or numbers.
import {
  emptyMetric,
  NO_RECORDED_VALUE,
  type OtlpMetric,
  type OtlpPoint,
  type OtlpResource,
  POINTS_MAX,
  TEMPORALITIES,
  timesOf,
} from "./otlp.ts";
import type { Label } from "./remote-write.ts";
import { WireError } from "./wire.ts";

type Fields = Readonly<Record<string, unknown>>;

/** JSON has no byte to point at: the message says which field it is. */
const misfit = (field: string, what: string): WireError => new WireError(`${field} is not ${what}`, 0);

function fieldsOf(value: unknown, field: string): Fields {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw misfit(field, "an object");
  return value as Fields;
}

/** null stands for what is not there, as in protobuf's mapping. */
function listOf(value: unknown, field: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw misfit(field, "an array");
  return value;
}

function textOf(value: unknown, field: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value !== "string") throw misfit(field, "a string");
  return value;
}

function int64Of(value: unknown, field: string): bigint {
  if (value === undefined || value === null) return 0n;
  if (typeof value === "string" && /^-?\d{1,20}$/.test(value)) return BigInt(value);
  if (typeof value === "number" && Number.isInteger(value)) return BigInt(value);
  throw misfit(field, "a 64-bit integer");
}

/** Numbers, also as text; NaN and infinities are text. */
function doubleOf(value: unknown, field: string): number {
  if (typeof value === "number") return value;
  if (value === "NaN") return Number.NaN;
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : Number.NaN;
  if (Number.isNaN(number)) throw misfit(field, "a number");
  return number;
}

/** An AnyValue as text; what is no text as JSON. */
function valueText(value: unknown): string {
  const fields = fieldsOf(value, "an attribute's value");
  if (typeof fields["stringValue"] === "string") return fields["stringValue"];
  // One of them is there.
  const [said] = ["boolValue", "intValue", "doubleValue"].flatMap((name) => fields[name] ?? []);
  if (said !== undefined) return String(said);
  const nested = fields["arrayValue"] ?? fields["kvlistValue"];
  return nested === undefined || nested === null ? "" : JSON.stringify(nested);
}

const labelsOf = (value: unknown): Label[] =>
  listOf(value, "attributes").map((entry): Label => {
    const fields = fieldsOf(entry, "an attribute");
    return [textOf(fields["key"], "key"), valueText(fields["value"])];
  });

function pointOf(value: unknown): OtlpPoint {
  const fields = fieldsOf(value, "a data point");
  const flags = Number(int64Of(fields["flags"], "flags"));
  const { asDouble, asInt } = fields;
  let number = Number.NaN;
  if (asDouble !== undefined && asDouble !== null) number = doubleOf(asDouble, "asDouble");
  else if (asInt !== undefined && asInt !== null) number = Number(int64Of(asInt, "asInt"));
  return {
    attributes: labelsOf(fields["attributes"]),
    ...timesOf(
      int64Of(fields["startTimeUnixNano"], "startTimeUnixNano"),
      int64Of(fields["timeUnixNano"], "timeUnixNano"),
    ),
    value: (flags & NO_RECORDED_VALUE) === 0 ? number : Number.NaN,
    exemplars: listOf(fields["exemplars"], "exemplars").length,
  };
}

const NAMED_TEMPORALITIES: Readonly<Record<string, OtlpMetric["temporality"]>> = {
  AGGREGATION_TEMPORALITY_DELTA: "delta",
  AGGREGATION_TEMPORALITY_CUMULATIVE: "cumulative",
};

function temporalityOf(value: unknown): OtlpMetric["temporality"] {
  if (typeof value === "string") return NAMED_TEMPORALITIES[value] ?? "unspecified";
  return typeof value === "number" ? (TEMPORALITIES[value] ?? "unspecified") : "unspecified";
}

const KINDS = [
  ["gauge", "gauge"],
  ["sum", "sum"],
  ["histogram", "histogram"],
  ["exponentialHistogram", "exponential histogram"],
  ["summary", "summary"],
] as const;

function metricOf(value: unknown): OtlpMetric {
  const fields = fieldsOf(value, "a metric");
  const metric = { ...emptyMetric(), name: textOf(fields["name"], "name") };
  for (const [field, kind] of KINDS) {
    if (fields[field] === undefined || fields[field] === null) continue;
    const data = fieldsOf(fields[field], field);
    const points = listOf(data["dataPoints"], "dataPoints");
    metric.kind = kind;
    if (kind === "gauge" || kind === "sum") metric.points.push(...points.map(pointOf));
    else metric.skipped += points.length;
    if (kind !== "sum") continue;
    metric.temporality = temporalityOf(data["aggregationTemporality"]);
    metric.isMonotonic = data["isMonotonic"] === true;
  }
  return metric;
}

/** The metrics of a request that was parsed as JSON; WireError as `readOtlpProtobuf`, but the offset says nothing. */
export function readOtlpJson(body: unknown): OtlpResource[] {
  if (typeof body !== "object" || body === null) throw misfit("the body", "an object");
  let left = POINTS_MAX;
  return listOf(fieldsOf(body, "the body")["resourceMetrics"], "resourceMetrics").map((entry) => {
    const fields = fieldsOf(entry, "an entry of resourceMetrics");
    const scopes = listOf(fields["scopeMetrics"], "scopeMetrics").map((scope) => fieldsOf(scope, "a scope"));
    const metrics = scopes.flatMap((scope) => listOf(scope["metrics"], "metrics").map(metricOf));
    for (const { points, skipped } of metrics) left -= points.length + skipped;
    if (left < 0) throw new WireError(`over ${POINTS_MAX} data points in one body`, 0, "too_large");
    return { attributes: labelsOf(fieldsOf(fields["resource"], "resource")["attributes"]), metrics };
  });
}
