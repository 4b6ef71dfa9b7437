// Discord: an interactions endpoint over HTTP. Requests are signed by Ed25519 over time and body
// (docs.discord.com/developers/interactions/overview#setting-up-an-endpoint-validating-security-request-headers).
import { z } from "zod";
import { isCommand, specOf } from "../../model/chat/commands.ts";
import type { Acknowledgement, ChatRequest, Inbound } from "../../model/chat/inbound.ts";
import { discordMessage, discordModal, EPHEMERAL } from "./discord-render.ts";
import {
  ageVerdict,
  bytesOfHex,
  type CallAnswer,
  type ChatPlatform,
  objectOf,
  type OutgoingCall,
  type Posted,
  type RawRequest,
  retryAfterOf,
  type Verdict,
} from "./platform.ts";

export type DiscordSettings = { publicKey: string | undefined; botToken: string | undefined; apiUrl: string };

const TYPES = { ping: 1, command: 2, component: 3, modal: 5 } as const;
const ANSWERS = { pong: 1, message: 4, deferredMessage: 5, deferredUpdate: 6, modal: 9 } as const;

const utf8 = new TextEncoder();

async function verify(publicKey: string, { headers, body }: RawRequest, now: number): Promise<Verdict> {
  const timestamp = headers["x-signature-timestamp"];
  const age = ageVerdict(timestamp, now);
  if (age !== null) return { refused: age };
  const given = headers["x-signature-ed25519"] ?? "";
  const signature = bytesOfHex(given, 64);
  const raw = bytesOfHex(publicKey, 32);
  if (signature === null || raw === null) return { refused: "no Ed25519 signature" };
  const key = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, false, ["verify"]);
  const isSigned = await crypto.subtle.verify({ name: "Ed25519" }, key, signature, utf8.encode(`${timestamp}${body}`));
  return isSigned ? { ok: true, key: given.toLowerCase() } : { refused: "the signature is not of this body" };
}

const id = z.string().min(1).max(64);
const person = z.object({ id, username: z.string().default(""), global_name: z.string().nullish() });
const option = z.object({
  name: z.string(),
  type: z.int(),
  value: z.union([z.string(), z.number(), z.boolean()]).optional(),
});
type Option = z.infer<typeof option>;

const head = z.object({
  type: z.int(),
  id: id.optional(),
  application_id: id.optional(),
  token: z.string().min(1).max(1000),
  channel_id: id.optional(),
  guild_id: id.optional(),
  member: z.object({ user: person }).optional(),
  user: person.optional(),
  message: z.object({ id, flags: z.int().default(0) }).optional(),
});
const command = z.object({
  data: z.object({
    name: z.string(),
    options: z.array(option.extend({ options: z.array(option).optional() })).default([]),
  }),
});
const component = z.object({ data: z.object({ custom_id: z.string() }) });
const modal = z.object({
  data: z.object({
    custom_id: z.string(),
    components: z.array(z.object({ components: z.array(z.object({ custom_id: z.string(), value: z.string() })) })),
  }),
});

const other = (what: string): ChatRequest => ({ kind: "other", what });

/** Somebody in a direct message is in no server. */
const DIRECT = "@me";

type Common = Omit<Extract<Inbound, { kind: "command" }>, "kind" | "text">;

function read(body: string): ChatRequest {
  const json = objectOf(body);
  if (json?.["type"] === TYPES.ping) return { kind: "ping" };
  const parsed = head.safeParse(json);
  if (!parsed.success) return other("no interaction");
  const { type, message } = parsed.data;
  const common = commonOf(parsed.data);
  if (common === null) return other("an interaction without user or channel");
  // A message that only its receiver sees is not brought up to date.
  const messageId = message === undefined || (message.flags & EPHEMERAL) !== 0 ? null : message.id;
  if (type === TYPES.command) return readCommand(json, common);
  if (type === TYPES.component) return readButton(json, common, messageId);
  return type === TYPES.modal ? readReason(json, common, messageId) : other(`an interaction of type ${type}`);
}

function commonOf({ application_id, token, channel_id, guild_id, member, user }: z.infer<typeof head>): Common | null {
  const by = member?.user ?? user;
  if (by === undefined || channel_id === undefined) return null;
  const name = (by.global_name ?? by.username).slice(0, 100);
  return {
    user: { platform: "discord", teamId: guild_id ?? DIRECT, userId: by.id, name },
    channelId: channel_id,
    answerTo: { applicationId: application_id ?? "", token },
  };
}

function readCommand(json: unknown, common: Common): ChatRequest {
  const { success, data } = command.safeParse(json);
  return success ? { kind: "command", ...common, text: textOf(data.data) } : other("a command that cannot be read");
}

function readButton(json: unknown, common: Common, messageId: string | null): ChatRequest {
  const { success, data } = component.safeParse(json);
  return success ? { kind: "button", ...common, action: data.data.custom_id, messageId } : other("no button");
}

function readReason(json: unknown, common: Common, messageId: string | null): ChatRequest {
  const { success, data } = modal.safeParse(json);
  if (!success) return other("a window that cannot be read");
  const fields = data.data.components.flatMap(({ components }) => components);
  const reason = fields.find(({ custom_id }) => custom_id === "reason")?.value ?? "";
  return { kind: "reason", ...common, action: data.data.custom_id, reason, messageId };
}

/** What somebody would have typed: `/drover drain host:hv-01 until:2h` is `drain hv-01 until 2h`. */
function textOf({ name, options }: z.infer<typeof command>["data"]): string {
  const [sub] = options;
  const isSub = sub?.type === 1;
  const said = isSub ? sub.name : name;
  const values = isSub ? (sub.options ?? []) : options;
  return [said, ...ordered(said, values).map(wordOf)].join(" ");
}

/** In the order of the command's arguments, whichever were given. */
function ordered(name: string, options: readonly Option[]): Option[] {
  if (!isCommand(name)) return [...options];
  const names = specOf(name).arguments.map((argument) => argument.name);
  return options.toSorted((a, b) => names.indexOf(a.name) - names.indexOf(b.name));
}

const wordOf = ({ value }: Option): string => {
  const text = String(value ?? "").replaceAll(/["“”]/g, "'");
  return /\s/.test(text) ? `"${text}"` : text;
};

const JSON_TYPE = { "content-type": "application/json" };

function posted(answer: CallAnswer): Posted {
  if ("error" in answer) return { ok: false, error: answer.error, isFinal: false, retryAfterMs: null };
  const { status, headers, body } = answer;
  const json = objectOf(body);
  if (status >= 200 && status < 300)
    return { ok: true, messageId: typeof json?.["id"] === "string" ? json["id"] : null };
  const said = typeof json?.["message"] === "string" ? json["message"] : body.slice(0, 100);
  const isFinal = status < 500 && status !== 429;
  return { ok: false, error: `Discord answered ${status}: ${said}`, isFinal, retryAfterMs: retryAfterOf(headers) };
}

const flagsOf = (audience: "asker" | "channel") => (audience === "asker" ? { flags: EPHEMERAL } : {});

function acknowledged(ack: Acknowledgement): object {
  switch (ack.ack) {
    case "pong":
      return { type: ANSWERS.pong };
    case "nothing":
      return { type: ANSWERS.deferredUpdate };
    case "say":
      return { type: ANSWERS.message, data: { ...discordMessage(ack.message), flags: EPHEMERAL } };
    case "later":
      return ack.replaces
        ? { type: ANSWERS.deferredUpdate }
        : { type: ANSWERS.deferredMessage, data: flagsOf(ack.audience) };
    case "ask":
      return { type: ANSWERS.modal, data: discordModal(ack.title, ack.action) };
  }
}

export function discord({ publicKey, botToken, apiUrl }: DiscordSettings): ChatPlatform {
  const api = (
    method: OutgoingCall["method"],
    path: string,
    body: object,
    token: string | undefined,
  ): OutgoingCall => ({
    method,
    url: `${apiUrl}${path}`,
    headers: { ...JSON_TYPE, ...(token === undefined ? {} : { authorization: `Bot ${token}` }) },
    body: JSON.stringify(body),
  });
  const part = encodeURIComponent;
  return {
    name: "discord",
    missing: publicKey === undefined ? "DISCORD_PUBLIC_KEY" : null,
    verify: async (request, now) =>
      publicKey === undefined ? { refused: "not set up" } : verify(publicKey, request, now),
    read,
    acknowledge: (_request: Inbound, ack) => ({ body: acknowledged(ack), call: null }),
    // The original is what the acknowledgement has announced: a new message, or that with the button.
    answer: ({ answerTo: { applicationId = "", token = "" } }, ack, message, { audience, replaces }) => {
      const hook = `/webhooks/${part(applicationId)}/${part(token)}`;
      const isOriginal = replaces || ack.ack !== "later" || !ack.replaces;
      return isOriginal
        ? api("PATCH", `${hook}/messages/@original`, discordMessage(message), undefined)
        : api("POST", hook, { ...discordMessage(message), ...flagsOf(audience) }, undefined);
    },
    post: (channelId, message, threadOf) =>
      botToken === undefined
        ? null
        : api(
            "POST",
            `/channels/${part(channelId)}/messages`,
            // A reply to a message is what Discord has for a line in its thread.
            {
              ...discordMessage(message),
              ...(threadOf === null ? {} : { message_reference: { message_id: threadOf, fail_if_not_exists: false } }),
            },
            botToken,
          ),
    update: (channelId, messageId, message) =>
      botToken === undefined
        ? null
        : api("PATCH", `/channels/${part(channelId)}/messages/${part(messageId)}`, discordMessage(message), botToken),
    posted,
    answersAreMessages: true,
  };
}
