// Bodies that may come compressed. Both the compressed and the inflated size are limited: a small body may inflate to
// gigabytes.
import { gunzipSync } from "node:zlib";
import type { Context } from "hono";
import { createMiddleware } from "hono/factory";
import type { AppEnv } from "../env.ts";
import { AppError } from "../errors.ts";

/** What gzip inflates to. Over `limitBytes` it is a fault before it is inflated. */
export function inflate(packed: Uint8Array, limitBytes: number): Uint8Array<ArrayBuffer> {
  try {
    return gunzipSync(packed, { maxOutputLength: limitBytes });
  } catch (error) {
    // Node and workerd name it differently, but nothing else is a RangeError.
    if (error instanceof RangeError) throw new AppError({ code: "body_too_large", limitBytes });
    throw new AppError({ code: "malformed_body", detail: "The body is not what gzip makes." });
  }
}

/** The encoding of a body, which must be one of `known`; `identity` where none is given. */
export function encodingOf(header: string | undefined, known: readonly string[]): string {
  const encoding = (header ?? "identity").trim().toLowerCase();
  if (!known.includes(encoding))
    throw new AppError({
      code: "unsupported_media_type",
      detail: `The body is encoded as ${encoding}; it may be ${known.join(" or ")}.`,
    });
  return encoding;
}

/** The body as text; sets its SHA-256. What it was made of is let go of: together they would be half of what an isolate may hold. */
async function textOf(c: Context<AppEnv>, limitBytes: number): Promise<string> {
  const type = c.req.header("content-type") ?? "";
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new AppError({ code: "unsupported_media_type", detail: `The body's type is ${type || "not given"}.` });
  const encoding = encodingOf(c.req.header("content-encoding"), ["gzip", "identity"]);
  const received = new Uint8Array(await c.req.raw.arrayBuffer());
  if (received.length > limitBytes) throw new AppError({ code: "body_too_large", limitBytes });
  const body = encoding === "gzip" ? inflate(received, limitBytes) : received;
  c.set("bodyHash", await c.get("deps").hash(body));
  return new TextDecoder().decode(body);
}

/** For routes that take JSON, plain or gzip: what comes after this reads plain JSON, and its SHA-256 in `bodyHash`. */
export const inflatedJson = (limitBytes: number) =>
  createMiddleware<AppEnv>(async (c, next) => {
    // What Hono reads the body from when it was read before.
    const text: unknown = Promise.resolve(await textOf(c, limitBytes));
    c.req.bodyCache.text = text as string;
    await next();
  });
