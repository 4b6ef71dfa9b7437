// How often a host came back with another boot id.
import { z } from "zod";
import { DAY_MS } from "./units.ts";
import { timestampMs } from "./wire/common.ts";

/** A host that is started anew more often than this is in no better state with more of it. */
const RESTARTS_MAX = 100;

/** Times of restarts as they are stored: rising. */
export const restartTimes = z.array(timestampMs);

/** The restarts of the 24 h before `now`. */
export const restartsLastDay = (times: readonly number[], now: number): number[] =>
  times.filter((time) => now - time < DAY_MS);

/** The times to store after one at `now`. */
export const withRestart = (times: readonly number[], now: number): number[] =>
  [...restartsLastDay(times, now), now].slice(-RESTARTS_MAX);
