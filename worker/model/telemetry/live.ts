// Live frames: a batch as it is appended to an open chunk (FORMAT.md, "Live frames"). Made for quick writing: series are named
// only when they differ from those of the frame before, and columns are coded one by one without looking for the best way.
import { ByteReader, ByteWriter, ChunkError } from "./bytes.ts";
import { metricNamed, metricNumbered } from "./catalogue.ts";
import { type Column, type Frame, HOST, mergeFrames } from "./frame.ts";
import type { SeriesName } from "./known.ts";
import { readLiveColumn, writeLiveColumn } from "./live-column.ts";

const VERSION = 1;
const LAYOUT = 0x80;
const RELATIVE = 0x40;
/** Base64 of a whole number of these ends without padding, so that texts can be joined. */
const GROUP = 3;
const UUID_BYTES = 16;
const DASH = 45;
const DIGIT_0 = 48;
const DIGIT_9 = 57;
const LETTER_A = 97;

/**
 * Values of one frame, as many as packed frames have. Columns that stay as they were take a byte however many times there are:
 * without a bound harmed bytes could ask for any amount of memory.
 */
export const LIVE_VALUES_MAX = 2 ** 22;

/** The series of frames, in their order. */
export type LiveLayout = {
  /** Stands for the series: equal for the same ones in the same order. */
  key: string;
  /** In every frame, so that one that follows the wrong layout is noticed. */
  check: number;
  /** The names as they are written. */
  names: Uint8Array;
};

function writeUuid(out: ByteWriter, uuid: string): void {
  let high = -1;
  for (let at = 0; at < uuid.length; at++) {
    const code = uuid.charCodeAt(at);
    if (code === DASH) continue;
    const digit = code <= DIGIT_9 ? code - DIGIT_0 : code - LETTER_A + 10;
    if (high !== -1) out.byte(high * 16 + digit);
    high = high === -1 ? digit : -1;
  }
}

function readUuid(input: ByteReader): string {
  const hex = Array.from(input.bytes(UUID_BYTES, "a uuid"), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** FNV-1a, 32 bits. */
function hash(bytes: Uint8Array, start: number): number {
  let value = start;
  for (let at = 0; at < bytes.length; at++) value = Math.imul(value ^ (bytes[at] ?? 0), 0x01000193);
  return value >>> 0;
}

const hexWord = (word: number): string => word.toString(16).padStart(8, "0");

/** Names of metrics are shorter. */
const nameRoom = new Uint8Array(512);

/** The layout of these series, runs of one entity together. */
export function layoutOf(series: readonly SeriesName[]): LiveLayout {
  const runs: { entity: string; metrics: string[] }[] = [];
  for (const { entity, metric } of series) {
    const open = runs.at(-1);
    if (open?.entity === entity) open.metrics.push(metric);
    else runs.push({ entity, metrics: [metric] });
  }
  const out = new ByteWriter();
  out.varint(runs.length);
  const encoder = new TextEncoder();
  for (const { entity, metrics } of runs) {
    out.byte(entity === HOST ? 0 : 1);
    if (entity !== HOST) writeUuid(out, entity);
    out.varint(metrics.length);
    for (const metric of metrics) {
      const number = metricNamed(metric)?.number ?? 0;
      out.varint(number);
      if (number !== 0) continue;
      const { read, written } = encoder.encodeInto(metric, nameRoom);
      const name = read === metric.length ? nameRoom.subarray(0, written) : encoder.encode(metric);
      out.varint(name.length);
      out.bytes(name);
    }
  }
  const names = out.finish();
  const check = hash(names, 0x811c9dc5);
  return { key: hexWord(check) + hexWord(hash(names, 0x2f0b4a27)), check, names };
}

function readNames(input: ByteReader): SeriesName[] {
  const series: SeriesName[] = [];
  const decoder = new TextDecoder();
  for (let runs = input.count("the number of entities", 2); runs > 0; runs--) {
    const kind = input.byte("the kind of an entity");
    if (kind > 1) throw input.fail(`unknown kind of entity ${kind}`);
    const entity = kind === 0 ? HOST : readUuid(input);
    for (let metrics = input.count("the number of metrics", 1); metrics > 0; metrics--) {
      const number = input.varint("a metric");
      const known = metricNumbered(number);
      if (number !== 0 && known === undefined) throw input.fail(`unknown metric number ${number}`);
      const metric = known?.name ?? decoder.decode(input.bytes(input.count("the length of a name", 1), "a name"));
      series.push({ entity, metric });
    }
  }
  input.end("the names");
  return series;
}

const scratch = new ByteWriter();

/** The last value of each series of a layout in frames one after the other; NaN: none yet. */
export type LastValues = Float64Array;

/** The values with which a frame ends, where it has one; else those before it. */
export function lastValues(before: LastValues | null, columns: readonly Column[]): LastValues {
  const last = new Float64Array(columns.length);
  for (let place = 0; place < columns.length; place++) {
    const values = columns[place]?.values ?? last;
    let row = values.length - 1;
    while (row > 0 && values[row] !== values[row]) row -= 1;
    const value = values[row] ?? Number.NaN;
    last[place] = value === value ? value : (before?.[place] ?? Number.NaN);
  }
  return last;
}

/**
 * One frame; its columns are those of `layout`, in its order. Without `withNames` it must follow a frame of the same layout. With
 * `before` it must follow the frames that end with these values, which makes it shorter. Its length is a multiple of three.
 * It has LIVE_VALUES_MAX values at most: more are not read back.
 */
export function writeLiveFrame(
  frame: Frame,
  layout: LiveLayout,
  withNames: boolean,
  before: LastValues | null = null,
): Uint8Array<ArrayBuffer> {
  const out = scratch;
  out.reset();
  out.byte(VERSION | (withNames ? LAYOUT : 0) | (before === null ? 0 : RELATIVE));
  out.uint32(layout.check);
  if (withNames) {
    out.varint(layout.names.length);
    out.bytes(layout.names);
  }
  out.varint(frame.times.length);
  let previous = 0;
  for (const time of frame.times) {
    out.varint(time - previous);
    previous = time;
  }
  for (let place = 0; place < frame.columns.length; place++)
    writeLiveColumn(out, frame.columns[place]?.values ?? EMPTY, before?.[place] ?? Number.NaN);
  return out.framed(GROUP);
}

const EMPTY = new Float64Array();

type Open = {
  /** Of the layout that holds. */
  series: SeriesName[];
  check: number;
  /** Places of the wanted ones among them, rising. */
  wanted: number[];
  /** Their last values. */
  last: LastValues;
  /** Whether this frame goes on from them. */
  isRelative: boolean;
};

/** Whether a series is wanted. */
export type WantedSeries = (entity: string, metric: string) => boolean;

/** All that is wanted of frames that stand one after the other; columns that are all gaps are left out. ChunkError where they are harmed. */
export function readLive(bytes: Uint8Array, wanted: WantedSeries): Frame {
  const frames: Frame[] = [];
  let open: Open | null = null;
  for (let at = 0; at < bytes.length;) {
    const head = new ByteReader(bytes.subarray(at, at + 8), at);
    const length = head.varint("the length of a frame");
    const start = head.offset;
    const end = start + length;
    if (length < 1 || end > bytes.length) throw new ChunkError(`a frame of ${length} bytes`, at);
    const input = new ByteReader(bytes.subarray(start, end), start);
    open = openLayout(input, open, wanted);
    if (open.wanted.length > 0) frames.push(readColumns(input, open));
    at += Math.ceil((end - at) / GROUP) * GROUP;
    for (let padding = end; padding < at; padding++)
      if (bytes[padding] !== 0) throw new ChunkError("a frame that zeros do not follow", padding);
  }
  return mergeFrames(frames);
}

function openLayout(input: ByteReader, before: Open | null, wanted: WantedSeries): Open {
  const tag = input.byte("a version");
  const version = tag & ~(LAYOUT | RELATIVE);
  if (version !== VERSION) throw input.fail(`unknown version ${version} of a live frame`);
  const isRelative = (tag & RELATIVE) !== 0;
  const check = input.uint32("the check of the series");
  if ((tag & LAYOUT) === 0) {
    if (before === null || before.check !== check) throw input.fail("a frame that does not follow one of its series");
    return { ...before, isRelative };
  }
  if (isRelative) throw input.fail("a frame that names its series and goes on from others");
  const offset = input.offset;
  const names = input.bytes(input.count("the length of the names", 1), "the names");
  if (hash(names, 0x811c9dc5) !== check) throw input.fail("names that are not those of the frame");
  const series = readNames(new ByteReader(names, offset));
  const places = [...series.keys()].filter((place) => {
    const { entity = HOST, metric = "" } = series[place] ?? {};
    return wanted(entity, metric);
  });
  return { series, check, wanted: places, last: new Float64Array(places.length).fill(Number.NaN), isRelative };
}

function readTimes(input: ByteReader): number[] {
  const count = input.count("the number of times", 1);
  if (count === 0) throw input.fail("a frame of no time");
  const times: number[] = [];
  let time = 0;
  for (let index = 0; index < count; index++) {
    const step = input.varint("a time");
    if (step === 0 && index > 0) throw input.fail("times that do not rise");
    time += step;
    times.push(time);
  }
  if (time > Number.MAX_SAFE_INTEGER) throw input.fail("a time over 2^53 - 1");
  return times;
}

function readColumns(input: ByteReader, { series, wanted, last, isRelative }: Open): Frame {
  const times = readTimes(input);
  const count = times.length * wanted.length;
  if (count > LIVE_VALUES_MAX) throw input.fail(`${count} values in a frame`);
  const columns: Column[] = [];
  let next = 0;
  for (let index = 0; index < wanted.length; index++) {
    const place = wanted[index] ?? 0;
    for (; next < place; next++) input.skip(input.count("the length of a column", 1));
    const length = input.count("the length of a column", 1);
    const values = readLiveColumn(input, length, times.length, isRelative ? (last[index] ?? Number.NaN) : Number.NaN);
    next += 1;
    const { entity, metric } = series[place] ?? { entity: HOST, metric: "" };
    if (values === null) continue;
    columns.push({ entity, metric, values });
    last[index] = values.findLast((value) => value === value) ?? Number.NaN;
  }
  // Columns behind the last wanted one are not looked at.
  if (next === series.length) input.end("the columns");
  return { times, columns };
}
