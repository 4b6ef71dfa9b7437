// Reads a packed frame from pieces of it, as a query has them: first its beginning, then what that shows to be missing.
import { readColumn } from "./column.ts";
import type { PackedColumn, PackedContent } from "./frame.ts";
import { columnSeed, type Header, HEADER_START_BYTES, headerLength, metricOf, readHeader } from "./header.ts";

/** A piece of the packed bytes: those from `offset` on. */
export type Span = { offset: number; bytes: Uint8Array };

/** Bytes from `offset` to before `offset + length`. */
export type ByteRange = { offset: number; length: number };

/**
 * Which series, by entity ("" is the host, null: all) and metric, and which aggregates, by index (all by default). The
 * content that is read has the aggregates that are wanted, in the wanted order.
 */
export type Wanted = {
  entities: ReadonlySet<string> | null;
  metric: (name: string) => boolean;
  aggregates?: readonly number[];
};

/** A header that was read, and how long it is. */
export type OpenedHeader = ReturnType<typeof readHeader> & { bytes: number };

/** The header of most frames is within so many bytes from the start. */
export const PREFIX_BYTES = 2048;

/** Missing ranges are joined across so many bytes: another range costs more than they do. */
const JOIN_BYTES = 256;

/**
 * What is wanted, or the ranges that have to be at hand too. Spans may overlap, and may lie in any order. With the first
 * PREFIX_BYTES at hand one answer of missing ranges is enough for most frames, two for any: a caller that gave what was
 * missing twice and still misses something holds a frame that was cut off or changed in between. ChunkError for bytes that
 * are not what was written. RangeError for an aggregate that the frame has not. `opened`: what the call before gave of the same
 * frame, so that its header is not read twice.
 */
export function readPacked(
  spans: readonly Span[],
  wanted: Wanted,
  opened?: OpenedHeader,
): { content: PackedContent; opened: OpenedHeader } | { missing: ByteRange[]; opened?: OpenedHeader } {
  const pieces = mergedSpans(spans);
  const header = opened ?? openHeader(pieces);
  if ("missing" in header) return header;
  const slots = slotsOf(header, header.bytes, wanted);
  const missing = missingOf(pieces, slots);
  if (missing.length > 0) return { missing, opened: header };
  const aggregates = wanted.aggregates ?? Array.from({ length: header.aggregates }, (_, index) => index);
  if (aggregates.some((index) => index < 0 || index >= header.aggregates))
    throw new RangeError(`a frame of ${header.aggregates} aggregates`);
  const columns = slots.map((slot): PackedColumn => {
    const shape = { offset: slot.offset, count: header.times.length, aggregates: header.aggregates, seed: slot.seed };
    const values = readColumn(bytesAt(pieces, slot) ?? new Uint8Array(), shape);
    return {
      entity: slot.entity,
      metric: slot.metric,
      values: aggregates.map((index) => values[index] ?? new Float64Array()),
    };
  });
  return { content: { times: header.times, aggregates: aggregates.length, columns }, opened: header };
}

function openHeader(pieces: readonly Span[]): OpenedHeader | { missing: ByteRange[] } {
  const start = bytesAt(pieces, { offset: 0, length: HEADER_START_BYTES });
  if (start === null) return { missing: missingOf(pieces, [{ offset: 0, length: PREFIX_BYTES }]) };
  const range = { offset: 0, length: headerLength(start) };
  const bytes = bytesAt(pieces, range);
  return bytes === null ? { missing: missingOf(pieces, [range]) } : { ...readHeader(bytes), bytes: range.length };
}

type Slot = ByteRange & { entity: string; metric: string; seed: number };

/** Where the wanted columns stand, in their order. */
function slotsOf(header: Header & { check: number }, start: number, { entities, metric }: Wanted): Slot[] {
  const sets = header.sets.map((set) =>
    set.map((reference) => {
      const name = metricOf(reference, header.names) ?? "";
      return { name, isWanted: metric(name) };
    }),
  );
  const slots: Slot[] = [];
  const { lengths } = header;
  let offset = start;
  let index = 0;
  let left = entities === null ? Infinity : entities.size;
  for (const { entity, set } of header.entities) {
    const metrics = sets[set] ?? [];
    const isWantedEntity = entities === null || entities.has(entity);
    for (let place = 0; place < metrics.length; place++) {
      const length = lengths[index] ?? 0;
      const metric = metrics[place];
      if (isWantedEntity && metric?.isWanted)
        slots.push({ entity, metric: metric.name, offset, length, seed: columnSeed(header.check, index) });
      offset += length;
      index += 1;
    }
    if (isWantedEntity && --left === 0) break;
  }
  return slots;
}

/** Spans by offset, those that touch or overlap made one. */
function mergedSpans(spans: readonly Span[]): Span[] {
  const merged: Span[] = [];
  for (const span of spans.toSorted((a, b) => a.offset - b.offset)) {
    const last = merged[merged.length - 1];
    const end = last === undefined ? -1 : last.offset + last.bytes.length;
    if (last === undefined || span.offset > end) merged.push(span);
    else if (span.offset + span.bytes.length > end) {
      const bytes = new Uint8Array(span.offset + span.bytes.length - last.offset);
      bytes.set(last.bytes);
      bytes.set(span.bytes.subarray(end - span.offset), end - last.offset);
      merged[merged.length - 1] = { offset: last.offset, bytes };
    }
  }
  return merged;
}

function bytesAt(pieces: readonly Span[], { offset, length }: ByteRange): Uint8Array | null {
  const piece = pieces.findLast((candidate) => candidate.offset <= offset);
  if (piece === undefined || piece.offset + piece.bytes.length < offset + length) return null;
  return piece.bytes.subarray(offset - piece.offset, offset - piece.offset + length);
}

/** What `pieces` lack of `ranges`, which rise; ranges near each other are joined. */
function missingOf(pieces: readonly Span[], ranges: readonly ByteRange[]): ByteRange[] {
  const missing: ByteRange[] = [];
  const add = (offset: number, end: number): void => {
    const last = missing[missing.length - 1];
    if (last !== undefined && offset - (last.offset + last.length) < JOIN_BYTES) last.length = end - last.offset;
    else missing.push({ offset, length: end - offset });
  };
  for (const range of ranges) {
    let at = range.offset;
    const end = range.offset + range.length;
    for (const piece of pieces) {
      const pieceEnd = piece.offset + piece.bytes.length;
      if (pieceEnd <= at || piece.offset >= end) continue;
      if (piece.offset > at) add(at, piece.offset);
      at = pieceEnd;
    }
    if (at < end) add(at, end);
  }
  return missing;
}
