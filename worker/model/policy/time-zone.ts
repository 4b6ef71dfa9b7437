// Wall clocks: what a clock shows in an IANA time zone at an instant, and when it shows what is asked for.
import { z } from "zod";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../units.ts";

/** Making a formatter costs a hundred times as much as using it; there are about 600 zones. */
const formatters = new Map<string, Intl.DateTimeFormat>();

function formatterOf(timeZone: string): Intl.DateTimeFormat {
  const known = formatters.get(timeZone);
  if (known) return known;
  const made = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  formatters.set(timeZone, made);
  return made;
}

function isTimeZone(name: string): boolean {
  // Intl takes offsets such as `+02:00` too: no zone, they know no summer time.
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    return formatterOf(name) !== undefined;
  } catch {
    return false;
  }
}

/** An IANA time zone that this runtime knows, such as `Europe/Berlin` or `UTC`. */
export const timeZone = z
  .string()
  .max(64)
  .refine(isTimeZone, "an IANA time zone such as Europe/Berlin or UTC")
  .meta({ id: "TimeZone" });

/**
 * What a clock in the zone shows at `at`, as the ms since 1970 at which a clock in UTC shows the same: local − UTC is the
 * zone's offset at that instant. Milliseconds are kept.
 */
export function wallClock(zone: string, at: number): number {
  const parts: Partial<Record<Intl.DateTimeFormatPartTypes, string>> = {};
  for (const { type, value } of formatterOf(zone).formatToParts(at)) parts[type] = value;
  const { year, month, day, hour, minute, second } = parts;
  const shown = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  return shown + (((at % 1000) + 1000) % 1000);
}

/** The zone's offset from UTC at `at`, ms, east positive. */
export const offsetMs = (zone: string, at: number): number => wallClock(zone, at) - at;

/** The instants, earliest first, at which the zone's clock shows `local`: none in a gap of spring, two when autumn repeats an hour. */
export function instantsOf(zone: string, local: number): number[] {
  const offsets = new Set([offsetMs(zone, local - DAY_MS), offsetMs(zone, local), offsetMs(zone, local + DAY_MS)]);
  return [...offsets]
    .map((offset) => local - offset)
    .filter((at) => wallClock(zone, at) === local)
    .toSorted((a, b) => a - b);
}

/** Instants in (from, to] at which the zone's offset changes, to the minute. Two changes within six hours are not told apart. */
export function offsetChanges(zone: string, from: number, to: number): number[] {
  const changes: number[] = [];
  for (let start = from; start < to; start += 6 * HOUR_MS) {
    const end = Math.min(to, start + 6 * HOUR_MS);
    const before = offsetMs(zone, start);
    if (offsetMs(zone, end) === before) continue;
    let [low, high] = [Math.floor(start / MINUTE_MS), Math.ceil(end / MINUTE_MS)];
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (offsetMs(zone, middle * MINUTE_MS) === before) low = middle;
      else high = middle;
    }
    changes.push(high * MINUTE_MS);
  }
  return changes;
}
