// Talking to Drover on a platform, and what is seen there.
import { env, exports } from "cloudflare:workers";
import { inject } from "vitest";
import type { PlatformName } from "../../worker/model/chat/inbound.ts";
import type { Scope } from "../../worker/model/principal.ts";
import { call, eventually } from "./api.ts";
import type { Call } from "./chat-platform.ts";
import { DISCORD, signDiscord, signSlack, SLACK, type Signed, type Speaker, type Spoken } from "./chat-requests.ts";

export const CHAT_URL = inject("chatUrl");
export const SPOKEN: Record<PlatformName, Spoken> = { slack: SLACK, discord: DISCORD };
export const SIGN: Record<PlatformName, (body: string, at: number) => Promise<Signed>> = {
  slack: signSlack,
  discord: signDiscord,
};

let made = 0;

export type Talk = Speaker & {
  platform: PlatformName;
  say: (text: string) => Promise<unknown>;
  press: (action: string, messageId: string) => Promise<unknown>;
  explain: (action: string, reason: string, messageId: string | null) => Promise<unknown>;
  /** Waits until so many calls have come for the channel. */
  seen: (count: number) => Promise<Call[]>;
  /** Waits for a call whose body has this text. */
  saw: (text: string | RegExp) => Promise<Call>;
};

/** Sends a request as it is. */
export async function send(
  platform: PlatformName,
  { headers, body }: Signed,
): Promise<{ status: number; body: unknown }> {
  const request = new Request(`https://drover.test/v1/chat/${platform}`, { method: "POST", headers, body });
  const answer = await exports.default.fetch(request);
  const text = await answer.text();
  return { status: answer.status, body: text === "" ? null : (JSON.parse(text) as unknown) };
}

export const callsOf = async (channelId: string): Promise<Call[]> =>
  (await (await fetch(`${CHAT_URL}/_calls/${channelId}`)).json()) as Call[];

/** What a call shows, as one text. */
export const shown = ({ body }: Call): string => JSON.stringify(body);

/** Somebody in a channel of their own, unless it is somebody else's. */
export function talk(
  platform: PlatformName,
  { channelId = `c${++made}x${crypto.randomUUID().slice(0, 6)}` } = {},
): Talk {
  const by = { userId: `u${++made}`, teamId: `t${made}`, channelId, url: CHAT_URL };
  const ask = async (body: string): Promise<unknown> => {
    const answer = await send(platform, await SIGN[platform](body, Date.now()));
    if (answer.status !== 200) throw new Error(JSON.stringify(answer));
    return answer.body;
  };
  const spoken = SPOKEN[platform];
  return {
    ...by,
    platform,
    say: (text) => ask(spoken.command(by, text)),
    press: (action, messageId) => ask(spoken.button(by, action, messageId)),
    explain: (action, reason, messageId) => ask(spoken.reason(by, action, reason, messageId)),
    seen: (count) =>
      eventually(
        () => callsOf(channelId),
        (calls) => calls.length >= count,
      ),
    saw: async (text) => {
      const has = (one: Call) => (typeof text === "string" ? shown(one).includes(text) : text.test(shown(one)));
      const found = (
        await eventually(
          () => callsOf(channelId),
          (calls) => calls.some(has),
        )
      ).findLast(has);
      if (found === undefined) throw new Error("unreachable");
      return found;
    },
  };
}

/** Who somebody is, as an administrator says it. */
export const linked = async (who: Talk, principalId: string, scopes: Scope[]): Promise<Talk> => {
  const { platform, teamId, userId } = who;
  const { status, body } = await call("POST", "/v1/chat/users", {
    body: { platform, teamId, userId, name: principalId, principalId, scopes },
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
  return who;
};

export const ALL: Scope[] = ["read", "plan", "approve", "operate"];

/** What the audit log has of somebody, the oldest first. */
export async function auditOf(actor: string) {
  const { results } = await env.DB.prepare(
    "SELECT action, subject, reason, detail FROM audit WHERE actor = ? ORDER BY id",
  )
    .bind(actor)
    .all<{ action: string; subject: string; reason: string | null; detail: string | null }>();
  return results.map((row) => ({ ...row, detail: row.detail === null ? null : (JSON.parse(row.detail) as unknown) }));
}
