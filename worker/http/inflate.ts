// Bodies that may come compressed. Both the compressed and the inflated size are limited: a small body may inflate to
// gigabytes.
import { createMiddleware } from "hono/factory";
import type { AppEnv } from "../env.ts";
import { AppError } from "../errors.ts";

/** The first `limitBytes` of a stream are all it may have. */
async function readLimited(stream: ReadableStream<Uint8Array>, limitBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of stream) {
    length += part.length;
    if (length > limitBytes) throw new AppError({ code: "body_too_large", limitBytes });
    parts.push(part);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

async function inflate(packed: Uint8Array<ArrayBuffer>, limitBytes: number): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return await readLimited(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip")), limitBytes);
  } catch (error) {
    if (error instanceof AppError) throw error;
    throw new AppError({ code: "malformed_body", detail: "The body is not what gzip makes." });
  }
}

/** For routes that take JSON, plain or gzip: whatever comes after this reads plain JSON. */
export const inflatedJson = (limitBytes: number) =>
  createMiddleware<AppEnv>(async (c, next) => {
    const type = c.req.header("content-type") ?? "";
    if (!/^application\/json\s*(;|$)/i.test(type))
      throw new AppError({ code: "unsupported_media_type", detail: `The body's type is ${type || "not given"}.` });
    const encoding = (c.req.header("content-encoding") ?? "identity").trim().toLowerCase();
    if (encoding !== "gzip" && encoding !== "identity")
      throw new AppError({ code: "unsupported_media_type", detail: `The body is encoded as ${encoding}.` });
    const stream = c.req.raw.body;
    if (stream === null) throw new AppError({ code: "malformed_body", detail: "The body is empty." });
    const received = await readLimited(stream, limitBytes);
    const body = encoding === "gzip" ? await inflate(received, limitBytes) : received;
    const headers = new Headers(c.req.raw.headers);
    headers.delete("content-encoding");
    headers.delete("content-length");
    c.req.raw = new Request(c.req.raw.url, { method: c.req.method, headers, body });
    await next();
  });
