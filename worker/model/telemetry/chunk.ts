// The chunk codec: writer and reader of what FORMAT.md describes. A chunk is a row of frames; a frame holds the samples
// of one batch and one hour. Lossless for every finite float64, -0 included, and for gaps.
import { isMetricName, metricNamed, metricNumbered } from "./catalogue.ts";
import { ByteReader, ByteWriter, ChunkError, fromHex, toHex } from "./bytes.ts";
import { readColumn, writeColumn } from "./column.ts";

/** First byte of every frame. */
const VERSION = 1;

/** Longest frame in samples a series: an hour at 18 samples/s. Bounds what a broken frame can make a reader allocate. */
export const FRAME_TIMES_MAX = 65_536;

/** The entity that is the host itself; every other entity is a VM's uuid. */
export const HOST = "";

export type Column = { entity: string; metric: string; values: (number | null)[] };

/** Samples of many series at common times, which rise strictly. `null`: no sample at that time. */
export type Frame = { times: number[]; columns: Column[] };

function writeTimes(out: ByteWriter, times: readonly number[]): void {
  out.varint(times.length);
  let previous = -1;
  for (const time of times) {
    if (!Number.isSafeInteger(time) || time <= previous)
      throw new RangeError("times must be milliseconds since 1970 that rise strictly");
    // Times rise strictly, hence a difference of 1 is written as 0.
    out.varint(time - previous - 1);
    previous = time;
  }
}

function readTimes(input: ByteReader): number[] {
  const count = input.count("the number of times", 1);
  if (count === 0 || count > FRAME_TIMES_MAX) throw input.fail(`${count} times in a frame`);
  const times: number[] = [];
  let time = -1;
  for (let index = 0; index < count; index++) {
    time += input.varint("a time") + 1;
    if (!Number.isSafeInteger(time)) throw input.fail("a time over 2^53 - 1");
    times.push(time);
  }
  return times;
}

const ascii = new TextEncoder();
const asciiText = new TextDecoder();

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

function uuidBytes(uuid: string): Uint8Array {
  if (!UUID.test(uuid)) throw new RangeError(`${uuid} is neither "" nor a lower-case uuid`);
  return fromHex(uuid.replaceAll("-", ""));
}

function uuidText(bytes: Uint8Array): string {
  const hex = toHex(bytes);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

const sortedSet = (items: Iterable<string>): string[] => [...new Set(items)].toSorted();

type Entry = { entity: number; metric: number; values: (number | null)[] };

/** Entities and metrics as numbers, in the order in which the directory lists them. */
function directoryOf(columns: readonly Column[], vms: readonly string[], names: readonly string[]): Entry[] {
  const vmIndex = new Map(vms.map((uuid, index) => [uuid, index + 1]));
  const nameIndex = new Map(names.map((name, index) => [name, index]));
  const entries = columns.map(({ entity, metric, values }) => {
    const number = metricNamed(metric)?.number;
    return {
      entity: vmIndex.get(entity) ?? 0,
      metric: number === undefined ? 2 * (nameIndex.get(metric) ?? 0) + 1 : 2 * number,
      values,
    };
  });
  entries.sort((a, b) => a.entity - b.entity || a.metric - b.metric);
  return entries;
}

/**
 * One frame with its length in front, ready to be appended to a chunk. The same samples give the same bytes, whatever the
 * order of the columns. RangeError for what no frame can hold: times that do not rise, a column of another length, a
 * value that is not finite, a series twice.
 */
export function packFrame({ times, columns }: Frame): Uint8Array {
  if (times.length === 0 || times.length > FRAME_TIMES_MAX) throw new RangeError(`${times.length} times in a frame`);
  const vms = sortedSet(columns.map(({ entity }) => entity).filter((entity) => entity !== HOST));
  const names = sortedSet(columns.map(({ metric }) => metric).filter((name) => metricNamed(name) === undefined));
  const head = new ByteWriter();
  head.byte(VERSION);
  writeTimes(head, times);
  head.varint(vms.length);
  for (const uuid of vms) head.bytes(uuidBytes(uuid));
  head.varint(names.length);
  for (const name of names) {
    if (!isMetricName(name)) throw new RangeError(`${name} is not a metric name`);
    head.varint(name.length);
    head.bytes(ascii.encode(name));
  }
  const data = writeDirectory(head, directoryOf(columns, vms, names), times.length);
  const frame = new ByteWriter();
  frame.varint(head.length + data.length);
  frame.bytes(head.finish());
  frame.bytes(data);
  return frame.finish();
}

/** Writes the directory to `head` and returns the columns' bytes, which come after it. */
function writeDirectory(head: ByteWriter, entries: readonly Entry[], count: number): Uint8Array {
  const data = new ByteWriter();
  head.varint(entries.length);
  entries.forEach(({ entity, metric, values }, index) => {
    const before = entries[index - 1];
    if (before?.entity === entity && before.metric === metric) throw new RangeError("a series twice in one frame");
    if (values.length !== count) throw new RangeError(`a column of ${values.length} values for ${count} times`);
    if (!values.every((value) => value === null || Number.isFinite(value)))
      throw new RangeError("a value that is neither finite nor null");
    const start = data.length;
    writeColumn(data, values);
    head.varint(entity);
    head.varint(metric);
    head.varint(data.length - start);
  });
  return data.finish();
}

/** Packs into as many frames as it takes to keep each within `bytesMax`: split by time first, then by column. */
export function packFrames(frame: Frame, bytesMax: number): Uint8Array[] {
  const { times, columns } = frame;
  if (times.length <= FRAME_TIMES_MAX) {
    const packed = packFrame(frame);
    if (packed.length <= bytesMax) return [packed];
    if (times.length === 1 && columns.length === 1) throw new RangeError(`one sample does not fit ${bytesMax} bytes`);
  }
  const half = Math.ceil(times.length / 2);
  const middle = Math.ceil(columns.length / 2);
  const slice = (from: number, to: number): Frame => ({
    times: times.slice(from, to),
    columns: columns.map((column) => ({ ...column, values: column.values.slice(from, to) })),
  });
  const halves =
    times.length > 1
      ? [slice(0, half), slice(half, times.length)]
      : [
          { times, columns: columns.slice(0, middle) },
          { times, columns: columns.slice(middle) },
        ];
  return halves.flatMap((part) => packFrames(part, bytesMax));
}

/** Walks a chunk: its frames, without their length. ChunkError where the last one is cut off. */
export function frameBytes(chunk: Uint8Array): Uint8Array[] {
  const input = new ByteReader(chunk, 0);
  const frames: Uint8Array[] = [];
  while (input.remaining > 0) frames.push(input.bytes(input.varint("the length of a frame"), "the end of a frame"));
  return frames;
}

type Slot = { entity: string; metric: string; byteLength: number };

function readNames(input: ByteReader): string[] {
  return Array.from({ length: input.count("the number of names", 2) }, () => {
    const name = asciiText.decode(input.bytes(input.varint("the length of a name"), "the end of a name"));
    if (!isMetricName(name)) throw input.fail("a name that no metric can have");
    return name;
  });
}

function metricOf(reference: number, names: readonly string[]): string | undefined {
  return reference % 2 === 1 ? names[(reference - 1) / 2] : metricNumbered(reference / 2)?.name;
}

const risesStrictly = (texts: readonly string[]): boolean =>
  texts.every((text, index) => index === 0 || text > (texts[index - 1] ?? ""));

function readDirectory(input: ByteReader): Slot[] {
  const vms = Array.from({ length: input.count("the number of VMs", 16) }, () => uuidText(input.bytes(16, "a uuid")));
  const names = readNames(input);
  if (!risesStrictly(vms) || !risesStrictly(names)) throw input.fail("VMs or names out of order");
  let last = { entity: 0, reference: -1 };
  const slots = Array.from({ length: input.count("the number of columns", 3) }, () => {
    const entity = input.varint("the entity of a column");
    const reference = input.varint("the metric of a column");
    const uuid = entity === 0 ? HOST : vms[entity - 1];
    const metric = metricOf(reference, names);
    if (uuid === undefined || metric === undefined)
      throw input.fail(`a column of entity ${entity} and metric ${reference}, which the frame does not have`);
    if (entity < last.entity || (entity === last.entity && reference <= last.reference))
      throw input.fail("a directory out of order");
    last = { entity, reference };
    return { entity: uuid, metric, byteLength: input.varint("the length of a column") };
  });
  const announced = slots.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (announced !== input.remaining)
    throw input.fail(`columns of ${announced} bytes where ${input.remaining} bytes follow`);
  return slots;
}

function readFrame(body: Uint8Array, base: number, wanted: (entity: string, metric: string) => boolean): Frame {
  const input = new ByteReader(body, base);
  const version = input.byte("the version");
  if (version !== VERSION) throw new ChunkError(`unknown frame version ${version}`, base);
  const times = readTimes(input);
  const columns: Column[] = [];
  for (const { entity, metric, byteLength } of readDirectory(input)) {
    const start = input.offset;
    const bytes = input.bytes(byteLength, "the end of a column");
    if (!wanted(entity, metric)) continue;
    columns.push({ entity, metric, values: readColumn(new ByteReader(bytes, start), times.length) });
  }
  return { times, columns };
}

/**
 * The wanted columns of every frame of a chunk, in the order in which the frames were appended; other columns are not
 * decoded. ChunkError, with the byte where it was seen, for anything that no writer of this format gives.
 */
export function readColumns(chunk: Uint8Array, wanted: (entity: string, metric: string) => boolean): Frame[] {
  return frameBytes(chunk).map((body) => readFrame(body, body.byteOffset - chunk.byteOffset, wanted));
}

/** One frame of all samples, by series and time: the later frame wins, a gap does not erase what an earlier one says. */
export function mergeFrames(frames: readonly Frame[]): Frame {
  const times = [...new Set(frames.flatMap((frame) => frame.times))].toSorted((a, b) => a - b);
  const row = new Map(times.map((time, index) => [time, index]));
  const merged = new Map<string, Column>();
  for (const frame of frames) {
    const rows = frame.times.map((time) => row.get(time) ?? 0);
    for (const { entity, metric, values } of frame.columns) {
      const key = `${entity}/${metric}`;
      const column = merged.get(key) ?? { entity, metric, values: times.map((): number | null => null) };
      merged.set(key, column);
      values.forEach((value, index) => {
        if (value !== null) column.values[rows[index] ?? 0] = value;
      });
    }
  }
  return { times, columns: [...merged.values()] };
}
