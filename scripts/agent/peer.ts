// What one agent tells another, host to host: that the source still works on it (`/peer/alive`), that the source has stopped
// for good (`/peer/stopped`), that it waits to go on with a post-copy (`/peer/recover`); and what measures the link
// (`/peer/echo`, `/peer/probe`). Question and answer are proven with the cluster's secret; an answer proves which question it
// belongs to, so that none can be replayed or made up on the way.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { z } from "zod";
import { operatorId, vmUuid } from "../../worker/model/wire/common.ts";
import type { Life } from "./life.ts";
import { messageOf, type Log } from "./log.ts";
import { probeMessage, type ProbeMessage, type ProbeTarget } from "./probe-target.ts";
import { request } from "./request.ts";
import { answer, readBody } from "./serve.ts";

export const PEER_SIGNATURE = "drover-peer-signature";
/** The question, where the body is the stream that is measured. */
export const PROBE_HEADER = "drover-probe";
const BODY_BYTES_MAX = 16_384;
const REQUEST_MS_MAX = 5000;
/** The destination's hypervisor may have to give up its old connection first. */
const RECOVER_MS_MAX = 30_000;

const head = {
  migrationId: z.string().min(1).max(64),
  vmUuid,
  fencingToken: z.int().min(1),
  fromHostId: operatorId,
  /** On the source driver's clock, as `stoppedAtMs`. */
  sentAt: z.number(),
};
export const stoppedMessage = z.strictObject({ ...head, postCopy: z.boolean(), stoppedAtMs: z.number() });
export type StoppedMessage = z.infer<typeof stoppedMessage>;
/** `done`: the source has released its side. */
export const aliveMessage = z.strictObject({ ...head, done: z.boolean() });
export type AliveMessage = z.infer<typeof aliveMessage>;

/** Post-copy has lost its link as the source sees it: the destination is to listen anew. */
export const recoverMessage = z.strictObject(head);
export type RecoverMessage = z.infer<typeof recoverMessage>;
export type PeerMessage = StoppedMessage | AliveMessage | RecoverMessage | ProbeMessage;

export const recoverAnswer = z.object({ migrationUri: z.string().min(1).max(512) });

export const aliveAnswer = z.object({ leaseMs: z.number().positive() });

export const stoppedAnswer = z.union([
  /** The VM runs here. `takenAtMs` and `at` are when the question came and when this was said, all on this driver's clock. */
  z.object({ resumedAtMs: z.number().nullable(), takenAtMs: z.number(), at: z.number() }),
  /** It does not. `processGone`: its process is proven dead; `mayHaveRun`: but it could have run before it died. */
  z.object({ processGone: z.boolean(), mayHaveRun: z.boolean(), detail: z.string() }),
]);
export type StoppedAnswer = z.infer<typeof stoppedAnswer>;

export function signPeer(secret: string, text: string): string {
  return createHmac("sha256", secret).update(text).digest("hex");
}

function signAnswer(secret: string, question: string, answered: string): string {
  return signPeer(secret, `answer\n${question}\n${answered}`);
}

function matches(given: unknown, expected: string): boolean {
  if (typeof given !== "string" || given.length !== expected.length) return false;
  return timingSafeEqual(Buffer.from(given), Buffer.from(expected));
}

export type PeerReply = { status: number; body: unknown };

export type PeerHandlers = {
  stopped: (message: StoppedMessage) => Promise<PeerReply>;
  alive: (message: AliveMessage) => Promise<PeerReply>;
  recover: (message: RecoverMessage) => Promise<PeerReply>;
} & ProbeTarget;

function route(url: string | undefined, body: unknown, handlers: PeerHandlers): Promise<PeerReply> | null {
  if (url === "/peer/stopped") {
    const message = stoppedMessage.safeParse(body);
    return message.success ? handlers.stopped(message.data) : null;
  }
  if (url === "/peer/recover") {
    const message = recoverMessage.safeParse(body);
    return message.success ? handlers.recover(message.data) : null;
  }
  if (url === "/peer/echo") {
    const message = probeMessage.safeParse(body);
    return message.success ? handlers.echo(message.data) : null;
  }
  const message = aliveMessage.safeParse(body);
  return url === "/peer/alive" && message.success ? handlers.alive(message.data) : null;
}

const STRANGER: PeerReply = { status: 401, body: { detail: "the signature is not of this cluster's peerSecret" } };

async function reply(
  request: { url: string | undefined; text: string; signature: unknown },
  secret: string,
  handlers: PeerHandlers,
): Promise<PeerReply> {
  if (!matches(request.signature, signPeer(secret, request.text))) return STRANGER;
  try {
    return (
      (await route(request.url, JSON.parse(request.text), handlers)) ?? {
        status: 400,
        body: { detail: "unknown message" },
      }
    );
  } catch (error) {
    return { status: 500, body: { detail: messageOf(error) } };
  }
}

/** A stream that is measured: its question stands in a header, so that the body can be what it likes. */
async function receiveProbe(request: IncomingMessage, secret: string, handlers: PeerHandlers): Promise<PeerReply> {
  const text = request.headers[PROBE_HEADER];
  if (typeof text !== "string" || !matches(request.headers[PEER_SIGNATURE], signPeer(secret, text))) return STRANGER;
  const message = probeMessage.safeParse(JSON.parse(text));
  if (!message.success) return { status: 400, body: { detail: "unknown message" } };
  return handlers.receive(message.data, request);
}

/** Listens for other agents, on the preferred port if it is free. */
export async function listenForPeers(
  settings: { listenHost: string; port: number; secret: string },
  handlers: PeerHandlers,
  log: Log,
): Promise<{ server: Server; port: number }> {
  const server = createServer((request, response) => {
    const { url, method } = request;
    if (method === "GET" && url === "/healthz") return answer(response, 200, JSON.stringify({ ok: true }));
    if (method !== "POST") return answer(response, 404, "");
    const signature = request.headers[PEER_SIGNATURE];
    const say = (question: string, { status, body }: PeerReply): void => {
      const answered = JSON.stringify(body);
      // A stranger gets nothing signed.
      if (status !== 401)
        return answer(response, status, answered, {
          [PEER_SIGNATURE]: signAnswer(settings.secret, question, answered),
        });
      log("warn", "a peer's message was refused", { url, from: request.socket.remoteAddress });
      return answer(response, status, answered);
    };
    const told =
      url === "/peer/probe"
        ? receiveProbe(request, settings.secret, handlers).then((said) =>
            say(String(request.headers[PROBE_HEADER]), said),
          )
        : readBody(request, BODY_BYTES_MAX).then(async (text) =>
            say(text, await reply({ url, text, signature }, settings.secret, handlers)),
          );
    told.catch((error: unknown) => answer(response, 400, JSON.stringify({ detail: messageOf(error) })));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(settings.port, settings.listenHost, resolve);
  });
  return { server, port: (server.address() as AddressInfo).port };
}

/** Tells another agent. Throws unless an answer came that only a host of this cluster can have given to this question. */
export async function tellPeer(
  life: Life,
  secret: string,
  peerUrl: string,
  path: "/peer/stopped" | "/peer/alive" | "/peer/recover" | "/peer/echo",
  message: PeerMessage,
): Promise<PeerReply> {
  const text = JSON.stringify(message);
  return life.hold(async () => {
    const answered = await request(`${peerUrl.replace(/\/+$/, "")}${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", [PEER_SIGNATURE]: signPeer(secret, text) },
      body: text,
      signal: life.signal,
      timeoutMs: path === "/peer/recover" ? RECOVER_MS_MAX : REQUEST_MS_MAX,
    });
    const signature = answered.headers[PEER_SIGNATURE];
    return {
      status: answered.status,
      body: checkedAnswer(secret, { question: text, answered: answered.text, signature }),
    };
  });
}

/** The body of an answer. Throws unless only a host of this cluster can have given it to this question. */
export function checkedAnswer(
  secret: string,
  { question, answered, signature }: { question: string; answered: string; signature: unknown },
): unknown {
  if (!matches(signature, signAnswer(secret, question, answered)))
    throw new Error("another agent has answered without a proof: do both hosts have the same peerSecret?");
  return JSON.parse(answered) as unknown;
}
