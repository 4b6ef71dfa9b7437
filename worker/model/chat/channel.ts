// Channels that are told what happens, as the API shows them.
import { z } from "zod";
import type { Subscriber } from "../webhooks/fan-out.ts";
import { matches } from "../webhooks/fan-out.ts";
import { platformName } from "./inbound.ts";

export const CHANNELS_MAX = 200;

export const chatChannel = z
  .strictObject({
    id: z.string(),
    platform: platformName,
    teamId: z.string(),
    channelId: z.string(),
    /** Types and patterns of what it is told; empty: only what concerns plans and migrations that stand in it. */
    events: z.array(z.string()),
    createdBy: z.string(),
    createdAt: z.int(),
    /** Why the last message did not come through; null: it did. */
    trouble: z.string().nullable(),
  })
  .meta({ id: "ChatChannel" });
export type ChatChannel = z.infer<typeof chatChannel>;

/** What concerns messages that stand in a channel. */
const OF_MESSAGES = ["plan.*", "migration.*"];

/** `hasMessages`: it has messages that are to be brought up to date. */
export const subscriberOf = ({ id, events }: Pick<ChatChannel, "id" | "events">, hasMessages: boolean): Subscriber => ({
  kind: "chat",
  targetId: id,
  events: [...events, ...(hasMessages ? OF_MESSAGES : [])],
  clusters: null,
  isOrdered: true,
});

export const isSubscribed = ({ events }: Pick<ChatChannel, "events">, type: string): boolean =>
  events.some((pattern) => matches(pattern, type));
