// The header of a packed frame: what columns there are and where. Writer and reader side by side (FORMAT.md, "Header").
import { ByteReader, ByteWriter, ChunkError } from "../bytes.ts";
import { metricNumbered } from "../catalogue.ts";
import { HOST } from "../frame.ts";
import { RangeReader, RangeWriter } from "./coder.ts";
import { crc16 } from "./crc.ts";
import { readNames, writeNames } from "./names.ts";
import { planOf, readSeries, writeSeries } from "./predict.ts";

/** First byte of every packed frame. Version 1 was another format. */
const VERSION = 2;

/** Bounds of what a broken header can make a reader allocate: a day of 5 s, and 32 MB of values. */
export const FRAME_TIMES_MAX = 20_000;
export const AGGREGATES_MAX = 8;
export const FRAME_COLUMNS_MAX = 65_536;
export const FRAME_VALUES_MAX = 2 ** 22;

/** The first byte and the longest varint of a header's length: enough to tell how long it is. */
export const HEADER_START_BYTES = 5;
const CHECK_BYTES = 2;
/** Times lie no further from their grid, so that what is coded of them is exact: 35,000 years. */
const OFFSET_MAX = 2 ** 50;
/** Eight bytes a value and little more is the most that FRAME_VALUES_MAX values take. */
const COLUMN_BYTES_MAX = 16 * FRAME_VALUES_MAX;

/** Reference of a metric: 2 * its number in the catalogue, or 2 * its index among the frame's names + 1. */
export type MetricSet = readonly number[];

export type Header = {
  times: readonly number[];
  aggregates: number;
  names: readonly string[];
  sets: readonly MetricSet[];
  /** In the order of their columns: the host first, if it has any, then VMs by uuid. `set` is an index of `sets`. */
  entities: readonly { entity: string; set: number }[];
  /** Bytes of every column: by entity, then by the order of its set. */
  lengths: ArrayLike<number>;
};

/** Bytes without the check, which depends on all of them, and the check. */
export function packHeader(header: Header): { bytes: Uint8Array; check: number } {
  const body = new ByteWriter();
  body.varint(header.aggregates);
  writeTimes(body, header.times);
  writeNames(body, header.names);
  body.varint(header.sets.length);
  for (const set of header.sets) {
    body.varint(set.length);
    for (const reference of set) body.varint(reference);
  }
  writeEntities(body, header.entities);
  body.bytes(packLengths(header));
  const out = new ByteWriter();
  out.byte(VERSION);
  out.varint(body.length + CHECK_BYTES);
  out.bytes(body.finish());
  const check = crc16(out.finish());
  out.byte(check >> 8);
  out.byte(check & 0xff);
  return { bytes: out.finish(), check };
}

/** Bytes of the header by its first bytes, at least HEADER_START_BYTES of them or all; ChunkError if it is none. */
export function headerLength(start: Uint8Array): number {
  const input = new ByteReader(start, 0);
  const version = input.byte("the version");
  if (version !== VERSION) throw new ChunkError(`unknown frame version ${version}`, 0);
  const length = input.varint("the length of the header");
  if (length < CHECK_BYTES || input.offset > HEADER_START_BYTES) throw input.fail(`a header of ${length} bytes`);
  return input.offset + length;
}

/** Reads exactly the bytes of a header. */
export function readHeader(bytes: Uint8Array): Header & { check: number } {
  const body = bytes.subarray(0, bytes.length - CHECK_BYTES);
  const check = crc16(body);
  const start = new ByteReader(bytes, 0);
  start.byte("the version");
  start.varint("the length of the header");
  const at = start.offset;
  if (((bytes[body.length] ?? 0) << 8) + (bytes[body.length + 1] ?? 0) !== check)
    throw new ChunkError("a header that is not what was written", body.length);
  const input = new ByteReader(body.subarray(at), at);
  const aggregates = input.varint("the number of aggregates");
  if (aggregates === 0 || aggregates > AGGREGATES_MAX) throw input.fail(`${aggregates} aggregates`);
  const times = readTimes(input);
  const names = readNames(input);
  const sets = Array.from({ length: input.count("the number of metric sets", 1) }, () => readSet(input, names));
  const entities = readEntities(input, sets);
  const columns = entities.reduce((sum, { set }) => sum + (sets[set]?.length ?? 0), 0);
  if (columns > FRAME_COLUMNS_MAX || columns * times.length * aggregates > FRAME_VALUES_MAX)
    throw input.fail(`${columns} columns`);
  const lengths = readLengths(input, sets, entities, columns);
  return { aggregates, times, names, sets, entities, lengths, check };
}

/** What the check of the `index`th column starts from. */
export const columnSeed = (check: number, index: number): number => check + index;

/** The catalogue's name or the frame's own; undefined for what is neither. */
export const metricOf = (reference: number, names: readonly string[]): string | undefined =>
  reference % 2 === 1 ? names[(reference - 1) / 2] : metricNumbered(reference / 2)?.name;

/** Metrics of the catalogue by number, then the frame's own names. */
export const compareReferences = (a: number, b: number): number => (a % 2) - (b % 2) || a - b;

/** Times are near a grid: the median difference is its step. */
function writeTimes(out: ByteWriter, times: readonly number[]): void {
  const [start = 0] = times;
  const differences = Float64Array.from(times.slice(1), (time, index) => time - (times[index] ?? 0)).sort();
  const step = differences[differences.length >> 1] ?? 0;
  out.varint(times.length);
  out.varint(start);
  out.varint(step);
  const offsets = Float64Array.from(times, (time, index) => time - start - index * step);
  if (offsets.some((offset) => Math.abs(offset) > OFFSET_MAX)) throw new RangeError("times too far from one another");
  const bytes = packed(offsets.subarray(1));
  out.varint(bytes.length);
  out.bytes(bytes);
}

function packed(series: Float64Array): Uint8Array {
  const out = new RangeWriter();
  writeSeries(out, planOf(series), null);
  return out.finish();
}

function readTimes(input: ByteReader): number[] {
  const count = input.varint("the number of times");
  if (count === 0 || count > FRAME_TIMES_MAX) throw input.fail(`${count} times in a frame`);
  const start = input.varint("the first time");
  const step = input.varint("the step of the times");
  const at = input.offset;
  const offsets = new Float64Array(count);
  readExactly(input.bytes(input.varint("the length of the times"), "the end of the times"), at, offsets.subarray(1));
  const times: number[] = [];
  let before = -1;
  for (let index = 0; index < count; index++) {
    const time = start + index * step + (offsets[index] ?? 0);
    if (!Number.isSafeInteger(time) || time <= before) throw input.fail("times that do not rise");
    times.push(time);
    before = time;
  }
  return times;
}

function readExactly(bytes: Uint8Array, at: number, series: Float64Array): void {
  const input = new RangeReader(bytes, at);
  readSeries(input, series, null);
  input.end();
}

const rises = <T>(items: readonly T[], compare: (a: T, b: T) => number): boolean =>
  items.every((item, index) => index === 0 || compare(items[index - 1] as T, item) < 0);

function readSet(input: ByteReader, names: readonly string[]): MetricSet {
  const set = Array.from({ length: input.count("the number of metrics", 1) }, () => {
    const reference = input.varint("a metric");
    if (metricOf(reference, names) === undefined) throw input.fail(`a metric ${reference}, which there is not`);
    return reference;
  });
  if (!rises(set, compareReferences)) throw input.fail("metrics out of order");
  return set;
}

/** The set of the host, from 1, or 0 without columns of the host; then VMs, then their sets. */
function writeEntities(out: ByteWriter, entities: Header["entities"]): void {
  const [first] = entities;
  const host = first?.entity === HOST ? first : undefined;
  const vms = host === undefined ? entities : entities.slice(1);
  out.varint(host === undefined ? 0 : host.set + 1);
  out.varint(vms.length);
  for (const { entity } of vms) out.bytes(uuidBytes(entity));
  for (const { set } of vms) out.varint(set);
}

function readEntities(input: ByteReader, sets: readonly MetricSet[]): Header["entities"] {
  const hostSet = input.varint("the metric set of the host");
  const uuids = Array.from({ length: input.count("the number of VMs", 17) }, () => uuidText(input.bytes(16, "a uuid")));
  if (!rises(uuids, (a, b) => (a < b ? -1 : 1))) throw input.fail("VMs out of order");
  const vms = uuids.map((entity) => ({ entity, set: input.varint("the metric set of a VM") }));
  const entities = hostSet === 0 ? vms : [{ entity: HOST, set: hostSet - 1 }, ...vms];
  if (entities.some(({ set }) => set >= sets.length)) throw input.fail("a metric set that there is not");
  return entities;
}

/**
 * The places of all columns in the order in which their lengths stand: by set, by metric of the set, by entity, as columns
 * of one metric are of like length.
 */
function placesOf(sets: readonly MetricSet[], entities: Header["entities"]): number[] {
  const members = sets.map((): number[] => []);
  let place = 0;
  for (const { set } of entities) {
    members[set]?.push(place);
    place += sets[set]?.length ?? 0;
  }
  return sets.flatMap((set, index) =>
    set.flatMap((_, metric) => (members[index] ?? []).map((start) => start + metric)),
  );
}

function packLengths({ sets, entities, lengths }: Header): Uint8Array {
  return packed(Float64Array.from(placesOf(sets, entities), (place) => lengths[place] ?? 0));
}

function readLengths(
  input: ByteReader,
  sets: readonly MetricSet[],
  entities: Header["entities"],
  columns: number,
): Float64Array {
  const at = input.offset;
  const inOrder = new Float64Array(columns);
  readExactly(input.bytes(input.remaining, "the lengths of columns"), at, inOrder);
  const lengths = new Float64Array(columns);
  const places = placesOf(sets, entities);
  for (let index = 0; index < columns; index++) lengths[places[index] ?? 0] = inOrder[index] ?? 0;
  for (let place = 0; place < columns; place++) {
    const length = lengths[place] ?? 0;
    if (!(length >= 1 && length <= COLUMN_BYTES_MAX)) throw input.fail("columns of no length");
  }
  return lengths;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export const isUuid = (text: string): boolean => UUID.test(text);

function uuidBytes(uuid: string): Uint8Array {
  const digits = uuid.replaceAll("-", "");
  return Uint8Array.from({ length: 16 }, (_, index) => Number.parseInt(digits.slice(2 * index, 2 * index + 2), 16));
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function uuidText(bytes: Uint8Array): string {
  let text = "";
  for (let index = 0; index < 16; index++) {
    if (index === 4 || index === 6 || index === 8 || index === 10) text += "-";
    text += HEX[bytes[index] ?? 0] ?? "";
  }
  return text;
}
