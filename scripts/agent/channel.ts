// The host channel: the agent's outgoing WebSocket to Drover, for hosts that nobody can reach. While it is open heartbeats go
// over it, and commands come the moment they are written; while it is not, everything goes by HTTP.
import { WebSocket } from "ws";
import { z } from "zod";
import {
  CHANNEL_CLOSE,
  CHANNEL_MESSAGE_CHARS_MAX,
  CHANNEL_PING,
  CHANNEL_PONG,
} from "../../worker/model/wire/channel.ts";
import type { Heartbeat } from "../../worker/model/wire/inventory.ts";
import { ApiError, type CommandsAnswer } from "./api.ts";
import type { Settings } from "./config.ts";
import type { Life } from "./life.ts";
import { messageOf, type Log } from "./log.ts";
import { channelDelayMs } from "./retry.ts";

const HANDSHAKE_MS_MAX = 10_000;
/** 50 commands of 64 KiB each, as text in text. */
const MESSAGE_BYTES_MAX = 8 * 1_048_576;
/** A channel that lasted so long was a good one: the next is opened as after a first failure. */
const STEADY_MS = 60_000;
/** Drover has ended it on purpose: opening it again at once would end it again. */
const ENDED: readonly number[] = Object.values(CHANNEL_CLOSE);

/** Envelopes are opened, and judged, by whoever takes commands. */
const incoming = z.discriminatedUnion("type", [
  z.object({ type: z.literal("heard"), id: z.int(), now: z.number(), commands: z.array(z.unknown()) }),
  z.object({ type: z.literal("commands"), envelopes: z.array(z.unknown()) }),
  z.object({
    type: z.literal("error"),
    id: z.int().nullable(),
    problem: z.object({ type: z.string(), title: z.string(), status: z.int(), detail: z.string() }),
  }),
]);
type Incoming = z.output<typeof incoming>;

export type Channel = {
  /** Opens it, and again whenever it ends, until the agent stops; a second call does nothing. */
  run: () => void;
  isOpen: () => boolean;
  /**
   * Says it over the channel. Null: the channel is not open, or ends before the answer: say it another way. Rejects with what
   * Drover had against it.
   */
  heartbeat: (body: Heartbeat) => Promise<CommandsAnswer | null>;
};

type Parts = {
  settings: Settings;
  life: Life;
  log: Log;
  /** From 0 to below 1. */
  random: () => number;
  onCommands: (commands: readonly unknown[]) => void;
  onOpen: () => void;
};

type Waiting = { resolve: (answer: CommandsAnswer | null) => void; reject: (error: unknown) => void };
type Link = {
  socket: WebSocket;
  /** Of `performance.now`: when something came last. */
  heardAt: number;
  waiting: Map<number, Waiting>;
  ended: Promise<End>;
};
type End = { code: number; detail: string };

/** Drover has as long to answer as by HTTP, or a heartbeat's time where that is shorter. */
const answerMsOf = ({ heartbeatMs }: Settings): number => Math.min(Math.max(heartbeatMs, 1000), 10_000);

export function createChannel(parts: Parts): Channel {
  const { settings, life } = parts;
  let link: Link | null = null;
  let isRunning = false;
  let serial = 0;
  return {
    isOpen: () => link?.socket.readyState === WebSocket.OPEN,
    run: () => {
      if (isRunning || settings.channel === "off") return;
      isRunning = true;
      life.spawn("channel", () => keepOpen(parts, (now) => (link = now)));
    },
    heartbeat: async (body) => {
      const current = link;
      const id = ++serial;
      const text = JSON.stringify({ type: "heartbeat", id, ...body });
      if (current?.socket.readyState !== WebSocket.OPEN || text.length > CHANNEL_MESSAGE_CHARS_MAX) return null;
      return life.hold(() => ask(current, id, text, answerMsOf(settings)));
    },
  };
}

/** Sends it and waits for what is told of it; null: the channel ended before. */
async function ask({ socket, waiting }: Link, id: number, text: string, answerMs: number) {
  // Whoever does not answer in time is not there: the channel ends, and with it the waiting.
  const timer = setTimeout(() => socket.terminate(), answerMs);
  try {
    return await new Promise<CommandsAnswer | null>((resolve, reject) => {
      waiting.set(id, { resolve, reject });
      socket.send(text);
    });
  } finally {
    clearTimeout(timer);
    waiting.delete(id);
  }
}

/** `hold` is given the channel that is being opened or is open; null: there is none for now. */
async function keepOpen(parts: Parts, hold: (link: Link | null) => void): Promise<void> {
  const { life, log, random } = parts;
  let failures = 0;
  while (!life.isStopping()) {
    const beganAt = performance.now();
    const link = connect(parts);
    hold(link);
    await watch(parts, link);
    if (life.isStopping()) return link.socket.close(1000);
    const { code, detail } = await link.ended;
    hold(null);
    if (ENDED.includes(code)) failures = Number.POSITIVE_INFINITY;
    else failures = performance.now() - beganAt >= STEADY_MS ? 1 : Math.min(failures, 1000) + 1;
    const retryMs = Math.round(channelDelayMs(failures, random()));
    log("warn", "the channel is not open; heartbeats and commands go by HTTP", { code, detail, retryMs });
    await life.sleep(retryMs);
  }
}

function connect({ settings, life, log, onCommands, onOpen }: Parts): Link {
  const url = `${settings.url.replace(/\/+$/, "").replace(/^http/, "ws")}/v1/hosts/${encodeURIComponent(settings.hostId)}/channel`;
  const socket = new WebSocket(url, {
    headers: { authorization: `Bearer ${settings.token}` },
    handshakeTimeout: HANDSHAKE_MS_MAX,
    maxPayload: MESSAGE_BYTES_MAX,
    perMessageDeflate: false,
  });
  const terminate = () => socket.terminate();
  life.signal.addEventListener("abort", terminate, { once: true });
  let failure = "";
  socket.on("error", (error) => (failure = messageOf(error)));
  const waiting: Link["waiting"] = new Map();
  const ended = new Promise<End>((resolve) => {
    socket.once("close", (code, reason) => {
      life.signal.removeEventListener("abort", terminate);
      for (const { resolve: answer } of waiting.values()) answer(null);
      resolve({ code, detail: reason.toString() || failure });
    });
  });
  const link: Link = { socket, heardAt: performance.now(), waiting, ended };
  socket.on("open", () => {
    log("info", "the channel is open");
    onOpen();
  });
  socket.on("message", (data) => {
    link.heardAt = performance.now();
    if (!life.signal.aborted) take(link, (data as Buffer).toString("utf8"), log, onCommands);
  });
  return link;
}

/** Keeps it alive by pings; ends it when nothing comes back. Resolves when it has ended or the agent stops. */
async function watch({ settings, life }: Parts, link: Link): Promise<void> {
  const { socket, ended } = link;
  const pingMs = answerMsOf(settings);
  while (socket.readyState !== WebSocket.CLOSED && !life.isStopping()) {
    await Promise.race([ended, life.sleep(pingMs)]);
    if (socket.readyState !== WebSocket.OPEN) continue;
    if (performance.now() - link.heardAt > 2 * pingMs) socket.terminate();
    else socket.send(CHANNEL_PING);
  }
}

function take({ waiting }: Link, text: string, log: Log, onCommands: Parts["onCommands"]): void {
  if (text === CHANNEL_PONG) return;
  const message = read(text);
  if (message === null) return log("warn", "a message of the channel was not understood", { text: text.slice(0, 200) });
  if (message.type === "commands") return onCommands(message.envelopes);
  if (message.type === "heard") {
    const { now, commands } = message;
    return waiting.get(message.id)?.resolve({ now, commands });
  }
  const { type, title, status, detail } = message.problem;
  const asked = message.id === null ? undefined : waiting.get(message.id);
  const error = new ApiError(
    status,
    type.split("/").at(-1) ?? "",
    `the channel answered ${status} ${title}: ${detail}`,
  );
  if (asked) asked.reject(error);
  else log("warn", "the channel has told of an error", { error: messageOf(error) });
}

function read(text: string): Incoming | null {
  try {
    return incoming.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}
