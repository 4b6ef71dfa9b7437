// The rounds still to come of a running pre-copy: a light form of the loop in `rounds.ts` that begins where the migration is.
import type { MigrationParameters } from "../wire/command.ts";
import { measuredCurve, saturatingCurve, usablePoints } from "./dirty-curve.ts";
import type { DirtyCurve } from "./dirty-curve.ts";
import type { Scores } from "./draws.ts";
import type { FlightRun, Seen } from "./in-flight-seen.ts";
import { DIRTY_LN_SD, RATE_SLICE_SECONDS, THROTTLE_SYNC_MS } from "./priors.ts";
import type { MechanismEstimate } from "./types.ts";

/** How uncertain the dirtying still is: each length of round that was seen says as much as a measured window. */
export function dirtyLnSd({ windows }: Seen): number {
  return Math.max(DIRTY_LN_SD.curveLeast, DIRTY_LN_SD.rate / Math.sqrt(Math.max(1, windows.length)));
}

/**
 * U(t) through what rounds of two lengths and more dirtied; with one, the curve of the prediction scaled to it; with none, as
 * predicted.
 */
export function flightCurve({ windows, last }: Seen, { predicted, parameters }: FlightRun): DirtyCurve {
  const most = Math.max(last.totalBytes ?? 0, last.remainingBytes, ...windows.map(({ bytes }) => bytes));
  const points = usablePoints(windows);
  if (points.length >= 2) return measuredCurve(points, most);
  const prior = predictedCurve(predicted, parameters, most);
  const [seen] = points;
  if (seen === undefined) return prior;
  const scale = seen.bytes / Math.max(1, prior(seen.windowMs));
  return (windowMs) => Math.min(most, scale * prior(windowMs));
}

/** What each predicted round dirtied is what the next one sends. */
function predictedCurve({ rounds }: MechanismEstimate, parameters: MigrationParameters, most: number): DirtyCurve {
  const points = usablePoints(
    rounds.flatMap(({ durationMs }, index) => {
      const next = rounds[index + 1];
      return next === undefined || durationMs <= 0 ? [] : [{ windowMs: durationMs, bytes: next.bytes }];
    }),
  );
  if (points.length >= 2) return measuredCurve(points, Math.max(most, points.at(-1)?.bytes ?? 0));
  // It was to converge after the first round: what that dirties is some part of the threshold.
  const threshold = (parameters.maxBandwidthBytesPerSecond * parameters.downtimeLimitMs) / 1000;
  const windowMs = Math.max(1, rounds[0]?.durationMs ?? 1000);
  const point = points[0] ?? { windowMs, bytes: threshold / 3 };
  // The working set lies between what one window shows and all there is.
  return saturatingCurve(point.bytes, point.windowMs, Math.sqrt(Math.max(1, point.bytes) * Math.max(1, most)));
}

/** How the rest is sent in one draw. */
export type Pace = {
  bytesPerSecond: number;
  dirtied: DirtyCurve;
  downtimeLimitMs: number;
  autoConverge: boolean;
  /** Used cores / vCPUs: an idle guest is not slowed until the throttle has taken what it does not use. */
  cpuRatio: number;
};

/** Where the loop ended, in time from now. */
export type RestOfRounds = { durationMs: number; pendingBytes: number; stop: "threshold" | "rounds" | "time" };

type Limit = { iterations: number; untilMs: number };

const ROUNDS_MAX = 400;
const STEADY_RATIO = 1e-4;

/** From the middle of the present round, the second or a later one, `untilMs` from now at most. */
export function restOfRounds(seen: Seen, pace: Pace, scores: Scores, { iterations, untilMs }: Limit): RestOfRounds {
  const { last, iterationStartMs } = seen;
  const threshold = (pace.bytesPerSecond * pace.downtimeLimitMs) / 1000;
  const late = pace.bytesPerSecond * RATE_SLICE_SECONDS * (0.25 + 0.5 * scores.lateness);
  const throttle = throttleFrom(last.throttleRatio ?? 0, pace);
  const loop = {
    pending: last.remainingBytes,
    sinceMs: Math.max(0, last.elapsedMs - iterationStartMs),
    beforeMs: Number.POSITIVE_INFINITY,
    windowMs: Number.POSITIVE_INFINITY,
    elapsedMs: 0,
  };
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const { pending } = loop;
    const sent = nextRound(seen, pace, loop, {
      carried: Math.max(0, threshold - late),
      untilMs,
      speed: throttle.speed(),
    });
    const end = { durationMs: loop.elapsedMs, pendingBytes: loop.pending };
    if (loop.elapsedMs >= untilMs) return { ...end, stop: "time" };
    if (loop.pending <= threshold) return { ...end, stop: "threshold" };
    if (last.iteration + round >= iterations) return { ...end, stop: "rounds" };
    throttle.look(loop.beforeMs, sent.dirtied, sent.bytes);
    if (!throttle.mayRise() && round > 0 && Math.abs(loop.pending - pending) <= STEADY_RATIO * pending) break;
  }
  return { durationMs: untilMs, pendingBytes: loop.pending, stop: "time" };
}

type Loop = {
  pending: number;
  /** Since the present round began. */
  sinceMs: number;
  /** Length of the round before. */
  beforeMs: number;
  /** In which all that is pending was dirtied. */
  windowMs: number;
  elapsedMs: number;
};

/** Sends what is pending but for what is carried over; with auto-converge no longer than QEMU's timer lets it. */
function nextRound(
  seen: Seen,
  pace: Pace,
  loop: Loop,
  { carried, untilMs, speed }: { carried: number; untilMs: number; speed: number },
): { bytes: number; dirtied: number } {
  const bytesPerMs = pace.bytesPerSecond / seen.wirePerByte / 1000;
  const wholeMs = Math.max(0, loop.pending - carried) / bytesPerMs;
  const timerMs = pace.autoConverge ? Math.max(0, THROTTLE_SYNC_MS - loop.sinceMs) : wholeMs;
  const durationMs = Math.min(wholeMs, timerMs, untilMs - loop.elapsedMs);
  const bytes = durationMs * bytesPerMs;
  const roundMs = loop.sinceMs + durationMs;
  const dirtied = pace.dirtied(roundMs) * speed;
  const left = Math.max(0, loop.pending - bytes);
  // What was left over is no older than the scan of all that is pending takes: no more than U of that is dirty.
  loop.windowMs = roundMs + Math.min(loop.windowMs, loop.beforeMs === Infinity ? Infinity : loop.pending / bytesPerMs);
  const atMost = loop.windowMs === Infinity ? Infinity : pace.dirtied(loop.windowMs);
  const twice = dirtiedTwice(pace.dirtied, { left, beforeMs: loop.beforeMs, roundMs });
  loop.pending = Math.min(left + dirtied - twice, Math.max(dirtied, atMost));
  loop.elapsedMs += durationMs;
  loop.beforeMs = roundMs;
  loop.sinceMs = 0;
  return { bytes, dirtied };
}

/** Of what was left over, what was dirtied again in this round: inclusion and exclusion on U, as in `passes.ts`. */
function dirtiedTwice(
  dirtied: DirtyCurve,
  { left, beforeMs, roundMs }: { left: number; beforeMs: number; roundMs: number },
): number {
  if (beforeMs === Number.POSITIVE_INFINITY) return 0;
  const one = dirtied(beforeMs);
  if (one <= 0) return 0;
  const both = Math.min(1, Math.max(0, one + dirtied(roundMs) - dirtied(beforeMs + roundMs)) / one);
  return Math.min(left, one) * both;
}

const THROTTLE = { first: 0.2, step: 0.1, max: 0.99, dirtyRatio: 0.5, periodMs: 1000 };

/** `auto-converge` from where it stands: a step after every second period in which more than half of what was sent was dirtied. */
function throttleFrom(begin: number, { autoConverge, cpuRatio }: Pace) {
  const now = { taken: begin, highs: 0, periodMs: 0, dirtied: 0, sent: 0 };
  const kept = (taken: number) => Math.min(1, (1 - taken) / Math.max(0.01, cpuRatio));
  const before = kept(begin);
  return {
    /** Against the speed of now. */
    speed: () => Math.min(1, kept(now.taken) / before),
    mayRise: () => autoConverge && now.taken < THROTTLE.max,
    look: (roundMs: number, dirtied: number, sent: number) => {
      now.periodMs += roundMs;
      now.dirtied += dirtied;
      now.sent += sent;
      if (!autoConverge || now.periodMs < THROTTLE.periodMs) return;
      if (now.dirtied > THROTTLE.dirtyRatio * now.sent) now.highs += 1;
      now.periodMs = now.dirtied = now.sent = 0;
      if (now.highs < 2) return;
      now.highs = 0;
      now.taken = now.taken === 0 ? THROTTLE.first : Math.min(THROTTLE.max, now.taken + THROTTLE.step);
    },
  };
}
