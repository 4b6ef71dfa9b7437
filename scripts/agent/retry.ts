// How long to wait before something that Drover did not take is sent again.
import { HOUR_MS } from "../../worker/model/units.ts";

const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 60_000;
/** What a server asks for beyond this is taken for a mistake. */
const RETRY_AFTER_MS_MAX = HOUR_MS;
/** Hosts that were told the same time come back within this share of it more. */
const SPREAD = 0.25;

/** The header `Retry-After` (RFC 9110, 10.2.3), a number of seconds or a date, as milliseconds from now; null: there is none that can be read. */
export function parseRetryAfter(header: string | null, nowMs: number): number | null {
  const text = header?.trim() ?? "";
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, RETRY_AFTER_MS_MAX);
  const at = /^[A-Z][a-z]{2,8},? /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : Math.min(Math.max(at - nowMs, 0), RETRY_AFTER_MS_MAX);
}

/**
 * Milliseconds to wait after `failures` (from 1) in a row: doubling up to a minute, the upper half of it at random, so that
 * the hosts of a fleet do not come back together; never less than Drover asked for. `random` is from 0 to below 1.
 */
export function retryDelayMs(failures: number, retryAfterMs: number | null, random: number): number {
  const ceiling = Math.min(RETRY_MS_MIN * 2 ** (failures - 1), RETRY_MS_MAX);
  return Math.max((ceiling * (1 + random)) / 2, (retryAfterMs ?? 0) * (1 + SPREAD * random));
}

const CHANNEL_MS_MIN = 1000;
const CHANNEL_MS_MAX = 60_000;

/**
 * Milliseconds to wait before a channel that has ended or could not be opened, `failures` (from 1) times in a row, is opened
 * again: anything up to a ceiling that doubles from a second to a minute. All at random, because a restart of Drover ends the
 * channels of a whole fleet at once. `random` is from 0 to below 1.
 */
export function channelDelayMs(failures: number, random: number): number {
  return Math.min(CHANNEL_MS_MIN * 2 ** (failures - 1), CHANNEL_MS_MAX) * random;
}
