import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { afterSending, dueMessages, type Gathered, type Sent } from "../../../worker/model/notifications/grouping.ts";
import { HOUR_MS } from "../../../worker/model/units.ts";

const TIMING = { groupWaitMs: 10_000, groupIntervalMs: 300_000, perHourMax: 3 };
const at = (since: number, group = "a"): Gathered => ({ since, group });
const sentAt = (when: number, ...groups: string[]): Sent => ({ at: when, groups });
const T = 1_000_000_000;

describe("when a group is told", () => {
  const cases: [string, Gathered[], Sent[], number, ReturnType<typeof dueMessages>][] = [
    ["nothing waits", [], [], T, { messages: [], quietUntil: T + 10_000, nextAt: null }],
    ["it still gathers", [at(T - 9999)], [], T, { messages: [], quietUntil: T + 1, nextAt: T + 1 }],
    [
      "its first event has waited",
      [at(T - 1), at(T - 10_000)],
      [],
      T,
      { messages: [[at(T - 10_000), at(T - 1)]], quietUntil: T + 10_000, nextAt: null },
    ],
    [
      "it was told a minute ago",
      [at(T - 20_000)],
      [sentAt(T - 60_000, "a")],
      T,
      { messages: [], quietUntil: T + 10_000, nextAt: T + 240_000 },
    ],
    [
      "another one was told a minute ago",
      [at(T - 20_000)],
      [sentAt(T - 60_000, "b")],
      T,
      { messages: [[at(T - 20_000)]], quietUntil: T + 10_000, nextAt: null },
    ],
    [
      "more groups than messages are left",
      [at(T - 50_000, "a"), at(T - 40_000, "b"), at(T - 30_000, "c"), at(T - 20_000, "a")],
      [sentAt(T - 1_000_000, "x")],
      T,
      {
        messages: [
          [at(T - 50_000, "a"), at(T - 20_000, "a")],
          [at(T - 40_000, "b"), at(T - 30_000, "c")],
        ],
        quietUntil: T - 1_000_000 + HOUR_MS,
        nextAt: null,
      },
    ],
    [
      "no message of the hour is left",
      [at(T - 50_000)],
      [sentAt(T - HOUR_MS, "x"), sentAt(T - 900_000, "x"), sentAt(T - 800_000, "x"), sentAt(T - 700_000, "x")],
      T,
      { messages: [], quietUntil: T - 900_000 + HOUR_MS, nextAt: T - 900_000 + HOUR_MS },
    ],
  ];
  test.each(cases)("%s", (_, waiting, sent, now, due) => {
    expect(dueMessages(TIMING, waiting, sent, now)).toEqual(due);
  });
});

const timing = fc.record({
  groupWaitMs: fc.nat(60_000),
  groupIntervalMs: fc.nat(2 * HOUR_MS),
  perHourMax: fc.integer({ min: 1, max: 4 }),
});
const storm = fc.array(fc.record({ since: fc.nat(4 * HOUR_MS), group: fc.constantFrom("a", "b", "c", "d", "e") }), {
  maxLength: 60,
});

/** Lets time go by as the turns of a route would, and answers what was told when. */
function play({ perHourMax, ...rest }: typeof TIMING, events: readonly Gathered[]) {
  const times = { perHourMax, ...rest };
  const told: { at: number; events: readonly Gathered[] }[] = [];
  let sent: Sent[] = [];
  let waiting: Gathered[] = [];
  let coming = events.toSorted((a, b) => a.since - b.since);
  let now = 0;
  for (let steps = 0; steps < 10_000 && (coming.length > 0 || waiting.length > 0); steps++) {
    waiting = [...waiting, ...coming.filter(({ since }) => since <= now)];
    coming = coming.filter(({ since }) => since > now);
    const { messages, quietUntil, nextAt } = dueMessages(times, waiting, sent, now);
    told.push(...messages.map((one) => ({ at: now, events: one })));
    sent = afterSending(times, sent, messages, now);
    waiting = waiting.filter((one) => !messages.some((message) => message.includes(one)));
    // Nothing is looked at before it is quiet no more.
    const comes = coming[0] === undefined ? Infinity : Math.max(coming[0].since, quietUntil);
    now = Math.max(now + 1, Math.min(nextAt ?? Infinity, comes));
    if (!Number.isFinite(now)) break;
  }
  return { told, left: waiting.length + coming.length };
}

describe("whatever happens", () => {
  test("everything is told, once", () =>
    fc.assert(
      fc.property(timing, storm, (times, events) => {
        const { told, left } = play(times, events);
        expect(left).toBe(0);
        expect(told.flatMap((one) => one.events)).toHaveLength(events.length);
        expect(new Set(told.flatMap((one) => one.events)).size).toBe(new Set(events).size);
      }),
    ));

  test("no hour has more messages than it may, and no event is told before it has waited", () =>
    fc.assert(
      fc.property(timing, storm, (times, events) => {
        const { told } = play(times, events);
        for (const { at: end, events: own } of told) {
          expect(told.filter((one) => one.at <= end && one.at > end - HOUR_MS).length).toBeLessThanOrEqual(
            times.perHourMax,
          );
          for (const group of new Set(own.map((one) => one.group))) {
            const first = Math.min(...own.filter((one) => one.group === group).map(({ since }) => since));
            expect(end).toBeGreaterThanOrEqual(first + times.groupWaitMs);
          }
        }
      }),
    ));

  test("a storm of one group within its wait is one message", () =>
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(10_000), (count, spread) => {
        const events = Array.from({ length: count }, (_, n) => at(Math.floor((n * spread) / count)));
        const { told } = play(TIMING, events);
        expect(told.map((one) => one.events.length)).toEqual([count]);
      }),
    ));
});
