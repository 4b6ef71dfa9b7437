// The receiving end of a probe of the link: counts what comes and gives nothing of it away. Everything is bounded, and only
// hosts of the cluster can begin it.
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import type { IncomingMessage } from "node:http";
import { isIPv6, type AddressInfo } from "node:net";
import { z } from "zod";
import { operatorId } from "../../worker/model/wire/common.ts";
import type { Parts } from "./parts.ts";
import type { PeerReply } from "./peer.ts";
import { isStopped, permitsIn } from "./policy.ts";

export const PROBE_BYTES_MAX = 1_073_741_824;
const PROBE_MS_MAX = 15_000;
const ECHO_MS_MAX = 5000;
/** Echoes are as long as what they answer, so that nobody is answered with more than he has sent. */
const ECHOES_MAX = 500;
export const ECHO_TOKEN_BYTES = 16;
/** A question made longer ago, or further in the future, is void. */
const AGE_MS_MAX = 60_000;
const NONCES_MAX = 256;

/** Of both questions; `nonce`: so that nobody can repeat one that he has overheard. */
export const probeMessage = z.strictObject({
  nonce: z.string().min(16).max(64),
  fromHostId: operatorId,
  sentAt: z.number(),
});
export type ProbeMessage = z.infer<typeof probeMessage>;

export const receivedAnswer = z.object({ bytes: z.int().min(0), elapsedMs: z.number().min(0) });
export const echoAnswer = z.object({
  port: z.int().min(1).max(65_535),
  token: z.string().length(2 * ECHO_TOKEN_BYTES),
});

export type ProbeTarget = {
  /** Takes the stream that follows the question. */
  receive: (message: ProbeMessage, stream: IncomingMessage) => Promise<PeerReply>;
  /** Opens a port that echoes datagrams for a few seconds. */
  echo: (message: ProbeMessage) => Promise<PeerReply>;
};

const refused = (detail: string): PeerReply => ({ status: 409, body: { detail } });

export function createProbeTarget(parts: Parts): ProbeTarget {
  const { settings, policy, now } = parts;
  const nonces = new Set<string>();
  let isBusy = false;

  const objection = ({ nonce, sentAt }: ProbeMessage): string | null => {
    if (Math.abs(now() - sentAt) > AGE_MS_MAX) return `asked ${now() - sentAt} ms ago by this host's clock`;
    if (nonces.has(nonce)) return "this question was asked before";
    nonces.add(nonce);
    const [oldest] = nonces;
    if (nonces.size > NONCES_MAX && oldest !== undefined) nonces.delete(oldest);
    if (isStopped(settings.stopFile)) return "the STOP file of the destination refuses everything new";
    if (!permitsIn(policy())) return "the destination's local policy lets no VM in, so that nothing is measured";
    return null;
  };
  return {
    receive: async (message, stream) => {
      const why = isBusy ? "another probe is under way" : objection(message);
      if (why !== null) return refused(why);
      isBusy = true;
      try {
        return { status: 200, body: await count(stream) };
      } finally {
        isBusy = false;
      }
    },
    echo: async (message) => {
      const why = objection(message);
      return why === null ? { status: 200, body: await openEcho(parts) } : refused(why);
    },
  };
}

/** From the first byte to the last, on this host's clock: what waits in the sender's buffers has not come. */
async function count(stream: IncomingMessage): Promise<z.infer<typeof receivedAnswer>> {
  let [bytes, firstAt, lastAt] = [0, 0, 0];
  const limit = setTimeout(() => stream.destroy(new Error("the probe lasts too long")), PROBE_MS_MAX);
  try {
    for await (const part of stream as AsyncIterable<Buffer>) {
      lastAt = performance.now();
      if (bytes === 0) firstAt = lastAt;
      bytes += part.length;
      if (bytes > PROBE_BYTES_MAX) throw new Error(`more than ${PROBE_BYTES_MAX} bytes`);
    }
  } finally {
    clearTimeout(limit);
  }
  return { bytes, elapsedMs: lastAt - firstAt };
}

async function openEcho({ settings, life }: Parts): Promise<z.infer<typeof echoAnswer>> {
  const { listenHost } = settings.peer;
  const bare = listenHost.replace(/^\[|\]$/g, "");
  const token = randomBytes(ECHO_TOKEN_BYTES);
  const socket = createSocket(isIPv6(bare) ? "udp6" : "udp4");
  let left = ECHOES_MAX;
  socket.on("error", () => undefined);
  socket.on("message", (datagram, from) => {
    if (left-- <= 0 || !datagram.subarray(0, ECHO_TOKEN_BYTES).equals(token)) return;
    socket.send(datagram, from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(0, bare, resolve);
  });
  const close = (): void => {
    clearTimeout(timer);
    life.signal.removeEventListener("abort", close);
    socket.close();
  };
  const timer = setTimeout(close, ECHO_MS_MAX);
  life.signal.addEventListener("abort", close, { once: true });
  return { port: (socket.address() as AddressInfo).port, token: token.toString("hex") };
}
