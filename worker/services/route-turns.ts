// Turns of notification routes: what waits is gathered, and what is due becomes messages in the outbox, in one batch with the
// end of what it was made from. Sending them is the webhooks' and the channels' own.
import type { Deps } from "../env.ts";
import { type About, aboutOf, hasLabels, type Labels } from "../model/notifications/about.ts";
import { afterSending, dueMessages } from "../model/notifications/grouping.ts";
import { type GatheredEvent, gatheredOf, notificationOf } from "../model/notifications/notification.ts";
import { type RouteTarget, targetIdOf } from "../model/notifications/route.ts";
import { DELIVER_WITHIN_MS } from "../model/webhooks/schedule.ts";
import { SOON_MS, WEBHOOKS_MAX } from "../model/webhooks/webhook.ts";
import { CHANNELS_MAX } from "../model/chat/channel.ts";
import { MINUTE_MS } from "../model/units.ts";

type RouteRecord = NonNullable<Awaited<ReturnType<Deps["store"]["routes"]["byId"]>>>;
type Waiting = Awaited<ReturnType<Deps["store"]["routes"]["waiting"]>>[number];

/** Events that are read at once, and the most that one turn looks at: what is beyond is told with the next message. */
const PAGE = 500;
const EVENTS_MAX = 10_000;

/** Which of these targets there are. */
export async function targetsThere(deps: Deps, to: readonly RouteTarget[]): Promise<ReadonlySet<string>> {
  const [webhooks, channels] = await Promise.all([
    to.some(({ kind }) => kind === "webhook") ? deps.store.webhooks.list(null, WEBHOOKS_MAX) : [],
    to.some(({ kind }) => kind === "chat") ? deps.store.chatChannels.list(null, CHANNELS_MAX) : [],
  ]);
  return new Set([...webhooks.map(({ webhookId }) => webhookId), ...channels.map(({ id }) => id)]);
}

export const deliveriesTo = (deps: Deps, to: readonly RouteTarget[], at: number) =>
  to.map((target) => ({
    id: deps.newId("dlv"),
    kind: target.kind,
    targetId: targetIdOf(target),
    round: "",
    subject: null,
    at,
    expiresAt: at + DELIVER_WITHIN_MS,
  }));

/** Begins a turn; null: nothing waits, or nothing can be due yet. Two turns at once send one message. */
export async function beginRouteTurn(deps: Deps, routeId: string): Promise<(() => Promise<void>) | null> {
  const route = await deps.store.routes.ready(routeId, deps.now());
  return route === null ? null : () => turn(deps, route);
}

async function turn(deps: Deps, route: RouteRecord): Promise<void> {
  const { routeId } = route;
  const there = await targetsThere(deps, route.to);
  const to = route.to.filter((target) => there.has(targetIdOf(target)));
  // Until it is told to send somewhere else what happens waits, for a day at most; Cron asks again.
  if (to.length === 0) return;
  const { gathered, unwanted } = await gather(deps, route);
  const now = deps.now();
  const { messages, quietUntil, nextAt } = dueMessages(route, gathered, route.sent, now);
  const raised = messages.map((events) => ({
    draft: notificationOf(route, events),
    deliveries: deliveriesTo(deps, to, now),
  }));
  const end = {
    settled: [...unwanted, ...messages.flat().map(({ deliveryId }) => deliveryId)],
    raised,
    sent: afterSending(route, route.sent, messages, now),
    quietUntil,
  };
  if (!(await deps.store.routes.endTurn(route, end, now))) return;
  if (raised.length > 0)
    await deps.queue.deliver(
      to.map((target) => ({ kind: target.kind, targetId: targetIdOf(target) })),
      0,
    );
  const wakeAt = quietUntil > now ? quietUntil : nextAt;
  // What is later is found by Cron.
  if (wakeAt !== null && wakeAt - now < SOON_MS)
    await deps.queue.deliver([{ kind: "route", targetId: routeId }], wakeAt - now);
}

/** What waits for the route; `unwanted`: deliveries of what has not its labels. */
async function gather(deps: Deps, route: RouteRecord): Promise<{ gathered: GatheredEvent[]; unwanted: string[] }> {
  const gathered: GatheredEvent[] = [];
  const unwanted: string[] = [];
  const until = deps.now() + MINUTE_MS / 4;
  let after = 0;
  for (let count = 0; count < EVENTS_MAX && deps.now() < until; count += PAGE) {
    const page = await deps.store.routes.waiting(route.routeId, after, PAGE);
    const isWanted = route.labels === null ? () => true : await labelled(deps, route.labels, page);
    for (const one of page) {
      if (isWanted(one)) gathered.push(gatheredOf(one, route.groupBy));
      else unwanted.push(one.deliveryId);
    }
    const last = page.at(-1);
    if (last === undefined || page.length < PAGE) break;
    after = last.event.sequence;
  }
  return { gathered, unwanted };
}

/** Whether an event is about a host or a VM that has these labels now. */
async function labelled(deps: Deps, wanted: Labels, page: readonly Waiting[]): Promise<(one: Waiting) => boolean> {
  const abouts = new Map<string, About>(page.map(({ deliveryId, event }) => [deliveryId, aboutOf(event.data)]));
  const byCluster = Map.groupBy(page, ({ event }) => event.cluster ?? "");
  const known = new Map<string, Labels>();
  for (const [cluster, events] of byCluster) {
    const all = events.flatMap(({ deliveryId }) => abouts.get(deliveryId) ?? []);
    const uuids = [...new Set(all.flatMap((about) => about.uuids))];
    const hostIds = [...new Set(all.flatMap((about) => about.hostIds))];
    const found = await deps.store.vmNames.labels(cluster, hostIds, uuids);
    for (const { id, labels } of found) known.set(`${cluster} ${id}`, labels);
  }
  return ({ deliveryId, event }) => {
    const { hostIds = [], uuids = [] } = abouts.get(deliveryId) ?? {};
    const things = [...hostIds, ...uuids].flatMap((id): Labels[] => {
      const labels = known.get(`${event.cluster ?? ""} ${id}`);
      return labels === undefined ? [] : [labels];
    });
    return hasLabels(wanted, things);
  };
}
