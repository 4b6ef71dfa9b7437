// Channels of chat: who is told what there, and messages of Drover's own accord.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type ChatChannel, CHANNELS_MAX } from "../model/chat/channel.ts";
import { USUAL_EVENTS } from "../model/chat/event-lines.ts";
import type { Inbound } from "../model/chat/inbound.ts";
import type { Message } from "../model/chat/message.ts";
import type { Principal } from "../model/principal.ts";
import { MINUTE_MS } from "../model/units.ts";
import type { LiveMessage } from "./chat-views.ts";

type Platform = Deps["chat"]["platforms"]["slack"];
export type Posted = ReturnType<Platform["posted"]>;
type Call = Parameters<Deps["chat"]["send"]>[0];

/** Somebody who has claimed a message and not posted it by then does so no more, ms. */
const CLAIM_MS = MINUTE_MS;

export const send = async (deps: Deps, platform: Platform, call: Call): Promise<Posted> =>
  platform.posted(await deps.chat.send(call));

const noToken = (platform: Platform): Posted => ({
  ok: false,
  error: `there is no bot token for ${platform.name}: see docs/chatops.md`,
  isFinal: true,
  retryAfterMs: null,
});

/** One message into a channel, in the thread of another where that is given: what every sender of messages uses. */
export async function postToChannel(
  deps: Deps,
  { platform: name, channelId }: Pick<ChatChannel, "platform" | "channelId">,
  message: Message,
  threadOf: string | null = null,
): Promise<Posted> {
  const platform = deps.chat.platforms[name];
  const call = platform.post(channelId, message, threadOf);
  return call === null ? noToken(platform) : send(deps, platform, call);
}

/** False: somebody else is posting the message about this subject, or has. */
export const claim = (deps: Deps, { id }: Pick<ChatChannel, "id">, subject: string): Promise<boolean> =>
  deps.store.chatChannels.claimMessage(id, subject, deps.now(), deps.now() - CLAIM_MS);

/** Posts a message that is brought up to date from then on, unless somebody else is doing so. */
export async function postLive(
  deps: Deps,
  channel: ChatChannel,
  { message, about }: LiveMessage,
  threadOf: string | null,
): Promise<Posted> {
  if (!(await claim(deps, channel, about.subject))) return { ok: true, messageId: null };
  const posted = await postToChannel(deps, channel, message, threadOf);
  if (posted.ok && posted.messageId !== null) await follow(deps, channel, about, posted.messageId);
  else await deps.store.chatChannels.dropMessage(channel.id, about.subject);
  return posted;
}

/** This message is the one about its subject from now on. */
export async function follow(
  deps: Deps,
  { id }: Pick<ChatChannel, "id">,
  { subject, isEnded }: LiveMessage["about"],
  messageId: string,
): Promise<void> {
  const now = deps.now();
  await deps.store.chatChannels.setMessage(id, subject, messageId, now);
  if (isEnded) await deps.store.chatChannels.endMessage(id, subject, now);
}

/** Brings the message about a subject up to date. One that is gone is followed no more. */
export async function updateLive(
  deps: Deps,
  channel: ChatChannel,
  { message, about }: LiveMessage,
  messageId: string,
): Promise<Posted> {
  const platform = deps.chat.platforms[channel.platform];
  const call = platform.update(channel.channelId, messageId, message);
  const posted = call === null ? noToken(platform) : await send(deps, platform, call);
  if (!posted.ok && posted.isFinal) await deps.store.chatChannels.dropMessage(channel.id, about.subject);
  if (posted.ok && about.isEnded) await deps.store.chatChannels.endMessage(channel.id, about.subject, deps.now());
  return posted;
}

/** The channel of a request; it is told nothing unless it is subscribed. Null: there are as many as there can be. */
export async function channelOf(
  deps: Deps,
  { user, channelId }: Inbound,
  principal: Principal,
): Promise<ChatChannel | null> {
  const { platform, teamId } = user;
  const known = await deps.store.chatChannels.byChannel(platform, channelId);
  if (known !== null || (await deps.store.chatChannels.count()) >= CHANNELS_MAX) return known;
  const about = { platform, teamId, channelId, events: [], trouble: null };
  await deps.store.chatChannels.ensure({
    id: deps.newId("chn"),
    ...about,
    createdBy: principal.id,
    createdAt: deps.now(),
  });
  return deps.store.chatChannels.byChannel(platform, channelId);
}

/** `events` null: the usual ones; empty: none any more. */
export async function subscribe(
  deps: Deps,
  principal: Principal,
  request: Inbound,
  events: readonly string[] | null,
): Promise<readonly string[]> {
  const channel = await channelOf(deps, request, principal);
  if (channel === null) {
    const message = `there are ${CHANNELS_MAX} channels, which is the most there can be: delete one first`;
    throw new AppError({ code: "invalid_request", issues: [{ path: "channel", message }] });
  }
  const { id } = channel;
  const wanted = events ?? USUAL_EVENTS;
  const entry = { actor: principal.id, action: "chat-channel.subscribed", subject: id, detail: { events: wanted } };
  await deps.store.chatChannels.setEvents(id, wanted, entry, deps.now());
  return wanted;
}

/** `DELETE /v1/chat/channels/{id}`. */
export async function removeChannel(deps: Deps, principal: Principal, id: string): Promise<void> {
  if ((await deps.store.chatChannels.byId(id)) === null)
    throw new AppError({ code: "not_found", what: "chat-channel", id });
  const entry = { actor: principal.id, action: "chat-channel.removed", subject: id };
  await deps.store.chatChannels.remove(id, entry, deps.now());
}
