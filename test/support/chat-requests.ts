// Requests as Slack and Discord send them, signed with keys of the tests.

/** The signing secret of Slack's own published example. */
export const SLACK_SECRET = "8f742231b10e8888abcd99yyyzzz85a5";
/** A throw-away seed, 32 times 9, and its public key. */
const DISCORD_SEED = new Uint8Array(32).fill(9);
export const DISCORD_PUBLIC_KEY = "fd1724385aa0c75b64fb78cd602fa1d991fdebf76b13c58ed702eac835e9f618";

export type Signed = { headers: Record<string, string>; body: string };

const utf8 = new TextEncoder();
const hexOf = (bytes: ArrayBuffer): string =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, "0")).join("");

export async function signSlack(body: string, at: number, secret = SLACK_SECRET): Promise<Signed> {
  const timestamp = String(Math.floor(at / 1000));
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", utf8.encode(secret), algorithm, false, ["sign"]);
  const signature = hexOf(await crypto.subtle.sign("HMAC", key, utf8.encode(`v0:${timestamp}:${body}`)));
  return {
    headers: {
      "content-type": "application/x-www-form-urlencoded",
      "x-slack-request-timestamp": timestamp,
      "x-slack-signature": `v0=${signature}`,
    },
    body,
  };
}

export async function signDiscord(body: string, at: number, seed = DISCORD_SEED): Promise<Signed> {
  const timestamp = String(Math.floor(at / 1000));
  // DER of a PKCS #8 Ed25519 private key up to the seed (RFC 8410).
  const head = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
  const key = await crypto.subtle.importKey("pkcs8", new Uint8Array([...head, ...seed]), "Ed25519", false, ["sign"]);
  const signature = hexOf(await crypto.subtle.sign("Ed25519", key, utf8.encode(`${timestamp}${body}`)));
  return {
    headers: {
      "content-type": "application/json",
      "x-signature-timestamp": timestamp,
      "x-signature-ed25519": signature,
    },
    body,
  };
}

/** Who speaks, where. `url`: the platform's server. */
export type Speaker = { userId: string; teamId: string; channelId: string; url: string };

let made = 0;
/** Differs from request to request, as the platforms' do. */
const unique = (): string => String(++made).padStart(6, "0");

export type Spoken = {
  command: (by: Speaker, text: string) => string;
  button: (by: Speaker, action: string, messageId: string) => string;
  reason: (by: Speaker, action: string, reason: string, messageId: string | null) => string;
};

const form = (fields: Record<string, string>): string => new URLSearchParams(fields).toString();
const payload = (fields: object): string => form({ payload: JSON.stringify(fields) });

export const SLACK: Spoken = {
  command: ({ userId, teamId, channelId, url }, text) =>
    form({
      token: "t",
      team_id: teamId,
      channel_id: channelId,
      user_id: userId,
      user_name: `name-${userId}`,
      command: "/drover",
      text,
      response_url: `${url}/slack/hooks/${channelId}/${unique()}`,
      trigger_id: `trigger-${unique()}`,
    }),
  button: ({ userId, teamId, channelId, url }, action, messageId) =>
    payload({
      type: "block_actions",
      team: { id: teamId },
      user: { id: userId, username: `name-${userId}` },
      channel: { id: channelId },
      container: { type: "message", message_ts: messageId, channel_id: channelId, is_ephemeral: false },
      trigger_id: `trigger-${unique()}`,
      response_url: `${url}/slack/hooks/${channelId}/${unique()}`,
      actions: [{ type: "button", action_id: "x", value: action }],
    }),
  reason: ({ userId, teamId, channelId, url }, action, reason, messageId) =>
    payload({
      type: "view_submission",
      team: { id: teamId },
      user: { id: userId, username: `name-${userId}` },
      trigger_id: unique(),
      view: {
        callback_id: action,
        private_metadata: JSON.stringify({
          responseUrl: `${url}/slack/hooks/${channelId}/${unique()}`,
          channelId,
          messageId,
        }),
        state: { values: { reason: { reason: { type: "plain_text_input", value: reason } } } },
      },
    }),
};

const interaction = ({ userId, teamId, channelId }: Speaker, type: number, more: object): string =>
  JSON.stringify({
    type,
    id: unique(),
    application_id: "app1",
    token: `${channelId}-${unique()}`,
    channel_id: channelId,
    guild_id: teamId,
    member: { user: { id: userId, username: `name-${userId}`, global_name: null } },
    ...more,
  });

/** As somebody would pick it from the list: the first word is the subcommand, the others its options in their order. */
export const DISCORD: Spoken = {
  command: (by, text) => {
    const [name = "help", ...words] = text.split(" ");
    const options = words.map((value, n) => ({ type: 3, name: `option-${n}`, value }));
    return interaction(by, 2, { data: { name: "drover", type: 1, options: [{ type: 1, name, options }] } });
  },
  button: (by, action, messageId) =>
    interaction(by, 3, { data: { custom_id: action, component_type: 2 }, message: { id: messageId, flags: 0 } }),
  reason: (by, action, reason, messageId) =>
    interaction(by, 5, {
      data: {
        custom_id: action,
        components: [{ type: 1, components: [{ type: 4, custom_id: "reason", value: reason }] }],
      },
      ...(messageId === null ? {} : { message: { id: messageId, flags: 0 } }),
    }),
};
