// Numbers and times as messages show them.
import { duration } from "../placement/format.ts";

/** `2026-11-27 18:30 UTC`. */
export const when = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** How long ago; null: never. */
export const ago = (at: number | null, now: number): string =>
  at === null ? "never" : `${duration(Math.max(0, now - at))} ago`;

/** Of something to come. */
export const inTime = (at: number, now: number): string => (at <= now ? "now" : `in ${duration(at - now)}`);

export const share = (part: number | undefined, whole: number): string =>
  part === undefined ? "?" : `${Math.round((100 * part) / whole)} %`;

/** p50 and p90 of a time; null: the VM never stops. */
export const spread = (quantity: { p50: number; p90: number } | null): string =>
  quantity === null ? "none" : `${duration(quantity.p50)} / ${duration(quantity.p90)}`;

export const signed = (amount: number): string => `${amount < 0 ? "" : "+"}${amount.toFixed(2)}`;
