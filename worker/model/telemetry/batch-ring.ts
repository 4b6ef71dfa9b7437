// The batches a host sent last, so that a repeated one is answered the same and an id used twice is noticed. Beyond this
// ring merging by series and time makes a replay harmless.
import { z } from "zod";
import { HOUR_MS } from "../units.ts";
import { refusedSample } from "./ingest.ts";

const ENTRIES_MAX = 256;
const AGE_MS_MAX = 48 * HOUR_MS;
/** The ring shares its row with the latest values. Answers with long lists of refusals make it shorter than 256. */
const RING_BYTES_MAX = 300_000;

/** What a batch was answered. */
export const batchAnswer = z.strictObject({
  /** Samples stored. */
  stored: z.int().min(0),
  refused: z.array(refusedSample),
  refusedCount: z.int().min(0),
});
export type BatchAnswer = z.infer<typeof batchAnswer>;

/** Oldest first. `hash` is of the batch's content. */
export const batchRing = z.array(
  z.strictObject({ id: z.string(), hash: z.string(), at: z.int().min(0), answer: batchAnswer }),
);
export type BatchRing = z.infer<typeof batchRing>;

/** Whether a batch is new, was answered before, or has an id that stands for another content. */
export function lookup(ring: BatchRing, id: string, hash: string): "new" | "conflict" | { answer: BatchAnswer } {
  const entry = ring.find((known) => known.id === id);
  if (entry === undefined) return "new";
  return entry.hash === hash ? { answer: entry.answer } : "conflict";
}

/** The ring with one more entry, at most 256 of at most 48 h before `now`, and no larger than its row allows. */
export function remember(ring: BatchRing, entry: BatchRing[number], now: number): BatchRing {
  const kept: BatchRing = [];
  let bytes = 0;
  for (const known of [entry, ...ring.toReversed()]) {
    bytes += JSON.stringify(known).length;
    if (kept.length === ENTRIES_MAX || (kept.length > 0 && bytes > RING_BYTES_MAX)) break;
    if (now - known.at <= AGE_MS_MAX) kept.push(known);
  }
  return kept.toReversed();
}
