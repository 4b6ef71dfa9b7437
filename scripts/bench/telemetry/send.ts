// Sends requests over kept connections. Whatever is not a success is an error that shows the answer.
import { Agent, request } from "node:http";

/** `host`: the (first) host whose samples they are. */
export type Body = { bytes: Buffer; samples: number; host: string };

export type Answer = { status: number; body: Buffer };

export type Call = {
  method?: string;
  headers?: Record<string, string>;
  body?: string | Uint8Array;
  agent?: Agent;
};

/** An answer that is not a success. */
export class AnswerError extends Error {
  readonly status: number;
  constructor(call: string, { status, body }: Answer) {
    super(`${call}: ${status} ${body.toString("utf8", 0, 2000)}`);
    this.name = "AnswerError";
    this.status = status;
  }
}

/** The answer, whatever its status. */
export function exchange(url: string, { method = "GET", headers = {}, body, agent }: Call): Promise<Answer> {
  return new Promise((done, fail) => {
    const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
    const sent = request(url, { method, headers: { ...headers, ...length }, ...(agent ? { agent } : {}) }, (answer) => {
      const parts: Buffer[] = [];
      answer.on("data", (part: Buffer) => parts.push(part));
      answer.on("end", () => done({ status: answer.statusCode ?? 0, body: Buffer.concat(parts) }));
      answer.on("error", fail);
    });
    sent.on("error", fail);
    sent.end(body);
  });
}

/** The body of an answer that is a success; else AnswerError. */
export async function call(url: string, what: Call = {}): Promise<Buffer> {
  const answer = await exchange(url, what);
  if (answer.status < 200 || answer.status >= 300) throw new AnswerError(`${what.method ?? "GET"} ${url}`, answer);
  return answer.body;
}

const CONNECTIONS = 4;

/** Sends items over four connections; those of one `key` (a host) one after the other. The first failure ends it. */
export async function inLanes<T>(
  items: readonly T[],
  key: (item: T) => string,
  send: (item: T, agent: Agent) => Promise<void>,
): Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const keys = new Map<string, number>();
  const lanes: T[][] = Array.from({ length: CONNECTIONS }, () => []);
  for (const item of items) {
    const place = keys.get(key(item)) ?? keys.size;
    keys.set(key(item), place);
    lanes[place % CONNECTIONS]?.push(item);
  }
  let failed = false;
  const drain = async (lane: T[]): Promise<void> => {
    for (const item of lane) {
      if (failed) return;
      await send(item, agent);
    }
  };
  try {
    await Promise.all(lanes.map(drain));
  } finally {
    failed = true;
    agent.destroy();
  }
}

export const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));
