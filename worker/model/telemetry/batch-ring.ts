// The batches a host sent last, so that a repeated one is answered the same and an id used twice is noticed. Beyond this
// ring merging by series and time makes a replay harmless. Kept as lines of text: a new one is appended without writing the
// others again.
import { z } from "zod";
import { HOUR_MS } from "../units.ts";
import { refusedSample } from "./ingest.ts";

const ENTRIES_MAX = 256;
const AGE_MS_MAX = 48 * HOUR_MS;
/** The ring shares its row with the latest values. Answers with long lists of refusals make it shorter than 256. */
const RING_CHARS_MAX = 200_000;

/** What a batch was answered. */
export const batchAnswer = z.strictObject({
  /** Samples stored. */
  stored: z.int().min(0),
  refused: z.array(refusedSample),
  refusedCount: z.int().min(0),
});
export type BatchAnswer = z.infer<typeof batchAnswer>;

/** `hash` is of the batch's content, without blanks. */
export type BatchEntry = { id: string; hash: string; at: number; answer: BatchAnswer };
type Line = BatchEntry & { chars: number };
/** Oldest first. */
export type BatchRing = readonly Line[];

/** As JSON has it within quotes: half of a surrogate pair, which a URI cannot have, is an escape there. */
const escapeId = (id: string): string => encodeURIComponent(JSON.stringify(id).slice(1, -1));
const unescapeId = (text: string): string => z.string().parse(JSON.parse(`"${decodeURIComponent(text)}"`));

/** A line: id, hash, time and answer with blanks between; ASCII, so that a character is a byte. */
function lineOf({ id, hash, at, answer }: BatchEntry): string {
  const refused = answer.refusedCount === 0 ? "" : ` ${encodeURIComponent(JSON.stringify(answer.refused))}`;
  return `${escapeId(id)} ${hash} ${at} ${answer.stored} ${answer.refusedCount}${refused}\n`;
}

const refusedList = z.array(refusedSample);

function entryOf(line: string): Line {
  const [id = "", hash = "", at, stored, refusedCount, refused] = line.split(" ");
  const answer = {
    stored: Number(stored),
    refused: refused === undefined ? [] : refusedList.parse(JSON.parse(decodeURIComponent(refused))),
    refusedCount: Number(refusedCount),
  };
  return { id: unescapeId(id), hash, at: Number(at), answer, chars: line.length + 1 };
}

/** The ring as it is stored. */
export const parseRing = (text: string | null): BatchRing =>
  (text ?? "")
    .split("\n")
    .filter((line) => line !== "")
    .map(entryOf);

/** Whether a batch is new, was answered before, or has an id that stands for another content. */
export function lookup(ring: BatchRing, id: string, hash: string): "new" | "conflict" | { answer: BatchAnswer } {
  const entry = ring.find((known) => known.id === id);
  if (entry === undefined) return "new";
  return entry.hash === hash ? { answer: entry.answer } : "conflict";
}

/** What changes in the stored text: `drop` characters at its start go, `added` comes to its end. */
export type RingChange = { ring: BatchRing; drop: number; added: string };

/** The ring with one more entry, at most 256 of at most 48 h before `now`, and no longer than its row allows. */
export function remember(ring: BatchRing, entry: BatchEntry, now: number): RingChange {
  const added = lineOf(entry);
  let chars = ring.reduce((sum, line) => sum + line.chars, added.length);
  let dropped = 0;
  let drop = 0;
  for (const line of ring) {
    const isTooMuch = ring.length - dropped >= ENTRIES_MAX || chars > RING_CHARS_MAX || now - line.at > AGE_MS_MAX;
    if (!isTooMuch) break;
    dropped += 1;
    drop += line.chars;
    chars -= line.chars;
  }
  return { ring: [...ring.slice(dropped), { ...entry, chars: added.length }], drop, added };
}
