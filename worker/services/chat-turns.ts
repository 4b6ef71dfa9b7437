// Turns of deliveries to a chat channel: one event after the other, each recorded before the next. What an event says is read
// anew, so that a message that is brought up to date twice says the same.
import type { Deps } from "../env.ts";
import { type ChatChannel, isSubscribed } from "../model/chat/channel.ts";
import { eventMessage } from "../model/chat/event-lines.ts";
import type { Message } from "../model/chat/message.ts";
import { notificationMessage } from "../model/chat/notification-message.ts";
import { nextAttempt } from "../model/webhooks/schedule.ts";
import { SOON_MS } from "../model/webhooks/webhook.ts";
import { HOUR_MS, SECOND_MS } from "../model/units.ts";
import { type Posted, postLive, postToChannel, updateLive } from "./chat-channels.ts";
import { type LiveMessage, namesOf, planView, runView } from "./chat-views.ts";

type Due = Awaited<ReturnType<Deps["store"]["deliveries"]["due"]>>[number];
type StoredEvent = Due["event"];

/** Longer than one event can take: three calls with their time limits, and D1. */
const LEASE_MS = 60_000;
const TURN_MS = 20_000;
const EVENTS_MAX = 50;
/** A platform that has refused for now is left alone for so long, ms, unless it says for how long. */
const REST_MS = 10 * SECOND_MS;

/** Begins a turn if the channel is free. What is returned carries it out and may take its time. */
export async function beginChatTurn(deps: Deps, targetId: string): Promise<(() => Promise<void>) | null> {
  const now = deps.now();
  const lease = deps.newId("trn");
  const channel = await deps.store.chatChannels.lease(targetId, lease, now + LEASE_MS, now);
  return channel === null ? null : () => turn(deps, channel, lease);
}

type State = { restUntil: number | null; trouble: string | null };

async function turn(deps: Deps, channel: ChatChannel, lease: string): Promise<void> {
  const until = deps.now() + TURN_MS;
  let state: State = { restUntil: null, trouble: channel.trouble };
  for (let count = 0; count < EVENTS_MAX && deps.now() < until && state.restUntil === null; count++) {
    const [due] = await deps.store.deliveries.due(channel.id, deps.now(), 1);
    if (due === undefined) break;
    state = await attempt(deps, channel, due);
    if (!(await deps.store.chatChannels.extend(channel.id, lease, deps.now() + LEASE_MS))) return;
  }
  const dueAt = await deps.store.chatChannels.release(channel.id, lease, state);
  if (dueAt === null) return;
  const waitMs = Math.max(dueAt, state.restUntil ?? 0) - deps.now();
  if (waitMs < SOON_MS) await deps.queue.deliver([{ kind: "chat", targetId: channel.id }], Math.max(0, waitMs));
}

async function attempt(
  deps: Deps,
  channel: ChatChannel,
  { deliveryId, attempts, expiresAt, event }: Due,
): Promise<State> {
  const at = deps.now();
  const posted = await tell(deps, channel, event);
  const now = deps.now();
  const outcome = posted.ok
    ? { status: 200, error: null, retryAfterMs: null }
    : { status: null, error: posted.error, retryAfterMs: posted.retryAfterMs };
  const next =
    !posted.ok && posted.isFinal
      ? { state: "failed" as const, why: posted.error }
      : nextAttempt({ attempts: attempts + 1, expiresAt }, outcome, now, deps.random());
  const request = { url: `${channel.platform}:${channel.channelId}`, headers: {} };
  const made = { number: attempts + 1, at, durationMs: now - at, request, answer: null, error: outcome.error };
  await deps.store.deliveries.recordOne({ deliveryId, attempt: made, next }, now);
  const isLater = !posted.ok && !posted.isFinal;
  return {
    restUntil: isLater ? now + Math.min(posted.retryAfterMs ?? REST_MS, HOUR_MS) : null,
    trouble: posted.ok ? null : posted.error,
  };
}

const NOTHING: Posted = { ok: true, messageId: null };

/** An event in one line, by whom in a name. */
async function lineOf(deps: Deps, event: StoredEvent): Promise<Message> {
  const { by } = event.data;
  if (typeof by !== "string") return eventMessage(event);
  const nameOf = await namesOf(deps, [by]);
  return eventMessage({ ...event, data: { ...event.data, by: nameOf(by) } });
}

/** What a thread is told besides the message that is brought up to date: changes of a message call nobody. */
const TOLD_OF_RUNS = [
  "migration.failed",
  "migration.lost",
  "migration.paused",
  "migration.completed",
  "migration.unreachable",
];

async function tell(deps: Deps, channel: ChatChannel, event: StoredEvent): Promise<Posted> {
  if (event.type === "notification.raised") return postToChannel(deps, channel, notificationMessage(event.data));
  const live = await liveOf(deps, event);
  if (live === null)
    return isSubscribed(channel, event.type) ? postToChannel(deps, channel, await lineOf(deps, event)) : NOTHING;
  const { about, planId } = live;
  const known = await deps.store.chatChannels.message(channel.id, about.subject);
  const ofPlan = planId === null ? null : await deps.store.chatChannels.message(channel.id, planId);
  const thread = ofPlan?.messageId ?? null;
  if (known?.messageId) return bringOn(deps, channel, { event, live, messageId: known.messageId, thread });
  if (thread === null && !isSubscribed(channel, event.type)) return NOTHING;
  return postLive(deps, channel, live, thread);
}

async function bringOn(
  deps: Deps,
  channel: ChatChannel,
  {
    event,
    live,
    messageId,
    thread,
  }: { event: StoredEvent; live: LiveMessage; messageId: string; thread: string | null },
): Promise<Posted> {
  const updated = await updateLive(deps, channel, live, messageId);
  if (!updated.ok) return updated.isFinal ? NOTHING : updated;
  const isPlan = event.type.startsWith("plan.");
  const isTold = isPlan ? event.type !== "plan.proposed" : TOLD_OF_RUNS.includes(event.type);
  return isTold
    ? postToChannel(deps, channel, await lineOf(deps, event), isPlan ? messageId : (thread ?? messageId))
    : NOTHING;
}

/** The message of what the event is about, as that is now; null: it has none of its own. */
async function liveOf(
  deps: Deps,
  { type, subject }: StoredEvent,
): Promise<(LiveMessage & { planId: string | null }) | null> {
  if (type.startsWith("plan.")) {
    const plan = await deps.store.plans.byId(subject);
    return plan && { ...(await planView(deps, plan)), planId: null };
  }
  if (!type.startsWith("migration.")) return null;
  const run = await deps.store.migrations.byId(subject);
  return run && { ...runView(deps, run), planId: run.planId };
}
