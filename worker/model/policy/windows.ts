// Weekly windows of time. A window is open when a clock on the wall of its zone shows a time in it: the hour that autumn
// repeats counts twice, the hour that spring leaves out never comes.
import { z } from "zod";
import { DAY_MS, MINUTE_MS } from "../units.ts";
import { instantsOf, offsetChanges, timeZone, wallClock } from "./time-zone.ts";

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"] as const;

const clock = (pattern: RegExp, message: string) => z.string().regex(pattern, message);

const minutes = (text: string): number => Number(text.slice(0, 2)) * 60 + Number(text.slice(3));

/** `days` are those on which the window begins; one that ends at or before `from` ends on the next day. */
export const weeklyWindow = z
  .strictObject({
    timeZone,
    days: z.array(z.enum(DAYS)).min(1).max(7),
    from: clock(/^([01]\d|2[0-3]):[0-5]\d$/, "a time from 00:00 to 23:59"),
    to: clock(/^(([01]\d|2[0-3]):[0-5]\d|24:00)$/, "a time from 00:00 to 24:00"),
  })
  .superRefine(({ days, from, to }, context) => {
    const twice = days.findIndex((day, index) => days.indexOf(day) !== index);
    if (twice !== -1)
      context.addIssue({ code: "custom", path: ["days", twice], message: `${days[twice]} is given twice` });
    if (from === to)
      context.addIssue({
        code: "custom",
        path: ["to"],
        message: `the window from ${from} to ${to} has no length: a whole day is 00:00 to 24:00`,
      });
  })
  .meta({ id: "WeeklyWindow" });
export type WeeklyWindow = z.infer<typeof weeklyWindow>;

/** Open when one of them is. None: always open. */
export const weeklyWindows = z.array(weeklyWindow).max(32);

/** A week from now, and a week more where the only opening of this week falls into a gap of spring. */
const HORIZON_DAYS = 15;

const dayOf = (local: number): number => new Date(local).getUTCDay();
const startOfDay = (local: number): number => Math.floor(local / DAY_MS) * DAY_MS;

function isInside(window: WeeklyWindow, at: number): boolean {
  const local = wallClock(window.timeZone, at);
  const minute = (local - startOfDay(local)) / MINUTE_MS;
  const [from, to] = [minutes(window.from), minutes(window.to)];
  const begins = (day: number) => window.days.some((name) => name === DAYS[(day + 7) % 7]);
  const today = dayOf(local);
  if (from < to) return begins(today) && from <= minute && minute < to;
  return (begins(today) && minute >= from) || (begins(today - 1) && minute < to);
}

/** Whether one of the windows is open at `at`, ms since 1970. No windows: true. */
export function windowOpen(windows: readonly WeeklyWindow[], at: number): boolean {
  return windows.length === 0 || windows.some((window) => isInside(window, at));
}

/** When a window next begins to be open, at or after `at`; `at` itself when one is open. Null: never in the next 15 days. */
export function nextOpening(windows: readonly WeeklyWindow[], at: number): number | null {
  if (windowOpen(windows, at)) return at;
  const openings = windows.flatMap((window) => beginnings(window, at).filter((start) => isInside(window, start)));
  return openings.length === 0 ? null : Math.min(...openings);
}

/** Every instant after `at` at which the window may begin to be open: its `from`, and each change of the zone's offset. */
function beginnings(window: WeeklyWindow, at: number): number[] {
  const today = startOfDay(wallClock(window.timeZone, at));
  const starts = Array.from({ length: HORIZON_DAYS }, (_, day) => today + day * DAY_MS)
    .filter((day) => window.days.some((name) => name === DAYS[dayOf(day)]))
    .flatMap((day) => instantsOf(window.timeZone, day + minutes(window.from) * MINUTE_MS));
  return [...starts, ...offsetChanges(window.timeZone, at, at + HORIZON_DAYS * DAY_MS)].filter((start) => start > at);
}
