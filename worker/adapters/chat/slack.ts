// Slack: slash command, buttons and modals over HTTP. Requests are signed by v0: HMAC-SHA256 over "v0:time:body"
// (docs.slack.dev/authentication/verifying-requests-from-slack).
import { z } from "zod";
import type { Acknowledgement, ChatRequest, Inbound } from "../../model/chat/inbound.ts";
import type { Message } from "../../model/chat/message.ts";
import {
  ageVerdict,
  bytesOfHex,
  type CallAnswer,
  type ChatPlatform,
  type Manner,
  objectOf,
  type OutgoingCall,
  type Posted,
  type RawRequest,
  retryAfterOf,
  type Verdict,
} from "./platform.ts";
import { slackMessage, slackModal } from "./slack-render.ts";

export type SlackSettings = {
  signingSecret: string | undefined;
  botToken: string | undefined;
  apiUrl: string;
  /** Answers may go to loopback. */
  local: boolean;
};

const utf8 = new TextEncoder();

async function verify(secret: string, { headers, body }: RawRequest, now: number): Promise<Verdict> {
  const timestamp = headers["x-slack-request-timestamp"];
  const age = ageVerdict(timestamp, now);
  if (age !== null) return { refused: age };
  const given = headers["x-slack-signature"] ?? "";
  const signature = given.startsWith("v0=") ? bytesOfHex(given.slice(3), 32) : null;
  if (signature === null) return { refused: "no v0 signature" };
  const key = await crypto.subtle.importKey("raw", utf8.encode(secret), { name: "HMAC", hash: "SHA-256" }, false, [
    "verify",
  ]);
  const isSigned = await crypto.subtle.verify("HMAC", key, signature, utf8.encode(`v0:${timestamp}:${body}`));
  return isSigned ? { ok: true, key: given.toLowerCase() } : { refused: "the signature is not of this body" };
}

const id = z.string().min(1).max(64);
const slash = z.object({
  command: z.string(),
  team_id: id,
  channel_id: id,
  user_id: id,
  user_name: z.string().default(""),
  text: z.string().default(""),
  response_url: z.string(),
  trigger_id: z.string().default(""),
});
const person = z.object({ id, username: z.string().optional(), name: z.string().optional() });
const team = z.object({ id });
const pressed = z.object({
  type: z.literal("block_actions"),
  team,
  user: person,
  channel: z.object({ id }),
  container: z.object({ message_ts: z.string().optional(), is_ephemeral: z.boolean().optional() }).optional(),
  response_url: z.string(),
  trigger_id: z.string().default(""),
  actions: z.array(z.object({ value: z.string().optional(), action_id: z.string() })).min(1),
});
const submitted = z.object({
  type: z.literal("view_submission"),
  team,
  user: person,
  view: z.object({
    callback_id: z.string(),
    private_metadata: z.string(),
    state: z.object({ values: z.object({ reason: z.object({ reason: z.object({ value: z.string().nullable() }) }) }) }),
  }),
});
const kept = z.object({ responseUrl: z.string(), channelId: id, messageId: z.string().nullable() });

const OWN_HOSTS = ["hooks.slack.com", "hooks.slack-gov.com"];

function isOwn(text: string, local: boolean): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, username } = new URL(text);
  if (local && (hostname === "127.0.0.1" || hostname === "localhost")) return true;
  return protocol === "https:" && username === "" && OWN_HOSTS.includes(hostname);
}

const other = (what: string): ChatRequest => ({ kind: "other", what });
const userOf = (teamId: string, userId: string, name = "") => ({
  platform: "slack" as const,
  teamId,
  userId,
  name: name.slice(0, 100),
});

function read(body: string, local: boolean): ChatRequest {
  const form = Object.fromEntries(new URLSearchParams(body));
  const request = form["payload"] === undefined ? readSlash(form) : readPayload(objectOf(form["payload"]));
  if (request.kind !== "ping" && request.kind !== "other" && !isOwn(request.answerTo["responseUrl"] ?? "", local))
    return other("a response_url that leads elsewhere than to Slack");
  return request;
}

function readSlash(form: Record<string, string>): ChatRequest {
  // Slack asks so whether anybody is there.
  if (form["ssl_check"] === "1") return { kind: "ping" };
  const parsed = slash.safeParse(form);
  if (!parsed.success) return other("what is neither a command nor an interaction");
  const { team_id, channel_id, user_id, user_name, text, response_url, trigger_id } = parsed.data;
  return {
    kind: "command",
    user: userOf(team_id, user_id, user_name),
    channelId: channel_id,
    answerTo: { responseUrl: response_url, triggerId: trigger_id },
    text,
  };
}

const typeOf = (payload: Record<string, unknown> | null): string =>
  JSON.stringify(payload?.["type"] ?? null).slice(0, 60);

function readPayload(payload: Record<string, unknown> | null): ChatRequest {
  const button = pressed.safeParse(payload);
  if (button.success) {
    const { team: of, user, channel, container, response_url, trigger_id, actions } = button.data;
    return {
      kind: "button",
      user: userOf(of.id, user.id, user.username ?? user.name),
      channelId: channel.id,
      answerTo: { responseUrl: response_url, triggerId: trigger_id },
      action: actions[0]?.value ?? "",
      messageId: container?.is_ephemeral === true ? null : (container?.message_ts ?? null),
    };
  }
  const view = submitted.safeParse(payload);
  if (!view.success) return other(`an interaction of type ${typeOf(payload)}`);
  const { team: of, user, view: window } = view.data;
  const metadata = kept.safeParse(objectOf(window.private_metadata));
  if (!metadata.success) return other("a window that is none of Drover's");
  return {
    kind: "reason",
    user: userOf(of.id, user.id, user.username ?? user.name),
    channelId: metadata.data.channelId,
    answerTo: { responseUrl: metadata.data.responseUrl, triggerId: "" },
    action: window.callback_id,
    reason: window.state.values.reason.reason.value ?? "",
    messageId: metadata.data.messageId,
  };
}

const JSON_TYPE = { "content-type": "application/json; charset=utf-8" };

/** Errors of Slack's that come again however often it is tried. */
const isFinal = (error: string): boolean =>
  !/^(ratelimited|internal_error|fatal_error|service_unavailable|request_timeout)$/.test(error);

function posted(answer: CallAnswer): Posted {
  if ("error" in answer) return { ok: false, error: answer.error, isFinal: false, retryAfterMs: null };
  const { status, headers, body } = answer;
  if (status < 200 || status >= 300)
    return {
      ok: false,
      error: `Slack answered ${status}: ${body.slice(0, 100)}`,
      isFinal: status < 500 && status !== 429,
      retryAfterMs: retryAfterOf(headers),
    };
  const json = objectOf(body);
  // A response_url answers in one word.
  if (json === null || json["ok"] === true)
    return { ok: true, messageId: typeof json?.["ts"] === "string" ? json["ts"] : null };
  const error = typeof json["error"] === "string" ? json["error"] : "unknown";
  return { ok: false, error: `Slack says ${error}`, isFinal: isFinal(error), retryAfterMs: retryAfterOf(headers) };
}

export function slack({ signingSecret, botToken, apiUrl, local }: SlackSettings): ChatPlatform {
  const api = (method: string, body: object): OutgoingCall | null =>
    botToken === undefined
      ? null
      : {
          method: "POST",
          url: `${apiUrl}/${method}`,
          headers: { ...JSON_TYPE, authorization: `Bearer ${botToken}` },
          body: JSON.stringify(body),
        };
  return {
    name: "slack",
    missing: signingSecret === undefined ? "SLACK_SIGNING_SECRET" : null,
    verify: async (request, now) =>
      signingSecret === undefined ? { refused: "not set up" } : verify(signingSecret, request, now),
    read: (body) => read(body, local),
    acknowledge: (request, ack) => {
      if (ack.ack === "say") return { body: { response_type: "ephemeral", ...slackMessage(ack.message) }, call: null };
      return { body: null, call: ack.ack === "ask" ? api("views.open", windowOf(request, ack)) : null };
    },
    answer: (request, _ack, message, manner) => answer(request, message, manner),
    post: (channelId, message, threadOf) =>
      api("chat.postMessage", {
        channel: channelId,
        ...slackMessage(message),
        unfurl_links: false,
        ...(threadOf === null ? {} : { thread_ts: threadOf }),
      }),
    update: (channelId, messageId, message) =>
      api("chat.update", { channel: channelId, ts: messageId, ...slackMessage(message) }),
    posted,
    answersAreMessages: false,
  };
}

function windowOf(request: Inbound, { title, action }: Extract<Acknowledgement, { ack: "ask" }>): object {
  const { responseUrl = "", triggerId = "" } = request.answerTo;
  const messageId = request.kind === "command" ? null : request.messageId;
  const metadata = JSON.stringify({ responseUrl, channelId: request.channelId, messageId });
  return { trigger_id: triggerId, view: slackModal(title, action, metadata) };
}

const answer = ({ answerTo }: Inbound, message: Message, { audience, replaces }: Manner): OutgoingCall => ({
  method: "POST",
  url: answerTo["responseUrl"] ?? "",
  headers: JSON_TYPE,
  body: JSON.stringify({
    ...(replaces
      ? { replace_original: true }
      : { replace_original: false, response_type: audience === "asker" ? "ephemeral" : "in_channel" }),
    ...slackMessage(message),
  }),
});
