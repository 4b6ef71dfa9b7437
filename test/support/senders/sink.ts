// An HTTP server that keeps what senders send and answers as it is told.
import { createServer, type IncomingHttpHeaders } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { gunzipSync } from "node:zlib";

// It has no types of its own.
const { uncompress } = createRequire(import.meta.url)("snappyjs") as { uncompress: (body: Uint8Array) => Uint8Array };

export type Kept = { path: string; headers: IncomingHttpHeaders; raw: Buffer; status: number };

export type Sink = {
  url: string;
  /** In the order of their arrival, those refused too. */
  kept: Kept[];
  /** Statuses of the next answers to bodies that tell of `host`; all else is answered 204. They ask for a second of peace. */
  statuses: number[];
  close: () => Promise<void>;
};

/** The body without its content encoding. */
export function inflated({ headers, raw }: Pick<Kept, "headers" | "raw">): Buffer {
  const encoding = headers["content-encoding"];
  if (encoding === "snappy") return Buffer.from(uncompress(raw));
  return encoding === "gzip" ? gunzipSync(raw) : raw;
}

export async function startSink(host: string): Promise<Sink> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part: Buffer) => parts.push(part));
    request.on("end", () => {
      const one = { path: request.url ?? "", headers: request.headers, raw: Buffer.concat(parts) };
      const status = (inflated(one).includes(host) ? sink.statuses.shift() : undefined) ?? 204;
      sink.kept.push({ ...one, status });
      response.writeHead(status, status === 204 ? {} : { "retry-after": "1" }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const sink: Sink = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    kept: [],
    statuses: [],
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return sink;
}
