// Measures the way to another agent: rate by one TCP connection, round trips and loss by datagrams. Bounded in bytes and in
// time, one at a time, never beside a migration, and within the local policy.
import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { request as httpRequest, type ClientRequest } from "node:http";
import { connect } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import type { z } from "zod";
import type { MeasuredLink, ProbeQuestion } from "../../worker/model/wire/question.ts";
import { messageOf } from "./log.ts";
import type { Parts } from "./parts.ts";
import { checkedAnswer, PEER_SIGNATURE, PROBE_HEADER, signPeer, tellPeer } from "./peer.ts";
import { isStopped, permitsOut } from "./policy.ts";
import { ECHO_TOKEN_BYTES, echoAnswer, receivedAnswer, type ProbeMessage } from "./probe-target.ts";

const DATAGRAMS = 100;
const DATAGRAM_BYTES = 64;
const DATAGRAM_EVERY_MS = 5;
/** What comes later than this after the last one was sent counts as lost. */
const ECHO_WAIT_MS = 1000;
const ECHO_LOOK_MS = 20;
const CONNECTS = 5;
const CONNECT_MS_MAX = 1000;
const PIECE_BYTES = 65_536;
const ANSWER_MS_MAX = 5000;

type Echo = z.infer<typeof echoAnswer>;

/** Why a link is not measured. */
export class ProbeRefusal extends Error {
  readonly reason: string;
  constructor(reason: string, detail: string) {
    super(detail);
    this.reason = reason;
  }
}

export function createProber(parts: Parts): (question: ProbeQuestion) => Promise<MeasuredLink> {
  let isBusy = false;
  return async (question) => {
    const why = objection(parts) ?? (isBusy ? new ProbeRefusal("busy", "another probe is under way") : null);
    if (why !== null) throw why;
    isBusy = true;
    try {
      return await measure(parts, question);
    } finally {
      isBusy = false;
    }
  };
}

function objection({ settings, policy, runs }: Parts): ProbeRefusal | null {
  if (isStopped(settings.stopFile))
    return new ProbeRefusal("stopped", "the STOP file of this host refuses everything new");
  if (!permitsOut(policy()))
    return new ProbeRefusal("policy", "the local policy lets no VM out, so that nothing is measured");
  const [running] = runs.open();
  if (running !== undefined)
    return new ProbeRefusal(
      "busy",
      `migration ${running.command.migrationId} uses the link: measure when it has ended`,
    );
  return null;
}

const newMessage = ({ settings, now }: Parts): ProbeMessage => ({
  nonce: randomBytes(16).toString("hex"),
  fromHostId: settings.hostId,
  sentAt: now(),
});

const median = (values: readonly number[]): number | undefined =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

async function measure(parts: Parts, question: ProbeQuestion): Promise<MeasuredLink> {
  const { peerUrl } = question;
  // Whoever cannot prove that he is of this cluster is sent nothing else.
  const { port, token } = await openEcho(parts, peerUrl);
  const echoes = await echoesFrom(parts, peerUrl, { port, token }).catch(() => []);
  const rttMs = median(echoes) ?? median(await connectsTo(new URL(peerUrl)));
  if (rttMs === undefined) throw new ProbeRefusal("unreachable", `${peerUrl} cannot be reached from this host`);
  const { bytes, elapsedMs } = await stream(parts, question);
  if (bytes === 0 || elapsedMs <= 0)
    throw new ProbeRefusal("too-little", `only ${bytes} bytes arrived, which is too little to tell a rate`);
  return {
    at: parts.now(),
    bytesPerSecond: (1000 * bytes) / elapsedMs,
    bytes,
    durationMs: elapsedMs,
    rttMs,
    // None at all: a firewall, and no word about the link.
    ...(echoes.length === 0 ? {} : { lossRatio: 1 - echoes.length / DATAGRAMS }),
  };
}

async function openEcho(parts: Parts, peerUrl: string): Promise<Echo> {
  const { life, settings } = parts;
  const told = await tellPeer(life, settings.peerSecret, peerUrl, "/peer/echo", newMessage(parts)).catch(
    (error: unknown) => {
      throw new ProbeRefusal("unreachable", `${peerUrl}: ${messageOf(error)}`);
    },
  );
  if (told.status !== 200) throw new ProbeRefusal("refused", detailOf(told.body));
  return echoAnswer.parse(told.body);
}

/** Round trips, ms, of the datagrams that came back. */
async function echoesFrom({ life }: Parts, peerUrl: string, { port, token }: Echo): Promise<number[]> {
  const { address, family } = await lookup(new URL(peerUrl).hostname.replace(/^\[|\]$/g, ""));
  const socket = createSocket(family === 6 ? "udp6" : "udp4");
  const sentAt = new Map<number, number>();
  const trips: number[] = [];
  socket.on("error", () => undefined);
  socket.on("message", (datagram) => {
    const number = datagram.length >= ECHO_TOKEN_BYTES + 4 ? datagram.readUInt32BE(ECHO_TOKEN_BYTES) : -1;
    const at = sentAt.get(number);
    if (at !== undefined && sentAt.delete(number)) trips.push(performance.now() - at);
  });
  try {
    for (let number = 0; number < DATAGRAMS && !life.isStopping(); number++) {
      const datagram = Buffer.alloc(DATAGRAM_BYTES);
      datagram.write(token, "hex");
      datagram.writeUInt32BE(number, ECHO_TOKEN_BYTES);
      sentAt.set(number, performance.now());
      socket.send(datagram, port, address);
      await wait(DATAGRAM_EVERY_MS);
    }
    const until = performance.now() + ECHO_WAIT_MS;
    while (sentAt.size > 0 && performance.now() < until) await wait(ECHO_LOOK_MS);
    return trips;
  } finally {
    socket.close();
  }
}

/** How long TCP took to connect, ms: a round trip each. */
async function connectsTo(url: URL): Promise<number[]> {
  const trips: number[] = [];
  for (let number = 0; number < CONNECTS; number++) {
    const at = performance.now();
    const trip = await new Promise<number | null>((resolve) => {
      const socket = connect({ host: url.hostname.replace(/^\[|\]$/g, ""), port: Number(url.port) || 80 });
      const end = (value: number | null) => {
        socket.destroy();
        resolve(value);
      };
      socket.setTimeout(CONNECT_MS_MAX, () => end(null));
      socket.once("connect", () => end(performance.now() - at));
      socket.once("error", () => end(null));
    });
    if (trip !== null) trips.push(trip);
  }
  return trips;
}

/** Sends until bytes or time are over, and no faster than the local policy lets a migration. Answers with what arrived. */
async function stream(parts: Parts, { peerUrl, bytesMax, durationMsMax }: ProbeQuestion) {
  const { settings, life } = parts;
  const state = parts.policy();
  const ceiling = (state.kind === "policy" ? state.policy.bandwidthBytesPerSecondMax : undefined) ?? Infinity;
  const text = JSON.stringify(newMessage(parts));
  const sending = httpRequest(`${peerUrl.replace(/\/+$/, "")}/peer/probe`, {
    method: "POST",
    headers: {
      "content-type": "application/octet-stream",
      [PROBE_HEADER]: text,
      [PEER_SIGNATURE]: signPeer(settings.peerSecret, text),
    },
    signal: life.signal,
  });
  const answered = answerTo(sending, settings.peerSecret, text);
  // An answer before the end is a refusal.
  let isAnswered = false;
  const settled = answered.then(
    () => (isAnswered = true),
    () => (isAnswered = true),
  );
  const piece = randomBytes(PIECE_BYTES);
  const beganAt = performance.now();
  for (let sent = 0; sent < bytesMax && performance.now() - beganAt < durationMsMax && !isAnswered;) {
    const size = Math.min(piece.length, bytesMax - sent);
    if (!sending.write(piece.subarray(0, size))) await Promise.race([drained(sending), settled]);
    sent += size;
    const aheadMs = (1000 * sent) / ceiling - (performance.now() - beganAt);
    if (aheadMs > 1) await wait(Math.min(aheadMs, durationMsMax));
  }
  sending.end();
  const { status, body } = await answered;
  if (status !== 200) throw new ProbeRefusal("refused", detailOf(body));
  return receivedAnswer.parse(body);
}

const drained = (sending: ClientRequest): Promise<void> => new Promise((resolve) => sending.once("drain", resolve));

const detailOf = (body: unknown): string =>
  typeof body === "object" && body !== null && "detail" in body ? String(body.detail) : JSON.stringify(body);

/** What the other agent says, proven to be its own. */
function answerTo(
  sending: ClientRequest,
  secret: string,
  question: string,
): Promise<{ status: number; body: unknown }> {
  return new Promise((resolve, reject) => {
    sending.setTimeout(ANSWER_MS_MAX, () => sending.destroy(new Error("the other agent does not answer")));
    sending.once("error", (error) => reject(new ProbeRefusal("unreachable", messageOf(error))));
    sending.once("response", (response) => {
      const parts: Buffer[] = [];
      response.on("data", (part: Buffer) => void parts.push(part));
      response.once("error", reject);
      response.once("end", () => {
        const answered = Buffer.concat(parts).toString("utf8");
        try {
          resolve({
            status: response.statusCode ?? 0,
            body: checkedAnswer(secret, { question, answered, signature: response.headers[PEER_SIGNATURE] }),
          });
        } catch (error) {
          reject(error as Error);
        }
      });
    });
  });
}
