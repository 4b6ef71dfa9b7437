// What a row of chunks holds, as one frame: what was packed, and after it what was appended since.
import { ChunkError } from "./bytes.ts";
import { type Frame, mergeFrames } from "./frame.ts";
import { readLive, type WantedSeries } from "./live.ts";
import { type PackedContent, packFrame } from "./packed/frame.ts";
import { FRAME_TIMES_MAX, FRAME_VALUES_MAX } from "./packed/header.ts";
import { readPacked } from "./packed/read.ts";
import { PART_BYTES_MAX } from "./chunk-id.ts";

/** A row of chunks, read whole. */
export type StoredChunk = {
  id: number;
  revision: number;
  head: Uint8Array | null;
  live: Uint8Array | null;
  packed: Uint8Array | null;
};

const ANY = (): boolean => true;

/** All of a packed frame, or the metrics that are wanted of it. ChunkError where it is harmed. */
export function unpack(packed: Uint8Array, metric: (name: string) => boolean = ANY): PackedContent {
  const read = readPacked([{ offset: 0, bytes: packed }], { entities: null, metric });
  if ("missing" in read) throw new ChunkError("a packed frame that is not whole", packed.length);
  return read.content;
}

/** Raw samples of packed content. */
export const frameOf = ({ times, columns }: PackedContent): Frame => ({
  times,
  columns: columns.map(({ entity, metric, values: [values = new Float64Array()] }) => ({ entity, metric, values })),
});

/** The samples of the raw chunks of an hour, or of the metrics that are wanted; what was appended last stands. */
export function chunkFrame(chunks: readonly StoredChunk[], metric: (name: string) => boolean = ANY): Frame {
  const wanted: WantedSeries = (_, name) => metric(name);
  const frames = chunks.flatMap(({ head, live, packed }) => [
    ...(packed === null ? [] : [frameOf(unpack(packed, metric))]),
    ...(head === null ? [] : [readLive(head, wanted)]),
    ...(live === null ? [] : [readLive(live, wanted)]),
  ]);
  return mergeFrames(frames);
}

/** Content of an hour (or a day) packed; in several parts of fewer times each where one would be too large for a row. */
export function packParts(content: PackedContent): Uint8Array[] {
  if (content.columns.length === 0) return [];
  const { times, aggregates, columns } = content;
  if (times.length <= FRAME_TIMES_MAX && times.length * aggregates * columns.length <= FRAME_VALUES_MAX) {
    const packed = packFrame(content);
    if (packed.length <= PART_BYTES_MAX || times.length === 1) return [packed];
  }
  const half = content.times.length >> 1;
  return [...packParts(timesOf(content, 0, half)), ...packParts(timesOf(content, half, content.times.length))];
}

const timesOf = ({ times, aggregates, columns }: PackedContent, from: number, to: number): PackedContent => ({
  times: times.slice(from, to),
  aggregates,
  columns: columns.map((column) => ({ ...column, values: column.values.map((values) => values.subarray(from, to)) })),
});

export const rawContent = ({ times, columns }: Frame): PackedContent => ({
  times,
  aggregates: 1,
  columns: columns.map(({ entity, metric, values }) => ({ entity, metric, values: [values] })),
});
