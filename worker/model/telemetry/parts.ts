// Which row of an hour a frame is appended to.
import { chunkId, chunkKey, hourOf, PART_BYTES_MAX } from "./chunk-id.ts";
import type { Accepted } from "./ingest.ts";

/** A chunk that is there already, and how long it is. */
export type StoredPart = { id: number; bytes: number };

/** Bytes to be appended to the chunk `id`, which may not exist yet. */
export type Append = { id: number; data: Uint8Array };

/** Frames of one host, put at the end of the last part of their hour, or of a new part where they would make it too large. */
export function placeFrames(hostNumber: number, frames: Accepted["frames"], stored: readonly StoredPart[]): Append[] {
  const lengths = new Map(stored.map(({ id, bytes }) => [id, bytes]));
  const lastPart = new Map<number, number>();
  for (const { hour, part } of stored.map(({ id }) => chunkKey(id)))
    lastPart.set(hour, Math.max(part, lastPart.get(hour) ?? 0));
  const appends = new Map<number, Uint8Array[]>();
  for (const { hour, frame } of frames) {
    let part = lastPart.get(hour) ?? 0;
    const bytes = lengths.get(chunkId({ hostNumber, tier: "raw", hour, part })) ?? 0;
    if (bytes > 0 && bytes + frame.length > PART_BYTES_MAX) part += 1;
    const id = chunkId({ hostNumber, tier: "raw", hour, part });
    lastPart.set(hour, part);
    lengths.set(id, (lengths.get(id) ?? 0) + frame.length);
    appends.set(id, [...(appends.get(id) ?? []), frame]);
  }
  return Array.from(appends, ([id, parts]) => ({ id, data: concat(parts) }));
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** The hours that a batch touches, from the first to the last; null where it stores nothing. */
export function hoursTouched(frames: Accepted["frames"]): { fromHour: number; toHour: number } | null {
  const hours = frames.map(({ hour }) => hour);
  return hours.length === 0 ? null : { fromHour: Math.min(...hours), toHour: Math.max(...hours) };
}

/** The hours in which samples from `from` to before `to` lie. */
export const hoursBetween = (from: number, to: number): { fromHour: number; toHour: number } => ({
  fromHour: hourOf(from),
  toHour: hourOf(to - 1),
});
