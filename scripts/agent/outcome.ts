// What a finished migration cost, from moments on two hosts' clocks. Pure.
import type { Outcome } from "../../worker/model/wire/event.ts";
import type { OutgoingCounters } from "./driver.ts";

/** One question and its answer: sent and received on the asker's clock, taken and answered on the other's. All ms. */
export type Exchange = { sentAtMs: number; takenAtMs: number; answeredAtMs: number; receivedAtMs: number };

/**
 * How far the other clock is ahead, in ms (the offset of RFC 5905, section 8). The estimate is uncertain by half of the time
 * on the way; an offset within that is no evidence of one, and is 0.
 */
export function clockOffsetMs({ sentAtMs, takenAtMs, answeredAtMs, receivedAtMs }: Exchange): number {
  const offset = (takenAtMs - sentAtMs + (answeredAtMs - receivedAtMs)) / 2;
  const onTheWay = receivedAtMs - sentAtMs - (answeredAtMs - takenAtMs);
  return Math.abs(offset) <= Math.max(0, onTheWay) / 2 ? 0 : offset;
}

export type Moments = {
  startedAtMs: number | undefined;
  /** Null: not known. */
  stoppedAtMs: number | null;
  /** When the VM ran at the destination, on the source's clock; null: not known. */
  resumedAtMs: number | null;
  completedAtMs: number;
};

/** The outcome of a migration that ended well. A duration one end of which is not known is absent, and so is the total. */
export function outcomeOf(
  { startedAtMs, stoppedAtMs, resumedAtMs, completedAtMs }: Moments,
  counters: OutgoingCounters,
): Outcome {
  const between = (from: number | null, to: number | null): number | undefined =>
    from === null || to === null ? undefined : Math.max(0, to - from);
  const preparationMs = between(startedAtMs ?? null, stoppedAtMs);
  const downtimeMs = between(stoppedAtMs, resumedAtMs);
  const resumeMs = between(resumedAtMs, completedAtMs);
  const known = preparationMs !== undefined && downtimeMs !== undefined && resumeMs !== undefined;
  return {
    ...counters,
    ...(preparationMs === undefined ? {} : { preparationMs }),
    ...(downtimeMs === undefined ? {} : { downtimeMs }),
    ...(resumeMs === undefined ? {} : { resumeMs }),
    ...(known ? { totalMs: preparationMs + downtimeMs + resumeMs } : {}),
  };
}
