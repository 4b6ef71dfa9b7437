// What one message says of the events that it tells of.
import { eventMessage } from "../chat/event-lines.ts";
import { cut } from "../chat/message.ts";
import type { EventDraft, StoredEvent } from "../webhooks/events.ts";
import { type Gathered, groupKey } from "./grouping.ts";
import type { GroupBy, NotificationRoute } from "./route.ts";
import { type Severity, severityOf, worstOf } from "./severity.ts";

/** Events that a message names; the others are counted. */
const NAMED_MAX = 20;
const SENTENCE_LENGTH_MAX = 300;

/** An event as a message names it. */
export type Told = {
  id: string;
  type: string;
  severity: Severity;
  cluster: string | null;
  subject: string;
  at: number;
  sentence: string;
};
export type GatheredEvent = Gathered & { deliveryId: string; told: Told };

export function gatheredOf(
  { deliveryId, since, event }: { deliveryId: string; since: number; event: StoredEvent },
  by: readonly GroupBy[],
): GatheredEvent {
  const { eventId: id, type, cluster, subject, at } = event;
  const told = {
    id,
    type,
    severity: severityOf(type),
    cluster,
    subject,
    at,
    sentence: cut(eventMessage(event).title, SENTENCE_LENGTH_MAX),
  };
  return { deliveryId, since, group: groupKey(told, by), told };
}

/** What all of the events agree in. */
function commonOf(events: readonly Told[], by: readonly GroupBy[]): Record<string, string> {
  const [first] = events;
  return Object.fromEntries(
    by.flatMap((part) => {
      const value = first?.[part] ?? null;
      return value !== null && events.every((event) => event[part] === value) ? [[part, value]] : [];
    }),
  );
}

type Named = Pick<NotificationRoute, "routeId" | "name" | "groupBy">;

/** The worst first, then in their order. */
export function notificationOf(
  { routeId, name, groupBy }: Named,
  gathered: readonly GatheredEvent[],
): EventDraft<"notification.raised"> {
  const events = gathered.map(({ told }) => told).toSorted((a, b) => a.at - b.at);
  const severity = worstOf(events.map((event) => event.severity));
  const byType: Record<string, number> = {};
  for (const { type } of events) byType[type] = (byType[type] ?? 0) + 1;
  const common = commonOf(events, groupBy);
  const worstFirst = [
    ...events.filter((event) => event.severity === severity),
    ...events.filter((event) => event.severity !== severity),
  ];
  return {
    type: "notification.raised",
    cluster: common["cluster"] ?? null,
    subject: routeId,
    data: {
      routeId,
      name,
      severity,
      common,
      count: events.length,
      from: events[0]?.at ?? 0,
      to: events.at(-1)?.at ?? 0,
      byType,
      events: worstFirst.slice(0, NAMED_MAX),
      testBy: null,
    },
  };
}

/** That somebody tries whether messages of the route arrive. */
export const testNotification = (
  { routeId, name }: Named,
  by: string,
  now: number,
): EventDraft<"notification.raised"> => ({
  type: "notification.raised",
  cluster: null,
  subject: routeId,
  data: {
    routeId,
    name,
    severity: "info",
    common: {},
    count: 0,
    from: now,
    to: now,
    byType: {},
    events: [],
    testBy: by,
  },
});
