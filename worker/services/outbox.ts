// From events to targets: fan-out, the queue's messages, and what Cron does for what the queue has lost.
import type { Deps } from "../env.ts";
import { fanOut, type Subscriber, type Target, type TargetKind } from "../model/webhooks/fan-out.ts";
import type { OutboxMessage } from "../model/webhooks/messages.ts";
import { DELIVER_WITHIN_MS } from "../model/webhooks/schedule.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../model/units.ts";
import { KEPT_MS } from "../model/webhooks/webhook.ts";
import { beginChatTurn } from "./chat-turns.ts";
import { watchHosts } from "./host-watch.ts";
import { beginRouteTurn } from "./route-turns.ts";
import { beginTurn } from "./webhook-turns.ts";

/** Events fanned out at once, and how often in one go. */
const EVENTS_AT_ONCE = 100;
const PORTIONS_MAX = 20;
/** Deliveries of one statement: some 200 bytes each. */
const DELIVERIES_AT_ONCE = 2000;
const TARGETS_PER_MINUTE = 500;
/** Rows that are too old, deleted a minute. */
const FORGOTTEN_AT_ONCE = 500;

/** A kind of target: who wants what, and how a turn of deliveries to one is begun; null: there is one under way. */
type TargetPort = {
  subscribers: (deps: Deps) => Promise<Subscriber[]>;
  begin: (deps: Deps, targetId: string) => Promise<(() => Promise<void>) | null>;
  due: (deps: Deps, now: number, limit: number) => Promise<string[]>;
};

/** Another kind of target is one more entry. */
const TARGETS: Record<TargetKind, TargetPort> = {
  webhook: {
    subscribers: (deps) => deps.store.webhooks.subscribers(),
    begin: beginTurn,
    due: (deps, now, limit) => deps.store.webhooks.due(now, limit),
  },
  route: {
    subscribers: (deps) => deps.store.routes.subscribers(),
    begin: beginRouteTurn,
    due: (deps, now, limit) => deps.store.routes.due(now, limit),
  },
  chat: {
    subscribers: (deps) => deps.store.chatChannels.subscribers(deps.now() - HOUR_MS),
    begin: beginChatTurn,
    due: (deps, now, limit) => deps.store.chatChannels.due(now, limit),
  },
};
const KINDS = Object.keys(TARGETS) as TargetKind[];

export const allSubscribers = async (deps: Deps): Promise<Subscriber[]> =>
  (await Promise.all(KINDS.map((kind) => TARGETS[kind].subscribers(deps)))).flat();

/** Makes the deliveries of all events that wait for it, and has their targets served. Doing it twice does it once. */
export async function fanOutWaiting(deps: Deps): Promise<void> {
  for (let portion = 0; portion < PORTIONS_MAX; portion++) {
    const events = await deps.store.outbox.waiting(EVENTS_AT_ONCE);
    if (events.length === 0) return;
    const made = fanOut(events, await allSubscribers(deps));
    const at = deps.now();
    const rows = made.map((one) => ({
      ...one,
      id: deps.newId("dlv"),
      round: "",
      at,
      expiresAt: at + DELIVER_WITHIN_MS,
    }));
    // Only with the last of them are the events marked: what is done again leaves what is there as it is.
    for (let start = 0; start + DELIVERIES_AT_ONCE < rows.length; start += DELIVERIES_AT_ONCE)
      await deps.store.deliveries.insert(rows.slice(start, start + DELIVERIES_AT_ONCE));
    const last = rows.slice(Math.floor(Math.max(0, rows.length - 1) / DELIVERIES_AT_ONCE) * DELIVERIES_AT_ONCE);
    const sequences = events.map(({ sequence }) => sequence);
    await deps.store.outbox.fannedOut(sequences, last, at);
    await deps.queue.deliver(distinct(made), 0);
    if (events.length < EVENTS_AT_ONCE) return;
  }
  deps.queue.wake();
}

const distinct = (targets: readonly Target[]): Target[] => [
  ...new Map(targets.map(({ kind, targetId }) => [`${kind} ${targetId}`, { kind, targetId }])).values(),
];

/** One message of the queue. A turn goes on behind, so that no message waits for a receiver. */
export async function handleMessage(deps: Deps, message: OutboxMessage): Promise<void> {
  if (message.do === "fan-out") return fanOutWaiting(deps);
  const turn = await TARGETS[message.kind].begin(deps, message.targetId);
  if (turn !== null) deps.queue.behind(turn());
}

/** Once a minute. */
export async function sweepOutbox(deps: Deps): Promise<void> {
  const now = deps.now();
  await watchHosts(deps, await allSubscribers(deps));
  await fanOutWaiting(deps);
  // An attempt at the deadline itself has an hour to be made.
  await deps.store.deliveries.expire(now - HOUR_MS, now);
  for (const kind of KINDS) {
    const due = await TARGETS[kind].due(deps, now, TARGETS_PER_MINUTE);
    await deps.queue.deliver(
      due.map((targetId) => ({ kind, targetId })),
      0,
    );
  }
  if (now % HOUR_MS < 10 * MINUTE_MS) {
    await deps.store.deliveries.forget(deliveryIdAt(now - KEPT_MS), FORGOTTEN_AT_ONCE);
    // Later than what refers to them.
    await deps.store.outbox.forget(now - KEPT_MS - 2 * DAY_MS, FORGOTTEN_AT_ONCE);
  }
}

/** Ids are UUIDs of version 7, which begin with the time in ms: those before it sort before this. */
export const deliveryIdAt = (at: number): string => `dlv_${at.toString(16).padStart(12, "0")}`;
