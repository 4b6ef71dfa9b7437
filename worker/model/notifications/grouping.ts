// From many events to few messages. Times are ms; nothing here knows what time it is.
import { HOUR_MS } from "../units.ts";
import type { GroupBy } from "./route.ts";

/** An event that waits to be told. `since`: when it came to the route. */
export type Gathered = { since: number; group: string };

/** A message that was sent, and what it told of. */
export type Sent = { at: number; groups: readonly string[] };

export type Timing = { groupWaitMs: number; groupIntervalMs: number; perHourMax: number };

/** Groups whose time is remembered with a message: the rest of a storm of them begins anew. */
const GROUPS_KEPT = 100;

/** Events with the same key belong together. */
export const groupKey = (facts: Readonly<Record<GroupBy, string | null>>, by: readonly GroupBy[]): string =>
  JSON.stringify(by.map((part) => facts[part]));

export type Due<G extends Gathered> = {
  messages: G[][];
  /** Before that nothing more is due, whatever comes. */
  quietUntil: number;
  /** When the next of those that wait is due; null: none waits. */
  nextAt: number | null;
};

/**
 * The messages that are due, each with its events. A group is due `groupWaitMs` after its first event, and `groupIntervalMs`
 * after the message before. Where more groups are due than messages are left of the hour, the last message tells of all the
 * others; where none is left, all wait for the next.
 */
export function dueMessages<G extends Gathered>(
  { groupWaitMs, groupIntervalMs, perHourMax }: Timing,
  waiting: readonly G[],
  sent: readonly Sent[],
  now: number,
): Due<G> {
  const groups = Map.groupBy(
    waiting.toSorted((a, b) => a.since - b.since),
    ({ group }) => group,
  );
  const toldAt = (group: string): number =>
    Math.max(-Infinity, ...sent.filter((one) => one.groups.includes(group)).map(({ at }) => at));
  const timed = [...groups].map(([group, events]) => ({
    events,
    at: Math.max((events[0]?.since ?? now) + groupWaitMs, toldAt(group) + groupIntervalMs),
  }));
  const ready = timed.filter(({ at }) => at <= now).map(({ events }) => events);
  const later = Math.min(...timed.filter(({ at }) => at > now).map(({ at }) => at));
  const ofHour = sent.map(({ at }) => at).filter((at) => at > now - HOUR_MS);
  const left = Math.max(0, perHourMax - ofHour.length);
  const messages = ready.length <= left ? ready : merged(ready, left);
  if (messages.length < left)
    return {
      messages,
      quietUntil: Math.min(later, now + groupWaitMs),
      nextAt: Number.isFinite(later) ? later : null,
    };
  // There is room again when the oldest message of the hour is an hour old.
  const room = Math.min(now, ...ofHour) + HOUR_MS;
  const isWaiting = Number.isFinite(later) || (left === 0 && ready.length > 0);
  return {
    messages,
    quietUntil: room,
    nextAt: isWaiting ? Math.max(room, left === 0 && ready.length > 0 ? room : later) : null,
  };
}

/** The last of `count` messages has what the others have not. */
const merged = <G>(ready: readonly G[][], count: number): G[][] =>
  count === 0 ? [] : [...ready.slice(0, count - 1), ready.slice(count - 1).flat()];

/** What is to be remembered of what was sent. */
export const afterSending = (
  { groupIntervalMs }: Timing,
  sent: readonly Sent[],
  messages: readonly (readonly Gathered[])[],
  now: number,
): Sent[] => [
  ...sent.filter(({ at }) => at > now - Math.max(HOUR_MS, groupIntervalMs)),
  ...messages.map((events) => ({
    at: now,
    groups: [...new Set(events.map(({ group }) => group))].slice(0, GROUPS_KEPT),
  })),
];
