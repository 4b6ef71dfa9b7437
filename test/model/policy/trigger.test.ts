import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cronProblem, lastTime, nextTime } from "../../../worker/model/policy/cron.ts";
import {
  type Trigger,
  eventKey,
  nextDueAt,
  policyDue,
  policyEvent,
  trigger,
} from "../../../worker/model/policy/trigger.ts";
import { HOUR_MS, MINUTE_MS } from "../../../worker/model/units.ts";

const at = (text: string): number => Date.parse(text);
const iso = (time: number | null): string | null => (time === null ? null : new Date(time).toISOString());

describe("a cron expression", () => {
  test.each([
    // Clocks leave 02:30 out on 29 March: it runs at the first minute after the gap, and once.
    ["30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00.000Z"],
    ["30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00.000Z"],
    // They show 02:30 twice on 25 October: it runs at the first.
    ["30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00.000Z"],
    ["30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00.000Z"],
    ["0 9 * * 1-5", "America/New_York", "2026-06-05T14:00:00Z", "2026-06-08T13:00:00.000Z"],
    ["0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00.000Z"],
  ])("%s in %s after %s means %s", (expression, zone, after, next) => {
    expect(iso(nextTime(expression, zone, at(after)))).toBe(next);
  });

  test.each([
    ["0 0 30 2 *", "never run"],
    ["0 0 31 4 *", "never run"],
    ["60 * * * *", "minute"],
    ["* * * * * *", "five fields"],
    ["* * * *", "five fields"],
    ["@daily", "five fields"],
    ["2026-01-01T00:00:00", "five fields"],
    ["a b c d e", ""],
  ])("%s is refused: %s", (expression, why) => {
    expect(cronProblem(expression, "UTC")).toContain(why);
  });

  test("means the same whenever it is asked: the last time up to the next is the next", () => {
    const expressions = ["*/5 * * * *", "30 2 * * *", "0 0 1 * *", "15 3 * * 0", "0 */6 * * 1-5"];
    fc.assert(
      fc.property(
        fc.constantFrom(...expressions),
        fc.constantFrom("UTC", "Europe/Berlin", "America/New_York"),
        fc.integer({ min: at("2026-01-01T00:00Z"), max: at("2027-01-01T00:00Z") }),
        (expression, zone, after) => {
          const next = nextTime(expression, zone, after);
          if (next === null || next <= after) return false;
          return (
            lastTime(expression, zone, after, next) === next && lastTime(expression, zone, after, next - 1) === null
          );
        },
      ),
      { numRuns: 300, seed: 1 },
    );
  });
});

const scheduleOf = (by: Trigger, fields = {}) => ({
  trigger: by,
  enabled: true,
  minIntervalMs: 0,
  activatedAt: at("2026-06-01T00:00:00Z"),
  ...fields,
});
const NEVER = { dueAt: null, startedAt: null };
const hourly = trigger.parse({ type: "cron", expression: "0 * * * *" });
const every10 = trigger.parse({ type: "interval", everyMs: 10 * MINUTE_MS });

describe("a policy is due", () => {
  test.each([
    ["by cron, at its time", scheduleOf(hourly), NEVER, "2026-06-01T05:00:10Z", "2026-06-01T05:00:00.000Z"],
    ["by cron, a little late", scheduleOf(hourly), NEVER, "2026-06-01T05:14:00Z", "2026-06-01T05:00:00.000Z"],
    ["not by cron, over 15 minutes late", scheduleOf(hourly), NEVER, "2026-06-01T05:16:00Z", null],
    ["not for a time before it was made", scheduleOf(hourly), NEVER, "2026-06-01T00:00:30Z", null],
    ["by interval, at once", scheduleOf(every10), NEVER, "2026-06-01T00:00:00Z", "2026-06-01T00:00:00.000Z"],
    [
      "by interval, for the last time missed only",
      scheduleOf(every10),
      NEVER,
      "2026-06-01T03:25:00Z",
      "2026-06-01T03:20:00.000Z",
    ],
    ["not when paused", scheduleOf(every10, { enabled: false }), NEVER, "2026-06-01T03:25:00Z", null],
    [
      "not before its minimum interval is over",
      scheduleOf(every10, { minIntervalMs: HOUR_MS }),
      { dueAt: at("2026-06-01T03:00:00Z"), startedAt: at("2026-06-01T03:00:00Z") },
      "2026-06-01T03:59:29Z",
      null,
    ],
    [
      "when it is",
      scheduleOf(every10, { minIntervalMs: HOUR_MS }),
      { dueAt: at("2026-06-01T03:00:00Z"), startedAt: at("2026-06-01T03:00:00Z") },
      "2026-06-01T04:00:00Z",
      "2026-06-01T04:00:00.000Z",
    ],
    [
      "each minute, though Cron comes a little early after a late one",
      scheduleOf(trigger.parse({ type: "interval", everyMs: 60_000 }), { minIntervalMs: 60_000 }),
      { dueAt: at("2026-06-01T03:00:00Z"), startedAt: at("2026-06-01T03:00:00.300Z") },
      "2026-06-01T03:01:00.100Z",
      "2026-06-01T03:01:00.000Z",
    ],
    [
      "never by time where events start it",
      scheduleOf(trigger.parse({ type: "event", events: ["alert"] })),
      NEVER,
      "2026-06-01T09:00:00Z",
      null,
    ],
  ])("%s", (_, schedule, last, now, due) => {
    expect(iso(policyDue(schedule, last, at(now)))).toBe(due);
  });

  test("at each time once, whatever the minutes at which it is asked", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(hourly, every10),
        fc.array(fc.integer({ min: 0, max: 14 * MINUTE_MS }), { minLength: 1, maxLength: 40 }),
        (by, steps) => {
          const schedule = scheduleOf(by);
          let [now, dueAt] = [schedule.activatedAt, -1];
          for (const step of steps) {
            now += step;
            const due = policyDue(schedule, { dueAt: dueAt < 0 ? null : dueAt, startedAt: null }, now);
            if (due === null) continue;
            if (due <= dueAt || due > now) return false;
            dueAt = due;
            if (policyDue(schedule, { dueAt, startedAt: now }, now) !== null) return false;
          }
          return true;
        },
      ),
      { seed: 1 },
    );
  });

  test("the next time is told, and it is then due", () => {
    for (const by of [hourly, every10]) {
      const schedule = scheduleOf(by);
      const next = nextDueAt(schedule, at("2026-06-01T07:03:00Z")) ?? 0;
      expect(policyDue(schedule, { dueAt: next - 1, startedAt: null }, next)).toBe(next);
    }
    expect(nextDueAt(scheduleOf(hourly, { enabled: false }), 0)).toBeNull();
  });
});

describe("an event", () => {
  test("is known by its key, else by type, host and VM", () => {
    const vm = "00000000-0000-4000-8000-000000000001";
    expect(eventKey({ cluster: "c", type: "host.hot", hostId: "a" })).toBe("host.hot a");
    expect(eventKey({ cluster: "c", type: "alert", vm })).toBe(`alert ${vm}`);
    expect(eventKey({ cluster: "c", type: "alert", key: "k" })).toBe("k");
  });

  test("of a host names it", () => {
    expect(policyEvent.safeParse({ cluster: "c", type: "host.failing" }).error?.issues[0]?.path).toEqual(["hostId"]);
  });
});
