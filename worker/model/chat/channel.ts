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

/** What a channel is told: what it is subscribed to, and what is about `subjects`, whose messages stand in it. */
export function subscribersOf(
  { id: targetId, events }: Pick<ChatChannel, "id" | "events">,
  subjects: readonly string[],
): Subscriber[] {
  const common = { kind: "chat" as const, targetId, clusters: null, isOrdered: true };
  return [
    ...(events.length > 0 ? [{ ...common, events }] : []),
    ...(subjects.length > 0 ? [{ ...common, events: OF_MESSAGES, about: new Set(subjects) }] : []),
  ];
}

export const isSubscribed = ({ events }: Pick<ChatChannel, "events">, type: string): boolean =>
  events.some((pattern) => matches(pattern, type));
