// When a delivery is tried again, and when its target rests or is paused. Times are ms; `random` is in [0, 1).
import { DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS } from "../units.ts";

/** After the n-th attempt so long until the next, before jitter: eleven attempts within a day. */
export const RETRY_DELAYS_MS: readonly number[] = [
  5 * SECOND_MS,
  30 * SECOND_MS,
  2 * MINUTE_MS,
  10 * MINUTE_MS,
  30 * MINUTE_MS,
  HOUR_MS,
  2 * HOUR_MS,
  4 * HOUR_MS,
  6 * HOUR_MS,
  10 * HOUR_MS,
];
/** Delays are spread by this much either way, so that what failed together is not tried again together. */
export const JITTER_RATIO = 0.2;
/** A delivery that has not come through this long after it was made has failed. */
export const DELIVER_WITHIN_MS = DAY_MS;
/** A target that has answered nothing well for this long is paused. */
export const PAUSE_AFTER_MS = 3 * DAY_MS;
/** Nothing is due sooner than this before its deadline: the last attempt is then at the deadline itself. */
const LAST_GAP_MS = MINUTE_MS;
const REST_FIRST_MS = 5 * SECOND_MS;
/** A target that does not answer is asked once in this time whether it does again. */
export const REST_MS_MAX = MINUTE_MS;

/** What came of an attempt. `status` null: no answer; `error` says why. */
export type AttemptOutcome = {
  status: number | null;
  error: string | null;
  /** What `Retry-After` asked for, from the answer on; null: nothing. */
  retryAfterMs: number | null;
};

export const isDelivered = ({ status }: Pick<AttemptOutcome, "status">): boolean =>
  status !== null && status >= 200 && status < 300;
/** The receiver wants nothing more. */
export const isGone = ({ status }: Pick<AttemptOutcome, "status">): boolean => status === 410;
/** The target as a whole is in trouble, and not only with this event. */
export const isDown = ({ status }: Pick<AttemptOutcome, "status">): boolean =>
  status === null || status >= 500 || status === 429 || status === 408;

/** A `Retry-After` header in ms from `now`: seconds or an HTTP date (RFC 9110, 10.2.3); null: absent or unreadable. */
export function readRetryAfter(header: string | null, now: number): number | null {
  if (header === null) return null;
  const text = header.trim();
  if (/^\d{1,9}$/.test(text)) return Number(text) * SECOND_MS;
  const at = /[A-Za-z]/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : Math.max(0, at - now);
}

const jittered = (ms: number, random: number): number =>
  Math.round(ms * (1 - JITTER_RATIO + 2 * JITTER_RATIO * random));

/** `attempts`: those made, this one included. */
export type DeliveryState = { attempts: number; expiresAt: number };
export type NextAttempt =
  | { state: "delivered" }
  | { state: "pending"; nextAttemptAt: number }
  | { state: "failed"; why: string };

/** What becomes of a delivery after an attempt that ended at `now`. Never before `Retry-After`, never after `expiresAt`. */
export function nextAttempt(
  { attempts, expiresAt }: DeliveryState,
  outcome: AttemptOutcome,
  now: number,
  random: number,
): NextAttempt {
  if (isDelivered(outcome)) return { state: "delivered" };
  const delay = RETRY_DELAYS_MS[attempts - 1];
  if (delay === undefined || expiresAt - now < LAST_GAP_MS)
    return { state: "failed", why: `given up after ${attempts} attempt${attempts === 1 ? "" : "s"}` };
  const asked = outcome.retryAfterMs ?? 0;
  if (now + asked > expiresAt) return { state: "failed", why: "the receiver asked to wait longer than a day" };
  return { state: "pending", nextAttemptAt: Math.min(expiresAt, now + Math.max(asked, jittered(delay, random))) };
}

/** How a target has done of late. `failures`: attempts in a row that found it down. */
export type Health = { failingSince: number | null; failures: number; restUntil: number | null };
export const HEALTHY: Health = { failingSince: null, failures: 0, restUntil: null };

export type AfterWave = { health: Health; pause: string | null };

/** What is known of a target after some attempts that were made at once and ended by `now`. */
export function afterWave(
  { failingSince, failures }: Health,
  outcomes: readonly AttemptOutcome[],
  now: number,
  random: number,
): AfterWave {
  const asked = Math.max(0, ...outcomes.filter(isDown).map(({ retryAfterMs }) => retryAfterMs ?? 0));
  const askedUntil = asked > 0 ? now + Math.min(asked, DELIVER_WITHIN_MS) : null;
  const gone = outcomes.some(isGone) ? "The receiver answered 410 Gone." : null;
  if (outcomes.some(isDelivered))
    return { health: { failingSince: null, failures: 0, restUntil: askedUntil }, pause: gone };
  const since = failingSince ?? now;
  const days = Math.floor((now - since) / DAY_MS);
  const failing = now - since >= PAUSE_AFTER_MS ? `Nothing was delivered for ${days} days.` : null;
  if (!outcomes.every(isDown))
    return { health: { failingSince: since, failures: 0, restUntil: askedUntil }, pause: gone ?? failing };
  const rest = jittered(Math.min(REST_MS_MAX, REST_FIRST_MS * 2 ** Math.min(failures, 10)), random);
  const restUntil = Math.max(askedUntil ?? 0, now + rest);
  return { health: { failingSince: since, failures: failures + 1, restUntil }, pause: gone ?? failing };
}
