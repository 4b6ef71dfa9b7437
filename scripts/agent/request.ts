// HTTP as the agent speaks it, to Drover and to other agents. By node:http and not by fetch, whose machinery takes 12 MB of
// memory that is then never given back.
import type { IncomingHttpHeaders, IncomingMessage, RequestOptions } from "node:http";
import http from "node:http";
import https from "node:https";
import { readBody } from "./serve.ts";

const ANSWER_BYTES_MAX = 16 * 1_048_576;

export type Asked = {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  /** The whole exchange, from the first connection to the last byte. */
  timeoutMs: number;
  /** Ends it early. */
  signal?: AbortSignal;
};
export type Answer = { status: number; headers: IncomingHttpHeaders; text: string };

type Sent = { response: IncomingMessage } | { error: Error; isStale: boolean };

function send(
  url: string,
  { headers = {}, body, signal, method = "GET" }: Asked,
  onTimeout: (end: () => void) => void,
) {
  return new Promise<Sent>((resolve) => {
    const options: RequestOptions = { method, headers, ...(signal === undefined ? {} : { signal }) };
    const request = (url.startsWith("https:") ? https : http).request(url, options);
    onTimeout(() => request.destroy(new Error("no answer in time")));
    request.once("response", (response) => resolve({ response }));
    request.on("error", (error: NodeJS.ErrnoException) =>
      resolve({ error, isStale: request.reusedSocket && error.code === "ECONNRESET" }),
    );
    request.end(body);
  });
}

/**
 * Resolves with whatever is answered; a redirect is an answer, and is not followed: it could carry a token elsewhere. Rejects when
 * there is none in time. On a connection that was kept and has been closed by the other side meanwhile it asks again, once: every
 * request of the agent may come twice.
 */
export async function request(url: string, asked: Asked): Promise<Answer> {
  let end: () => void = () => undefined;
  const timer = setTimeout(() => end(), asked.timeoutMs);
  try {
    for (let attempt = 1; ; attempt++) {
      const sent = await send(url, asked, (how) => (end = how));
      if ("response" in sent) {
        const { response } = sent;
        const text = await readBody(response, ANSWER_BYTES_MAX);
        return { status: response.statusCode ?? 0, headers: response.headers, text };
      }
      if (!sent.isStale || attempt > 1) throw sent.error;
    }
  } finally {
    clearTimeout(timer);
  }
}
