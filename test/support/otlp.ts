// OTLP bodies as exporters write them, in both encodings.
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

export type Point = {
  attributes: [string, string][];
  start: bigint;
  time: bigint;
  value: { asInt: bigint } | { asDouble: number } | null;
  flags: number;
  exemplars: number;
};
export type Metric = {
  name: string;
  kind: "gauge" | "sum" | "histogram" | "exponentialHistogram" | "summary";
  temporality: number;
  isMonotonic: boolean;
  points: Point[];
};
export type Resource = { attributes: [string, string][]; metrics: Metric[] };

const FIELDS = { gauge: 5, sum: 7, histogram: 9, exponentialHistogram: 10, summary: 11 };

export const message = (fill: (writer: BinaryWriter) => void): Uint8Array => {
  const writer = new BinaryWriter();
  fill(writer);
  return writer.finish();
};
export const nested = (writer: BinaryWriter, field: number, fill: (writer: BinaryWriter) => void): void => {
  writer.tag(field, WireType.LengthDelimited).bytes(message(fill));
};
const text = (writer: BinaryWriter, field: number, value: string): BinaryWriter =>
  writer.tag(field, WireType.LengthDelimited).string(value);

function writeAttributes(writer: BinaryWriter, field: number, attributes: [string, string][]): void {
  for (const [key, value] of attributes)
    nested(writer, field, (entry) => nested(text(entry, 1, key), 2, (any) => text(any, 1, value)));
}

function writePoint(writer: BinaryWriter, { attributes, start, time, value, flags, exemplars }: Point): void {
  writer.tag(2, WireType.Bit64).fixed64(start).tag(3, WireType.Bit64).fixed64(time);
  if (value !== null && "asDouble" in value) writer.tag(4, WireType.Bit64).double(value.asDouble);
  if (value !== null && "asInt" in value) writer.tag(6, WireType.Bit64).sfixed64(value.asInt);
  for (let index = 0; index < exemplars; index++) nested(writer, 5, () => undefined);
  writeAttributes(writer, 7, attributes);
  writer.tag(8, WireType.Varint).uint32(flags);
}

/** As an exporter writes it. */
export const toProtobuf = (resources: Resource[]): Uint8Array =>
  message((request) => {
    for (const { attributes, metrics } of resources)
      nested(request, 1, (resource) => {
        nested(resource, 1, (inner) => writeAttributes(inner, 1, attributes));
        nested(resource, 2, (scope) => {
          for (const { name, kind, temporality, isMonotonic, points } of metrics)
            nested(scope, 2, (metric) =>
              nested(text(metric, 1, name), FIELDS[kind], (data) => {
                for (const point of points) nested(data, 1, (inner) => writePoint(inner, point));
                if (kind === "sum")
                  data.tag(2, WireType.Varint).int32(temporality).tag(3, WireType.Varint).bool(isMonotonic);
              }),
            );
        });
      });
  });

const jsonAttributes = (attributes: [string, string][]): unknown =>
  attributes.map(([key, value]) => ({ key, value: { stringValue: value } }));

/** JSON has no NaN. */
const jsonDouble = (value: number): unknown => (Number.isFinite(value) ? value : String(value));

export const toJson = (resources: Resource[]): unknown => ({
  resourceMetrics: resources.map(({ attributes, metrics }) => ({
    resource: { attributes: jsonAttributes(attributes) },
    scopeMetrics: [
      {
        metrics: metrics.map(({ name, kind, temporality, isMonotonic, points }) => ({
          name,
          [kind]: {
            ...(kind === "sum" ? { aggregationTemporality: temporality, isMonotonic } : {}),
            dataPoints: points.map(({ attributes: own, start, time, value, flags, exemplars }) => ({
              attributes: jsonAttributes(own),
              startTimeUnixNano: String(start),
              timeUnixNano: String(time),
              ...(value !== null && "asInt" in value ? { asInt: String(value.asInt) } : {}),
              ...(value !== null && "asDouble" in value ? { asDouble: jsonDouble(value.asDouble) } : {}),
              flags,
              exemplars: Array.from({ length: exemplars }, () => ({})),
            })),
          },
        })),
      },
    ],
  })),
});
