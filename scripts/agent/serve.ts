// The little that both listeners of the agent need of HTTP.
import type { IncomingMessage, Server, ServerResponse } from "node:http";

/** The body as text; rejects one that is longer than `bytesMax`. */
export async function readBody(request: IncomingMessage, bytesMax: number): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > bytesMax) throw new Error(`the body is longer than ${bytesMax} bytes`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

/** Answers with JSON text, once. */
export function answer(
  response: ServerResponse,
  status: number,
  json: string,
  headers: Record<string, string> = {},
): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(json);
}

/** Closes the listener and, as nothing may be answered after it, every connection to it. */
export function shut(server: Server): void {
  server.close();
  server.closeAllConnections();
}
