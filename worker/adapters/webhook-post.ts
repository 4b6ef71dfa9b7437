// One POST to a webhook. Whatever the receiver does, it takes no longer than its time and no more than a few kilobytes.

export type WebhookRequest = {
  /** POST unless given. */
  method?: "POST" | "PATCH";
  url: string;
  headers: Record<string, string>;
  body: string;
  timeoutMs: number;
  /** So much of the answer is read; 2,048 characters unless given. */
  answerLengthMax?: number;
};
export type WebhookAnswer =
  | { status: number; headers: Record<string, string>; body: string }
  /** There was no answer; one sentence. */
  | { error: string };

/** What is kept of an answer; the rest is not read. */
const BODY_LENGTH_MAX = 2048;
const HEADERS_KEPT = ["content-type", "retry-after", "location", "server", "cf-ray", "x-request-id", "date"];
const HEADER_LENGTH_MAX = 200;

/** Never follows a redirect: it would lead past what was judged. */
export async function postWebhook(request: WebhookRequest): Promise<WebhookAnswer> {
  const { method = "POST", url, headers, body, timeoutMs, answerLengthMax = BODY_LENGTH_MAX } = request;
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    const answer = await fetch(url, { method, redirect: "manual", signal, headers, body });
    return {
      status: answer.status,
      headers: keptOf(answer.headers),
      body: await beginningOf(answer.body, answerLengthMax),
    };
  } catch (error) {
    return { error: signal.aborted ? `no answer within ${timeoutMs} ms` : sentenceOf(error) };
  }
}

const sentenceOf = (error: unknown): string =>
  `no connection, or it was cut: ${(error instanceof Error ? error.message : String(error)).slice(0, 200)}`;

function keptOf(headers: Headers): Record<string, string> {
  const kept: [string, string][] = [];
  for (const name of HEADERS_KEPT) {
    const value = headers.get(name);
    if (value !== null) kept.push([name, value.slice(0, HEADER_LENGTH_MAX)]);
  }
  return Object.fromEntries(kept);
}

async function beginningOf(stream: ReadableStream<Uint8Array> | null, lengthMax: number): Promise<string> {
  if (stream === null) return "";
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (text.length < lengthMax) {
    const { done, value } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel().catch(() => undefined);
  return text.slice(0, lengthMax);
}
