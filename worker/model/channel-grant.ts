// What the route that has checked a token tells the Durable Object that takes the WebSocket.
import { z } from "zod";
import { operatorId } from "./wire/common.ts";

/** Set by the Worker only: nothing else reaches the object. Holds the grant as JSON. */
export const CHANNEL_GRANT_HEADER = "drover-channel-grant";

export const channelGrant = z.strictObject({
  hostId: operatorId,
  /** SHA-256 of the token, lower-case hex: whether it still holds is looked up again while the channel is open. */
  tokenHash: z.string().regex(/^[0-9a-f]{64}$/),
});
export type ChannelGrant = z.infer<typeof channelGrant>;
