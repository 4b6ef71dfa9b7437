// One object a host: the agent's outgoing WebSocket, for hosts that cannot be reached from outside. It wakes the agent and
// holds nothing that D1 lacks: it sleeps between messages, and what it must know of a socket is attached to that socket.
import { DurableObject } from "cloudflare:workers";
import { z } from "zod";
import { type Bindings, makeDeps } from "../env.ts";
import { principalByHash } from "../http/auth.ts";
import { CHANNEL_GRANT_HEADER, channelGrant } from "../model/channel-grant.ts";
import { CHANNEL_CLOSE, CHANNEL_PING, CHANNEL_PONG, type ChannelMessage } from "../model/wire/channel.ts";
import { pendingEnvelopes } from "../services/commands.ts";
import { errorOf, heardBy, readMessage } from "./answers.ts";

/** How long a token is trusted, ms: with a heartbeat every 15 s it is looked up every 60 s, as by HTTP. */
const TOKEN_TRUST_MS = 50_000;
/** So many messages in a row that cannot be read end the channel. */
const BAD_MESSAGES_MAX = 3;

/** Outlives the object's sleep with the socket. */
const attachment = channelGrant.extend({
  /** Rises with every socket of the host. */
  serial: z.int(),
  /** When the token was last seen to hold, ms since 1970. */
  checkedAt: z.int(),
  badMessages: z.int(),
});
type Attachment = z.infer<typeof attachment>;

const read = (socket: WebSocket): Attachment => attachment.parse(socket.deserializeAttachment());
const note = (socket: WebSocket, change: Partial<Attachment>): void =>
  socket.serializeAttachment({ ...read(socket), ...change });

/** False: the socket is closed or closing. */
function say(socket: WebSocket, message: ChannelMessage): boolean {
  if (socket.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(message));
  return true;
}

export class HostChannel extends DurableObject<Bindings> {
  constructor(ctx: DurableObjectState, env: Bindings) {
    super(ctx, env);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(CHANNEL_PING, CHANNEL_PONG));
  }

  /** Takes a socket whose principal the route has checked. The newest one of a host counts; older ones are closed. */
  override fetch(request: Request): Response {
    const grant = channelGrant.parse(JSON.parse(request.headers.get(CHANNEL_GRANT_HEADER) ?? "null"));
    const { 0: client, 1: server } = new WebSocketPair();
    const older = this.ctx.getWebSockets();
    const serial = 1 + Math.max(0, ...older.map((socket) => read(socket).serial));
    this.ctx.acceptWebSocket(server);
    // What let it in may have been remembered for a while: its first message looks the token up again.
    server.serializeAttachment({ ...grant, serial, checkedAt: 0, badMessages: 0 } satisfies Attachment);
    for (const socket of older) socket.close(CHANNEL_CLOSE.replaced, "a newer channel of this host was opened");
    return new Response(null, { status: 101, webSocket: client });
  }

  /** Sends what D1 has for the agent; it reads the primary, so that what was just written is among it. */
  async wake(): Promise<boolean> {
    const socket = this.#newest();
    if (socket === null || !(await this.#holds(socket))) return false;
    const envelopes = await pendingEnvelopes(makeDeps(this.env), read(socket).hostId);
    return envelopes.length > 0 && say(socket, { type: "commands", envelopes });
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    try {
      // What an older one still had on the way is not its host's last word.
      if (socket !== this.#newest()) return;
      const content = readMessage(message);
      if (!content.ok) return this.#complain(socket, content.answer);
      if (!(await this.#holds(socket))) return;
      note(socket, { badMessages: 0 });
      say(socket, await heardBy(makeDeps(this.env), read(socket).hostId, content.beat));
    } catch (error) {
      say(socket, errorOf(error, null));
    }
  }

  /** Ends what the agent has ended: until it is answered, its close is none. */
  override webSocketClose(socket: WebSocket): void {
    socket.close(1000);
  }

  #newest(): WebSocket | null {
    const open = this.ctx.getWebSockets().filter((socket) => socket.readyState === WebSocket.OPEN);
    return open.toSorted((a, b) => read(b).serial - read(a).serial)[0] ?? null;
  }

  /** Whether the token is neither revoked nor expired; closes the socket where it is. */
  async #holds(socket: WebSocket): Promise<boolean> {
    const deps = makeDeps(this.env);
    const { checkedAt, tokenHash } = read(socket);
    const now = deps.now();
    if (now - checkedAt < TOKEN_TRUST_MS) return true;
    const holds = (await principalByHash(deps, tokenHash, now)) !== null;
    if (holds) note(socket, { checkedAt: now });
    else socket.close(CHANNEL_CLOSE.tokenEnded, "the token was revoked or has expired");
    return holds;
  }

  #complain(socket: WebSocket, answer: ChannelMessage): void {
    const badMessages = read(socket).badMessages + 1;
    note(socket, { badMessages });
    say(socket, answer);
    if (badMessages >= BAD_MESSAGES_MAX)
      socket.close(CHANNEL_CLOSE.badMessages, `${badMessages} messages in a row could not be read`);
  }
}
