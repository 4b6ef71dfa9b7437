// JSON pointers (RFC 6901): where in a body something stands.
import { z } from "zod";

export const jsonPointer = z
  .string()
  .max(200)
  .regex(
    /^(?:\/(?:[^~/]|~[01])*)*$/,
    "a JSON pointer such as /labels/host: each part after a slash, ~1 for / and ~0 for ~",
  );

/** The value there; undefined: nothing is. The empty pointer is the whole. */
export function valueAt(whole: unknown, pointer: string): unknown {
  let value = whole;
  for (const part of pointer.split("/").slice(1)) {
    const name = part.replaceAll("~1", "/").replaceAll("~0", "~");
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}
