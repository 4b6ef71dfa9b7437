// What becomes of a closed hour of a host: its samples packed, its roll-ups, and the window of the last 24 hours.
import { HOUR_MS, MINUTE_MS } from "../units.ts";
import { metricNamed } from "./catalogue.ts";
import { chunkId, chunkIdRange, chunkKey, type Tier } from "./chunk-id.ts";
import type { Frame } from "./frame.ts";
import { EMPTY_ROLLUP, mergeRollup, rollUp } from "./rollup.ts";
import { chunkFrame, packParts, rawContent, type StoredChunk, unpack } from "./stored-chunk.ts";
import { addHour, dropHour, emptyWindow, expiredHours, type Window, WINDOW_HOURS } from "./window.ts";

/** An hour is closed this long after its end, so that batches on their way are in it. */
export const CLOSE_AFTER_MS = 5 * MINUTE_MS;
const HOURS_OF_DAY = 24;

/** The last hour that is closed at `now`. */
export const lastClosedHour = (now: number): number => Math.floor((now - CLOSE_AFTER_MS) / HOUR_MS) - 1;

/** The coarsest tier has a row a day: the hour that stands for it. */
export const dayOf = (hour: number): number => hour - (hour % HOURS_OF_DAY);

/** Where the chunks of an hour in a tier are. */
export const rangeOf = (hostNumber: number, tier: Tier, hour: number): { first: number; last: number } =>
  chunkIdRange(hostNumber, tier, hour, hour);

/** Chunks as they are to be: `revision` is the one that was read, 0: there was none. */
export type ClosedHour = {
  frame: Frame;
  replaced: { id: number; revision: number; packed: Uint8Array | null }[];
  removed: { id: number; revision: number }[];
  written: { id: number; packed: Uint8Array }[];
};

export const isOpen = ({ head, live }: StoredChunk): boolean => head !== null || live !== null;

/** Packs an hour of which these are the raw chunks, and rolls it up; `day`: the chunks of its day in the coarsest tier. */
export function closeHour(
  hostNumber: number,
  hour: number,
  raw: readonly StoredChunk[],
  day: readonly StoredChunk[],
): ClosedHour {
  const from = hour * HOUR_MS;
  const frame = chunkFrame(raw);
  const fine = rollUp(frame, 5 * MINUTE_MS, from, from + HOUR_MS);
  const coarse = rollUp(frame, HOUR_MS, from, from + HOUR_MS);
  const stored = day.map(({ packed }) => (packed === null ? EMPTY_ROLLUP : unpack(packed)));
  const merged = [...stored, coarse].reduce(mergeRollup);
  const parts = packParts(rawContent(frame));
  const idOf = (tier: Tier, of: number, part: number): number => chunkId({ hostNumber, tier, hour: of, part });
  const leftOver = raw.filter(({ id }) => chunkKey(id).part >= parts.length);
  return {
    frame,
    replaced: [
      ...parts.map((packed, part) => {
        const id = idOf("raw", hour, part);
        return { id, revision: raw.find((chunk) => chunk.id === id)?.revision ?? 0, packed };
      }),
      // What was packed may be remembered by its revision, which must not come again: it stays, and holds nothing.
      ...leftOver.filter(({ packed }) => packed !== null).map(({ id, revision }) => ({ id, revision, packed: null })),
    ],
    // Emptied they would keep the pages that their frames lay in: a third of all that is stored.
    removed: leftOver.filter(({ packed }) => packed === null).map(({ id, revision }) => ({ id, revision })),
    written: [
      ...packParts(fine).map((packed, part) => ({ id: idOf("5min", hour, part), packed })),
      ...packParts(merged).map((packed, part) => ({ id: idOf("1h", dayOf(hour), part), packed })),
    ],
  };
}

/** Whether a series counts in a window. */
export const isSummarized = (metric: string): boolean => metricNamed(metric) !== undefined;

/** Hours of which the samples are needed to bring a window on to `hour`; null: it cannot be brought on. */
export const hoursToDrop = (window: Window, hour: number): number[] | null =>
  window.hours.has(hour) || [...window.hours.keys()].some((other) => other > hour) ? null : expiredHours(window, hour);

/** The window with one more hour, without those that are over; null: it must be made anew. */
export function advanceWindow(
  window: Window,
  hour: number,
  frame: Frame,
  expired: ReadonlyMap<number, Frame>,
): Window | null {
  if (hoursToDrop(window, hour) === null) return null;
  let advanced: Window | null = addHour(window, hour, frame);
  for (const [old, samples] of expired) advanced = advanced === null ? null : dropHour(advanced, old, samples);
  return advanced;
}

/** The hours of a window that ends with `hour`. */
export const windowHours = (hour: number): number[] =>
  Array.from({ length: WINDOW_HOURS }, (_, index) => hour - WINDOW_HOURS + 1 + index);

/** A window made anew, hour by hour. */
export const rebuildWindow = (hours: Iterable<readonly [hour: number, frame: Frame]>): Window =>
  [...hours].reduce((window, [hour, frame]) => addHour(window, hour, frame), emptyWindow());
