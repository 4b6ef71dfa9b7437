// What a chat platform is to Drover. Adapters translate; what is said and done is decided in services/chat*.ts.
import type { Acknowledgement, ChatRequest, Inbound, PlatformName } from "../../model/chat/inbound.ts";
import type { Message } from "../../model/chat/message.ts";

/** A request as it came: header names in lower case, the body byte for byte. */
export type RawRequest = { headers: Readonly<Record<string, string>>; body: string };

/** `key` is the request's own: the same again is a replay. `refused` is for the log, never for the sender. */
export type Verdict = { ok: true; key: string } | { refused: string };

export type OutgoingCall = { method: "POST" | "PATCH"; url: string; headers: Record<string, string>; body: string };

/** What came of a call. `isFinal`: the same again would come to the same. */
export type Posted =
  | { ok: true; messageId: string | null }
  | { ok: false; error: string; isFinal: boolean; retryAfterMs: number | null };

export type CallAnswer = { status: number; headers: Record<string, string>; body: string } | { error: string };

/** How a later answer is to be seen. `replaces`: in the place of the message with the button. */
export type Manner = { audience: "asker" | "channel"; replaces: boolean };

export type ChatPlatform = {
  name: PlatformName;
  /** What has to be set before requests can be verified; null: all is. */
  missing: string | null;
  /** Requests that are older, forged or not readable as signed are refused. */
  verify: (request: RawRequest, now: number) => Promise<Verdict>;
  read: (body: string) => ChatRequest;
  /** What the request is answered with at once, and the call that has to follow it at once. */
  acknowledge: (request: Inbound, ack: Acknowledgement) => { body: object | null; call: OutgoingCall | null };
  /** A later answer to a request that was acknowledged by `ack`. */
  answer: (request: Inbound, ack: Acknowledgement, message: Message, manner: Manner) => OutgoingCall;
  /** A message of Drover's own accord, in the thread of another where that is given; null: there is no bot token. */
  post: (channelId: string, message: Message, threadOf: string | null) => OutgoingCall | null;
  update: (channelId: string, messageId: string, message: Message) => OutgoingCall | null;
  posted: (answer: CallAnswer) => Posted;
  /** What comes back from `answer` says which message it has become. */
  answersAreMessages: boolean;
};

/** A request may be at most so old, and its clock at most so far ahead, ms. */
export const REQUEST_AGE_MS_MAX = 5 * 60_000;

/** Whether a request's own time, in seconds, is within the window. Null: it is no time. */
export function ageVerdict(timestamp: string | undefined, now: number): string | null {
  if (timestamp === undefined || !/^\d{1,12}$/.test(timestamp)) return "no timestamp";
  const age = now - Number(timestamp) * 1000;
  if (age > REQUEST_AGE_MS_MAX) return `old: sent ${Math.round(age / 1000)} s ago`;
  return age < -REQUEST_AGE_MS_MAX ? `sent ${Math.round(-age / 1000)} s in the future` : null;
}

export const retryAfterOf = (headers: Record<string, string>): number | null => {
  const seconds = Number(headers["retry-after"]);
  return headers["retry-after"] === undefined || !Number.isFinite(seconds) ? null : Math.max(0, seconds * 1000);
};

/** JSON of an object, or null. */
export function objectOf(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** Bytes of hexadecimal digits; null: it is none, or not of that length. */
export function bytesOfHex(hex: string, length: number): Uint8Array<ArrayBuffer> | null {
  if (hex.length !== 2 * length || !/^[0-9a-fA-F]*$/.test(hex)) return null;
  return Uint8Array.from({ length }, (_, n) => Number.parseInt(hex.slice(2 * n, 2 * n + 2), 16));
}
