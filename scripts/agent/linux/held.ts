// Figures that are dear to measure and change slowly.
import { MINUTE_MS } from "../../../worker/model/units.ts";

/** A figure is measured anew after so long; until it is, the last one stands. */
const EVERY_MS = 5 * MINUTE_MS;
/** After a measurement that gave nothing. */
const AGAIN_MS = MINUTE_MS / 2;
/** An older figure says nothing of now. */
const AGE_MS_MAX = 2 * EVERY_MS;

export type Held<T> = {
  /** A new moment begins. */
  begin: (nowMs: number) => void;
  /** The figure of that name, measured now if it is due and others have not had the moment's share; null: there is none. */
  of: (key: string, nowMs: number, measure: () => Promise<T | null>) => Promise<T | null>;
  forget: (prefix: string) => void;
};

type Entry<T> = { value: T | null; atMs: number; dueMs: number };

/** At most `atOnce` measurements a moment, so that a host of many VMs is not held up by all of them. */
export function createHeld<T>(atOnce: number): Held<T> {
  const entries = new Map<string, Entry<T>>();
  let share = atOnce;
  return {
    begin: (nowMs) => {
      share = atOnce;
      for (const [key, { atMs }] of entries) if (nowMs - atMs > AGE_MS_MAX) entries.delete(key);
    },
    of: async (key, nowMs, measure) => {
      const before = entries.get(key);
      if (nowMs < (before?.dueMs ?? 0) || share <= 0) return before?.value ?? null;
      share -= 1;
      const value = await measure();
      if (value !== null) entries.set(key, { value, atMs: nowMs, dueMs: nowMs + EVERY_MS });
      else entries.set(key, { value: before?.value ?? null, atMs: before?.atMs ?? nowMs, dueMs: nowMs + AGAIN_MS });
      return entries.get(key)?.value ?? null;
    },
    forget: (prefix) => {
      for (const key of entries.keys()) if (key.startsWith(prefix)) entries.delete(key);
    },
  };
}
