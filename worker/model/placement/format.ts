// Numbers as people read them, for the sentences of a plan.
import { GIB, HOUR_MS, MIB, MINUTE_MS, SECOND_MS } from "../units.ts";

export function size(bytes: number): string {
  return bytes < GIB ? `${(bytes / MIB).toFixed(1)} MiB` : `${(bytes / GIB).toFixed(1)} GiB`;
}

export function duration(ms: number): string {
  if (ms < SECOND_MS) return `${Math.round(ms)} ms`;
  if (ms < 2 * MINUTE_MS) return `${(ms / SECOND_MS).toFixed(1)} s`;
  return ms < 2 * HOUR_MS ? `${Math.round(ms / MINUTE_MS)} min` : `${(ms / HOUR_MS).toFixed(1)} h`;
}

/** Cores with one decimal, two where it takes them. */
export function cores(count: number): string {
  return String(Math.round(count * 100) / 100);
}

export function ratio(value: number): string {
  return value.toFixed(2);
}

/** A standard deviation of ratios: small, so one digit more. */
export function deviation(value: number): string {
  return value.toFixed(3);
}

export function percent(value: number): string {
  return `${Math.round(value * 1000) / 10} %`;
}

export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

const LISTED_MAX = 5;

/** "a, b and 3 more". */
export function listed(names: readonly string[]): string {
  const rest = names.length - LISTED_MAX;
  return rest <= 0 ? names.join(", ") : `${names.slice(0, LISTED_MAX).join(", ")} and ${rest} more`;
}

export function rate(bytesPerSecond: number): string {
  return `${size(bytesPerSecond)}/s`;
}

/** An amount of the prices' currency. */
export function money(amount: number): string {
  return Math.abs(amount) < 0.1 ? amount.toFixed(4) : amount.toFixed(2);
}
