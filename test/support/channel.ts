// The agent's end of a host channel in workerd, with everything that came over it in order.
import { exports } from "cloudflare:workers";
import type { ChannelMessage } from "../../worker/model/wire/channel.ts";
import { eventually } from "./api.ts";

export type ChannelEnd = {
  /** As they came, pongs among them. */
  texts: string[];
  closed: { code: number; reason: string } | null;
  send: (message: unknown) => void;
  /** A heartbeat, and its answer or the error that was told of it. */
  beat: (vms?: Record<string, string>) => Promise<ChannelMessage>;
  /** The first message of that type, once it is there. */
  first: <T extends ChannelMessage["type"]>(type: T) => Promise<Extract<ChannelMessage, { type: T }>>;
  ended: () => Promise<{ code: number; reason: string }>;
  close: () => void;
};

export async function openChannel(hostId: string, token: string): Promise<ChannelEnd> {
  const headers = { authorization: `Bearer ${token}`, upgrade: "websocket" };
  const response = await exports.default.fetch(
    new Request(`https://drover.test/v1/hosts/${hostId}/channel`, { headers }),
  );
  const socket = response.webSocket;
  if (response.status !== 101 || !socket) throw new Error(`${response.status} ${await response.text()}`);
  let beats = 0;
  const messages = () => end.texts.filter((text) => text !== "pong").map((text) => JSON.parse(text) as ChannelMessage);
  const end: ChannelEnd = {
    texts: [],
    closed: null,
    send: (message) =>
      socket.send(typeof message === "string" || message instanceof ArrayBuffer ? message : JSON.stringify(message)),
    beat: async (vms = {}) => {
      const id = ++beats;
      end.send({ type: "heartbeat", id, bootId: "boot-1", at: Date.now(), vms });
      const answer = () => messages().find((message) => "id" in message && message.id === id);
      return (await eventually(
        async () => answer(),
        (found) => found !== undefined,
      )) as ChannelMessage;
    },
    first: async (type) => {
      const found = await eventually(
        async () => messages().find((message) => message.type === type),
        (message) => message !== undefined,
      );
      return found as Extract<ChannelMessage, { type: typeof type }>;
    },
    ended: async () => {
      const closed = await eventually(
        async () => end.closed,
        (value) => value !== null,
      );
      if (closed === null) throw new Error("never closed");
      return closed;
    },
    close: () => socket.close(1000),
  };
  socket.accept();
  socket.addEventListener("message", ({ data }) => void end.texts.push(String(data)));
  socket.addEventListener("close", ({ code, reason }) => void (end.closed = { code, reason }));
  return end;
}
