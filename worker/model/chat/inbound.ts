// What comes from a platform, in Drover's words, and as it is kept until it is done.
import { z } from "zod";
import type { Message } from "./message.ts";

export const platformName = z.enum(["slack", "discord"]);
export type PlatformName = z.infer<typeof platformName>;

/** Who spoke. `teamId`: Slack's workspace, Discord's server; ids of users are unique within it. */
export const chatUser = z.strictObject({
  platform: platformName,
  teamId: z.string().min(1).max(64),
  userId: z.string().min(1).max(64),
  name: z.string().max(100),
});
export type ChatUser = z.infer<typeof chatUser>;

/** Where later answers go: only the platform's own adapter reads it. */
export const answerTo = z.record(z.string(), z.string());
export type AnswerTo = z.infer<typeof answerTo>;

const common = { user: chatUser, channelId: z.string().min(1).max(64), answerTo };

export const inbound = z.discriminatedUnion("kind", [
  /** `text`: what stands behind the command's own name. */
  z.strictObject({ kind: z.literal("command"), ...common, text: z.string() }),
  /** `messageId`: the message that the button stands in; null: one that only the user sees. */
  z.strictObject({ kind: z.literal("button"), ...common, action: z.string(), messageId: z.string().nullable() }),
  z.strictObject({
    kind: z.literal("reason"),
    ...common,
    action: z.string(),
    reason: z.string(),
    messageId: z.string().nullable(),
  }),
]);
export type Inbound = z.infer<typeof inbound>;

/** What a platform's request is. `ping`: it asks whether anybody is there. `other`: nothing that Drover does anything for. */
export type ChatRequest = Inbound | { kind: "ping" } | { kind: "other"; what: string };

/** What a request is answered with at once; what takes longer comes later. */
export type Acknowledgement =
  | { ack: "pong" }
  | { ack: "nothing" }
  /** The answer itself, to who has asked. */
  | { ack: "say"; message: Message }
  /** The answer comes later. `audience`: who will see it; `replaces`: it takes the place of the message with the button. */
  | { ack: "later"; audience: "asker" | "channel"; replaces: boolean }
  /** Asks for a reason; it comes as another request with the same action. */
  | { ack: "ask"; title: string; action: string };
