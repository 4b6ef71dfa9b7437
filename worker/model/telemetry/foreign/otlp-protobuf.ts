// OTLP's ExportMetricsServiceRequest in protobuf, field by field with the library's reader (docs/adr/0008).
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
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

/** Attributes may hold lists of lists; no sender needs more. */
const DEPTH_MAX = 8;

/** Reads the field if it is known, and says whether it is. */
type Visit = (field: number, type: WireType) => boolean;

function expectType(type: WireType, expected: WireType): void {
  if (type !== expected) throw new RangeError(`wire type ${type} where ${expected} should be`);
}

/** Calls `visit` for the fields up to `end`; those that it does not know are read over. */
function eachField(reader: BinaryReader, end: number, visit: Visit): void {
  while (reader.pos < end) {
    const [field, type] = reader.tag();
    if (!visit(field, type)) reader.skip(type, field);
  }
  if (reader.pos !== end) throw new RangeError("a field reaches over the end of its message");
}

/** The same for a message that is a field; true, as a visitor says it. */
function message(reader: BinaryReader, type: WireType, visit: Visit): true {
  expectType(type, WireType.LengthDelimited);
  const length = reader.uint32();
  if (length > reader.len - reader.pos) throw new RangeError(`${length} bytes are announced, fewer are there`);
  eachField(reader, reader.pos + length, visit);
  return true;
}

function text(reader: BinaryReader, type: WireType): string {
  expectType(type, WireType.LengthDelimited);
  return reader.string();
}

function int64(reader: BinaryReader, type: WireType): bigint {
  expectType(type, WireType.Bit64);
  return BigInt(reader.sfixed64());
}

function varint(reader: BinaryReader, type: WireType): number {
  expectType(type, WireType.Varint);
  return Number(reader.int64());
}

function double(reader: BinaryReader, type: WireType): number {
  expectType(type, WireType.Bit64);
  return reader.double();
}

type Value = string | number | boolean | null | Value[] | { [key: string]: Value };

/** An AnyValue; bytes and what is not known are null. */
function readValue(reader: BinaryReader, type: WireType, depth: number): Value {
  if (depth > DEPTH_MAX) throw new RangeError("attributes are nested too deep");
  let value: Value = null;
  message(reader, type, (field, inner) => {
    if (field === 1) value = text(reader, inner);
    else if (field === 2) value = varint(reader, inner) !== 0;
    else if (field === 3) value = varint(reader, inner);
    else if (field === 4) value = double(reader, inner);
    else if (field === 5) value = readList(reader, inner, depth + 1);
    else if (field === 6) value = readMap(reader, inner, depth + 1);
    else return false;
    return true;
  });
  return value;
}

function readList(reader: BinaryReader, type: WireType, depth: number): Value[] {
  const list: Value[] = [];
  message(reader, type, (field, inner) => {
    if (field !== 1) return false;
    list.push(readValue(reader, inner, depth));
    return true;
  });
  return list;
}

function readMap(reader: BinaryReader, type: WireType, depth: number): { [key: string]: Value } {
  const entries: [string, Value][] = [];
  message(reader, type, (field, inner) => {
    if (field !== 1) return false;
    entries.push(readEntry(reader, inner, depth));
    return true;
  });
  return Object.fromEntries(entries);
}

function readEntry(reader: BinaryReader, type: WireType, depth: number): [string, Value] {
  let key = "";
  let value: Value = null;
  message(reader, type, (field, inner) => {
    if (field === 1) key = text(reader, inner);
    else if (field === 2) value = readValue(reader, inner, depth);
    else return false;
    return true;
  });
  return [key, value];
}

function readAttribute(reader: BinaryReader, type: WireType): Label {
  const [key, value] = readEntry(reader, type, 0);
  return [key, typeof value === "string" ? value : value === null ? "" : JSON.stringify(value)];
}

function readPoint(reader: BinaryReader, type: WireType): OtlpPoint {
  const point: OtlpPoint = { attributes: [], timeMs: 0, spanMs: Number.NaN, value: Number.NaN, exemplars: 0 };
  let [start, time] = [0n, 0n];
  let flags = 0;
  message(reader, type, (field, inner) => {
    if (field === 2) start = int64(reader, inner);
    else if (field === 3) time = int64(reader, inner);
    else if (field === 4) point.value = double(reader, inner);
    else if (field === 6) point.value = Number(int64(reader, inner));
    else if (field === 7) point.attributes.push(readAttribute(reader, inner));
    else if (field === 8) flags = varint(reader, inner);
    else {
      if (field === 5) point.exemplars += 1;
      return false;
    }
    return true;
  });
  if ((flags & NO_RECORDED_VALUE) !== 0) point.value = Number.NaN;
  return Object.assign(point, timesOf(start, time));
}

/** Kinds by their field in a Metric. */
const KINDS: Readonly<Record<number, OtlpMetric["kind"]>> = {
  5: "gauge",
  7: "sum",
  9: "histogram",
  10: "exponential histogram",
  11: "summary",
};

type Budget = { left: number };

function countPoint(budget: Budget, reader: BinaryReader): void {
  budget.left -= 1;
  if (budget.left < 0) throw new WireError(`over ${POINTS_MAX} data points in one body`, reader.pos, "too_large");
}

function readData(reader: BinaryReader, type: WireType, metric: OtlpMetric, budget: Budget): true {
  const isStored = metric.kind === "gauge" || metric.kind === "sum";
  return message(reader, type, (field, inner) => {
    if (field === 1) {
      countPoint(budget, reader);
      if (isStored) metric.points.push(readPoint(reader, inner));
      else metric.skipped += 1;
      return isStored;
    }
    if (metric.kind !== "sum" || field > 3) return false;
    if (field === 2) metric.temporality = TEMPORALITIES[varint(reader, inner)] ?? "unspecified";
    else metric.isMonotonic = varint(reader, inner) !== 0;
    return true;
  });
}

function readMetric(reader: BinaryReader, type: WireType, budget: Budget): OtlpMetric {
  const metric = emptyMetric();
  message(reader, type, (field, inner) => {
    if (field === 1) metric.name = text(reader, inner);
    else {
      const kind = KINDS[field];
      if (kind === undefined) return false;
      metric.kind = kind;
      readData(reader, inner, metric, budget);
    }
    return true;
  });
  return metric;
}

function readResource(reader: BinaryReader, type: WireType, budget: Budget): OtlpResource {
  const resource: OtlpResource = { attributes: [], metrics: [] };
  message(reader, type, (field, inner) => {
    if (field === 1)
      return message(reader, inner, (part, own) => {
        if (part === 1) resource.attributes.push(readAttribute(reader, own));
        return part === 1;
      });
    if (field !== 2) return false;
    return message(reader, inner, (part, own) => {
      if (part === 2) resource.metrics.push(readMetric(reader, own, budget));
      return part === 2;
    });
  });
  return resource;
}

/** The metrics of a request. WireError where it is none ("malformed") or has over POINTS_MAX data points ("too_large"). */
export function readOtlpProtobuf(bytes: Uint8Array): OtlpResource[] {
  const reader = new BinaryReader(bytes);
  const resources: OtlpResource[] = [];
  const budget = { left: POINTS_MAX };
  try {
    eachField(reader, reader.len, (field, type) => {
      if (field === 1) resources.push(readResource(reader, type, budget));
      return field === 1;
    });
  } catch (error) {
    // The library has its own kinds of errors, none of which says where.
    if (error instanceof WireError) throw error;
    throw new WireError(error instanceof Error ? error.message : "not protobuf", Math.min(reader.pos, bytes.length));
  }
  return resources;
}
