// The rows of one host's raw chunks, and a writer that appends to them as the write path does.
import {
  type Append,
  appendFrame,
  formatTails,
  type StoredPart,
  type Tail,
  unknownHours,
} from "../../../worker/model/telemetry/append.ts";
import { type Arrival, inOrder, recognise } from "../../../worker/model/telemetry/arrival.ts";
import { chunkKey } from "../../../worker/model/telemetry/chunk-id.ts";
import { closeHour, type ClosedHour } from "../../../worker/model/telemetry/closing.ts";
import { type Frame, seriesKey } from "../../../worker/model/telemetry/frame.ts";
import { type Known, NOTHING_KNOWN } from "../../../worker/model/telemetry/known.ts";
import { chunkFrame, type StoredChunk } from "../../../worker/model/telemetry/stored-chunk.ts";

export const HOST_NUMBER = 7;

/** By id. */
export type Rows = ReadonlyMap<number, StoredChunk>;

export const chunksOf = (rows: Rows): StoredChunk[] => [...rows.values()].toSorted((a, b) => a.id - b.id);

function joined(a: Uint8Array | null, b: Uint8Array | null): Uint8Array | null {
  if (a === null || b === null) return a ?? b;
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/** All of the appends or, null, none of them: a chunk has another revision than one of them relies on. */
export function appended(rows: Rows, appends: readonly Append[]): Rows | null {
  const after = new Map(rows);
  for (const { id, revision, head, live } of appends) {
    const row = after.get(id);
    if (revision !== null && revision !== row?.revision) return null;
    after.set(id, {
      id,
      revision: (row?.revision ?? 0) + 1,
      head: joined(row?.head ?? null, head),
      live: joined(row?.live ?? null, live),
      packed: row?.packed ?? null,
    });
  }
  return after;
}

/** null: a chunk has another revision by now. */
export function packed(rows: Rows, changes: Pick<ClosedHour, "replaced" | "removed">): Rows | null {
  const after = new Map(rows);
  for (const { id, revision } of changes.removed) {
    if (after.get(id)?.revision !== revision) return null;
    after.delete(id);
  }
  for (const { id, revision, packed } of changes.replaced) {
    if ((after.get(id)?.revision ?? 0) !== revision) return null;
    after.set(id, { id, revision: revision + 1, head: null, live: null, packed });
  }
  return after;
}

const base64Length = (bytes: Uint8Array | null): number => Math.ceil((bytes?.length ?? 0) / 3) * 4;
export const sizeOf = ({ head, live, packed }: StoredChunk): number =>
  base64Length(head) + base64Length(live) + (packed?.length ?? 0);

function storedParts(rows: Rows, hours: readonly number[]): StoredPart[] {
  const [first, last] = [Math.min(...hours), Math.max(...hours)];
  return chunksOf(rows)
    .filter(({ id }) => chunkKey(id).hour >= first && chunkKey(id).hour <= last)
    .map((row) => ({ id: row.id, revision: row.revision, size: sizeOf(row) }));
}

export type Writer = { rows: Rows; tails: readonly Tail[]; known: Known; arrivals: readonly Arrival[] };
export const NEW_WRITER: Writer = { rows: new Map(), tails: [], known: NOTHING_KNOWN, arrivals: [] };

/** What a writer knows that has read its tails from where they are stored. */
export const restarted = (writer: Writer): Writer => ({
  ...writer,
  tails: JSON.parse(formatTails(writer.tails)) as Tail[],
  arrivals: [],
});

/** After a frame was appended; tails that are not trusted, or turn out to be wrong, are found again in the rows. */
export function written(writer: Writer, frame: Frame, now: number, trusted = true): Writer {
  const { arrival, known, arrivals } = recognise(writer.arrivals, frame.columns, writer.known, now);
  const ordered = { times: frame.times, columns: inOrder(arrival, frame.columns) };
  const believed = trusted ? writer.tails : null;
  const unread = unknownHours(frame, believed);
  const stored = unread.length === 0 ? [] : storedParts(writer.rows, unread);
  const { appends, tails } = appendFrame(HOST_NUMBER, ordered, arrival, believed ?? [], stored);
  const rows = appended(writer.rows, appends);
  if (rows !== null) return { rows, tails, known, arrivals };
  if (!trusted) throw new Error("an append that relies on what is not there, although all was read");
  return written(writer, frame, now, false);
}

export const ofHour = (rows: Rows, hour: number): StoredChunk[] =>
  chunksOf(rows).filter(({ id }) => chunkKey(id).hour === hour);

/** After an hour was packed, of which the writer learns nothing. */
export function closed(writer: Writer, hour: number): Writer {
  const rows = packed(writer.rows, closeHour(HOST_NUMBER, hour, ofHour(writer.rows, hour), []));
  if (rows === null) throw new Error("a closed hour that does not fit the rows it was made of");
  return { ...writer, rows };
}

/** Samples as `entity/metric@time` → value. */
export function samplesOf(...frames: Frame[]): Map<string, number> {
  const samples = new Map<string, number>();
  for (const { times, columns } of frames)
    for (const { entity, metric, values } of columns)
      values.forEach((value, index) => {
        if (!Number.isNaN(value)) samples.set(`${seriesKey(entity, metric)}@${times[index]}`, value);
      });
  return samples;
}

export const samplesIn = (rows: Rows): Map<string, number> => samplesOf(chunkFrame(chunksOf(rows)));
