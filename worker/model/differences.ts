// Where two pieces of JSON differ.
import { z } from "zod";

/** A value that is missing on one side is `null` there, with `missing` saying on which. */
export const difference = z
  .strictObject({
    /** As in `issues`: `moves.0.toHostId`. */
    path: z.string(),
    stored: z.unknown(),
    replayed: z.unknown(),
    missing: z.enum(["stored", "replayed"]).optional(),
  })
  .meta({ id: "Difference" });
export type Difference = z.infer<typeof difference>;

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** The places where two JSON values differ, in the order of the first, at most `max` of them; none: they are the same. */
export function differencesOf(stored: unknown, replayed: unknown, max: number): Difference[] {
  const found: Difference[] = [];
  compare(stored, replayed, "", found, max);
  return found;
}

function compare(stored: unknown, replayed: unknown, path: string, found: Difference[], max: number): void {
  if (found.length >= max) return;
  const areBoth = isObject(stored) && isObject(replayed) && Array.isArray(stored) === Array.isArray(replayed);
  if (!areBoth) {
    if (!Object.is(stored, replayed)) found.push({ path, stored, replayed });
    return;
  }
  for (const key of new Set([...Object.keys(stored), ...Object.keys(replayed)])) {
    if (found.length >= max) return;
    const inner = path === "" ? key : `${path}.${key}`;
    if (!Object.hasOwn(stored, key))
      found.push({ path: inner, stored: null, replayed: replayed[key], missing: "stored" });
    else if (!Object.hasOwn(replayed, key))
      found.push({ path: inner, stored: stored[key], replayed: null, missing: "replayed" });
    else compare(stored[key], replayed[key], inner, found, max);
  }
}
