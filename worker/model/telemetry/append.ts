// Which rows a batch is appended to, and with what.
import { HOUR_MS, MINUTE_MS } from "../units.ts";
import type { Arrival } from "./arrival.ts";
import { chunkId, chunkKey, hourOf, PART_BYTES_MAX } from "./chunk-id.ts";
import type { Column, Frame } from "./frame.ts";
import { FUTURE_MS } from "./ingest.ts";
import { LIVE_VALUES_MAX, type LastValues, type LiveLayout, lastValues, writeLiveFrame } from "./live.ts";
import { RETENTION_MS } from "./retention.ts";

/** A chunk that is there already. */
export type StoredPart = { id: number; revision: number; /** Characters and bytes in it. */ size: number };

/** The end of an open chunk: which series the frames are of that were appended last; null: unknown. */
export type Tail = StoredPart & {
  head: string | null;
  live: string | null;
  /** The values with which those frames end, as long as they are remembered: they are not stored. */
  headLast?: LastValues;
  liveLast?: LastValues;
};

/** What is stored of tails. */
export const formatTails = (tails: readonly Tail[]): string =>
  JSON.stringify(tails.map(({ id, revision, size, head, live }) => ({ id, revision, size, head, live })));

/** Frames to be appended to a chunk, which may not exist yet. */
export type Append = {
  id: number;
  /** The revision that the chunk must have, because the frames rely on what stands before them; null: it is new. */
  revision: number | null;
  head: Uint8Array<ArrayBuffer> | null;
  live: Uint8Array<ArrayBuffer> | null;
};

/**
 * An append writes all of its row again, hence an open chunk goes on in the next part long before its row is full; but a part
 * more is a row more to be written when its hour is packed, hence it has room for eight batches. Four parts are enough for an
 * hour of 20 VMs in batches of a minute.
 */
const OPEN_BATCHES = 8;
const OPEN_BYTES_MIN = 32 * 1024;
const OPEN_BYTES_MAX = 128 * 1024;
/** From this part on rows are filled, because there are not many parts more: 64 of 32 kB and 64 of 900 kB make 60 MB an hour. */
const FULL_PARTS_FROM = 64;

/** The size that a part may reach by a batch of so many bytes. */
const openBytes = (part: number, batchBytes: number): number =>
  part < FULL_PARTS_FROM
    ? Math.min(Math.max(OPEN_BATCHES * batchBytes, OPEN_BYTES_MIN), OPEN_BYTES_MAX)
    : PART_BYTES_MAX;

/** Open chunks that are remembered: the present hour and those that a sender with a slow clock still writes to. */
const TAILS_MAX = 3;

/** A closed hour is looked at once more an hour later (`services/closing.ts`); what comes after that, less a margin, is late. */
export const LATE_MS = HOUR_MS + 4 * MINUTE_MS;
export const isLate = (hour: number, now: number): boolean => now >= (hour + 1) * HOUR_MS + LATE_MS;

/** The hours in which a frame has times. */
export const hoursOf = ({ times }: Frame): number[] => [...new Set(times.map(hourOf))];

/** Between the oldest hour in which samples are taken and the newest one, both included. */
const HOURS_TAKEN = Math.ceil((RETENTION_MS.raw + FUTURE_MS) / HOUR_MS) + 1;

/**
 * Hours of which must be read what is there already. Tails are the newest chunks, hence nothing is newer than they are;
 * `tails` null: they cannot be trusted, and the newest chunks must be found again.
 */
export function unknownHours(frame: Frame, tails: readonly Tail[] | null): number[] {
  const hours = hoursOf(frame);
  if (tails === null)
    return hours.length === 0 ? [] : Array.from({ length: HOURS_TAKEN }, (_, index) => Math.min(...hours) + index);
  const known = new Set(tails.map(({ id }) => chunkKey(id).hour));
  const newest = Math.max(...known);
  return hours.filter((hour) => hour < newest && !known.has(hour));
}

const slice = ({ times, columns }: Frame, from: number, to: number): Frame =>
  from === 0 && to === times.length
    ? { times, columns }
    : {
        times: times.slice(from, to),
        columns: columns.map((column) => ({ ...column, values: column.values.subarray(from, to) })),
      };

function byHour(frame: Frame): { hour: number; frame: Frame }[] {
  const { times } = frame;
  if (times.length === 0 || frame.columns.length === 0) return [];
  const first = hourOf(times[0] ?? 0);
  if (hourOf(times.at(-1) ?? 0) === first) return [{ hour: first, frame }];
  const all: { hour: number; frame: Frame }[] = [];
  for (let from = 0; from < times.length;) {
    const hour = hourOf(times[from] ?? 0);
    const after = times.findIndex((time, index) => index > from && hourOf(time) !== hour);
    const to = after === -1 ? times.length : after;
    all.push({ hour, frame: slice(frame, from, to) });
    from = to;
  }
  return all;
}

type Encoded = {
  head: Uint8Array<ArrayBuffer> | null;
  live: Uint8Array<ArrayBuffer> | null;
  size: number;
  ends: Pick<Tail, "head" | "live" | "headLast" | "liveLast">;
};

const base64Length = (bytes: Uint8Array | null): number => (bytes === null ? 0 : (bytes.length / 3) * 4);

function encode({ times, columns }: Frame, arrival: Arrival, tail: Tail): Encoded {
  const part = (of: Column[], layout: LiveLayout | null, last: string | null, before: LastValues | undefined) => {
    if (layout === null) return { bytes: null, last: before };
    const isNamed = layout.key !== last;
    const known = isNamed ? null : (before ?? null);
    const bytes = writeLiveFrame({ times, columns: of }, layout, isNamed, known);
    return { bytes, last: lastValues(known, of) };
  };
  const head = part(columns.slice(0, arrival.hostColumns), arrival.head, tail.head, tail.headLast);
  const live = part(columns.slice(arrival.hostColumns), arrival.live, tail.live, tail.liveLast);
  return {
    head: head.bytes,
    live: live.bytes,
    size: base64Length(head.bytes) + base64Length(live.bytes),
    ends: {
      head: arrival.head?.key ?? tail.head,
      live: arrival.live?.key ?? tail.live,
      ...(head.last === undefined ? {} : { headLast: head.last }),
      ...(live.last === undefined ? {} : { liveLast: live.last }),
    },
  };
}

const NOTHING = { head: null, live: null };

/**
 * A frame of one host, its columns in stored order (`inOrder`), put at the end of the last part of each hour, or of a new part
 * where it would make that too large. `tails` as remembered; `stored`: what was read of the hours that they do not have.
 * RangeError where one moment of the host does not fit a part, or an hour has no part left.
 */
export function appendFrame(
  hostNumber: number,
  frame: Frame,
  arrival: Arrival,
  tails: readonly Tail[],
  stored: readonly StoredPart[],
): { appends: Append[]; tails: Tail[] } {
  if (frame.times.length === 0 || frame.columns.length === 0) return { appends: [], tails: [...tails] };
  const known = new Map<number, Tail>();
  const inTimeOrder = (a: StoredPart, b: StoredPart): number => a.id - b.id;
  for (const part of [...stored].sort(inTimeOrder)) known.set(chunkKey(part.id).hour, { ...part, ...NOTHING });
  for (const tail of tails) known.set(chunkKey(tail.id).hour, tail);
  const appends: Append[] = [];
  const put = (hour: number, part: Frame): void => {
    const first = { id: chunkId({ hostNumber, tier: "raw", hour, part: 0 }), revision: 0, size: 0, ...NOTHING };
    let tail: Tail = known.get(hour) ?? first;
    let encoded = encode(part, arrival, tail);
    const { part: lastPart } = chunkKey(tail.id);
    if (tail.size > 0 && tail.size + encoded.size > openBytes(lastPart, encoded.size)) {
      tail = { ...first, id: chunkId({ hostNumber, tier: "raw", hour, part: lastPart + 1 }) };
      encoded = encode(part, arrival, tail);
    }
    if (encoded.size > PART_BYTES_MAX || part.times.length * part.columns.length > LIVE_VALUES_MAX) {
      const half = part.times.length >> 1;
      if (half === 0)
        throw new RangeError(`one moment of ${part.columns.length} series does not fit ${PART_BYTES_MAX} bytes`);
      put(hour, slice(part, 0, half));
      return put(hour, slice(part, half, part.times.length));
    }
    // Packing may have made more parts of a chunk than there were: what is appended behind its back could stand before them.
    const revision = tail.revision === 0 ? null : tail.revision;
    appends.push({ id: tail.id, revision, head: encoded.head, live: encoded.live });
    known.set(hour, { id: tail.id, revision: tail.revision + 1, size: tail.size + encoded.size, ...encoded.ends });
  };
  for (const { hour, frame: part } of byHour(frame)) put(hour, part);
  return { appends, tails: [...known.values()].sort(inTimeOrder).slice(-TAILS_MAX) };
}
