// Versions as entity tags: `ETag: "3"` in an answer, `If-Match: "3"` in a change that holds only for what was seen.
import type { Context } from "hono";
import { AppError } from "../errors.ts";

export const etag = (version: number): { etag: string } => ({ etag: `"${version}"` });

/** The version that the caller has seen; null: no If-Match, or `*`. */
export function ifMatch(c: Context): number | null {
  const header = c.req.header("if-match");
  if (header === undefined || header.trim() === "*") return null;
  const version = /^\s*"(\d{1,15})"\s*$/.exec(header)?.[1];
  if (version === undefined)
    throw new AppError({
      code: "invalid_request",
      issues: [{ path: "If-Match", message: 'one entity tag as the answer had it, such as "3"' }],
    });
  return Number(version);
}
