// Cron expressions, read by croner. Nothing here looks at the clock: every question comes with its instants.
import { Cron } from "croner";
import { z } from "zod";

/** A time this far off, ms, is "never": 29 February on a given weekday comes every 28 years, once in 40 about 1900 and 2100. */
const YEARS_MS = 41 * 366 * 86_400_000;

const SHAPE = /^\S+( \S+){4}$/;

const made = new Map<string, Cron>();
const KEPT_MAX = 1000;

function cronOf(expression: string, zone: string): Cron {
  const key = `${expression} ${zone}`;
  const known = made.get(key);
  if (known) return known;
  if (made.size >= KEPT_MAX) made.clear();
  const cron = new Cron(expression, { timezone: zone, mode: "5-part", paused: true });
  made.set(key, cron);
  return cron;
}

/** The first time after `after` that the expression means; null: none in the next 41 years. */
export function nextTime(expression: string, zone: string, after: number): number | null {
  const next = cronOf(expression, zone).nextRun(new Date(after));
  return next === null || next.getTime() - after > YEARS_MS ? null : next.getTime();
}

/** The last time in (after, now] that the expression means; null: none. Costs a step for each time in between. */
export function lastTime(expression: string, zone: string, after: number, now: number): number | null {
  let last: number | null = null;
  for (let next = nextTime(expression, zone, after); next !== null && next <= now;)
    [last, next] = [next, nextTime(expression, zone, next)];
  return last;
}

/** What is wrong with an expression, or null. `zone` must be known. */
export function cronProblem(expression: string, zone: string): string | null {
  if (!SHAPE.test(expression))
    return "five fields with one space between them: minute, hour, day of month, month, day of week";
  try {
    // The same answer at any time: an expression means a time within 41 years from anywhere, or none at all.
    if (nextTime(expression, zone, 0) === null) return "there is no such day: this would never run";
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.replace(/^CronPattern: /, "") : "no cron expression";
  }
}

export const cronExpression = z.string().min(9).max(200);
