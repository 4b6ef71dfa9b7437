// What crosses the host channel, the agent's outgoing WebSocket `GET /v1/hosts/{hostId}/channel`: JSON texts, and the two
// bare words that keep it open. Commands travel in the same signed envelope as by every other way.
import { z } from "zod";
import { commandEnvelope } from "./command.ts";
import { timestampMs } from "./common.ts";
import { heartbeat } from "./inventory.ts";

/** Asked by the agent and answered by the platform, without waking anything. */
export const CHANNEL_PING = "ping";
export const CHANNEL_PONG = "pong";

/** Longest text that an agent may send: a heartbeat of the 2048 VMs of the largest inventory takes half of it. */
export const CHANNEL_MESSAGE_CHARS_MAX = 262_144;

/** Why Drover closes a channel. Any other code means that it was cut: connect again. */
export const CHANNEL_CLOSE = {
  /** One message after another could not be read. */
  badMessages: 4400,
  /** The token was revoked or has expired. */
  tokenEnded: 4401,
  /** The same host has opened a newer one. */
  replaced: 4409,
} as const;

/** From the agent: the body of a heartbeat. `id` comes back with its answer. */
export const channelHeartbeat = heartbeat
  .extend({ type: z.literal("heartbeat"), id: z.int().min(0) })
  .meta({ id: "ChannelHeartbeat" });
export type ChannelHeartbeat = z.infer<typeof channelHeartbeat>;

/** The answer to a heartbeat: what `POST /v1/hosts/{hostId}/heartbeat` answers. */
export const channelHeard = z.strictObject({
  type: z.literal("heard"),
  id: z.int(),
  now: timestampMs,
  commands: z.array(commandEnvelope),
});

/** A command was written: all that this host has not answered yet, without being asked. */
export const channelCommands = z.strictObject({
  type: z.literal("commands"),
  envelopes: z.array(commandEnvelope).min(1),
});

/** A message that was not taken; `problem` as HTTP would have answered it. `id`: of the heartbeat; null: none could be read. */
export const channelError = z.strictObject({
  type: z.literal("error"),
  id: z.int().nullable(),
  problem: z.looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    advice: z.string(),
  }),
});

/** From Drover. */
export const channelMessage = z
  .discriminatedUnion("type", [channelHeard, channelCommands, channelError])
  .meta({ id: "ChannelMessage" });
export type ChannelMessage = z.infer<typeof channelMessage>;
