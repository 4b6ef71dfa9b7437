// What is done about a running migration while it copies: one action with its reason, within what was approved. The agent applies
// it by itself, so that it ends well cut off from Drover too; the edge asks the same rule for what it advises.
import type { Mechanism } from "../wire/common.ts";
import type { MigrationLimits, MigrationParameters } from "../wire/command.ts";
import type { Flight } from "./in-flight-seen.ts";
import {
  STALL,
  deadlineAction,
  downtimeMsMaxOf,
  fitsPostCopy,
  isPreparedForPostCopy,
  stallOf,
} from "./in-flight-rules.ts";
import type { Stall } from "./in-flight-rules.ts";
import { mib } from "./resolve.ts";
import { ms, seconds } from "./words.ts";

/** The downtime ramp of VEP 291, and when more bandwidth is worth its price on the link. */
export const STEER = {
  /** What the first iterations show is the copying of all memory, not how it converges. */
  iterationMin: 4,
  rampSteps: 7,
  cooldownMs: 10_000,
  /** Less is left than this share of the least before: it converges by itself. */
  shrinkingRatio: 0.9,
  /** Dirtied over sent, from which on the rounds hardly shrink; and what a raised bandwidth must bring it down to. */
  outrunRatio: 0.8,
  wantedRatio: 0.5,
  /** Throughput over max-bandwidth, under which the link is what is slow. */
  cappedRatio: 0.9,
  /** A raise by less is not worth a command. */
  raiseRatioMin: 1.1,
  /** From this share of the deadline on, a blackout that was approved is better than none. */
  lastChanceRatio: 0.8,
  /** The hypervisor would not start post-copy that often: it is not asked again. */
  postCopyRefusalsMax: 3,
};

export type Steering =
  | { action: "wait" | "start-post-copy" | "force-switchover" | "cancel"; reason: string }
  | { action: "set-downtime"; downtimeLimitMs: number; reason: string }
  | { action: "set-bandwidth"; bytesPerSecond: number; reason: string };

/** As commanded; without limits post-copy is not permitted and bandwidth is not raised. */
export type SteeringTerms = {
  mechanism: Mechanism;
  parameters: MigrationParameters;
  limits?: MigrationLimits | undefined;
};

/** What was done about it so far. Moments in ms since its start. */
export type Steered = {
  downtimeLimitMs: number;
  bandwidthBytesPerSecond: number;
  raisedAtMs: number | null;
  spedUpAtMs: number | null;
  /** What ends it was asked of the hypervisor. */
  ending: "post-copy" | "switch-over" | "cancel" | null;
  postCopyRefusals: number;
};

export const nothingSteered = ({ parameters }: Pick<SteeringTerms, "parameters">): Steered => ({
  downtimeLimitMs: parameters.downtimeLimitMs,
  bandwidthBytesPerSecond: parameters.maxBandwidthBytesPerSecond,
  raisedAtMs: null,
  spedUpAtMs: null,
  ending: null,
  postCopyRefusals: 0,
});

export type SteeringCase = { flight: Flight; terms: SteeringTerms; done: Steered; nowMs: number };

const wait = (reason: string): Steering => ({ action: "wait", reason });

/**
 * The next action. Never beyond the limits, never post-copy without permission; downtime-limit and bandwidth only rise; and from
 * the deadline on it is one that ends the migration, until one was taken.
 */
export function steeringOf(of: SteeringCase): Steering {
  const { flight, terms, done, nowMs } = of;
  const { phase, remainingBytes } = flight.last;
  const { deadlineMs, postCopyAfterMs } = terms.parameters;
  if (phase === "post-copy") return wait(`Past the point of no return, with ${mib(remainingBytes)} still to come.`);
  if (done.ending !== null) return wait(`Its end was asked of the hypervisor: ${done.ending}.`);
  if (nowMs >= deadlineMs) return atDeadline(of);
  if (postCopyAfterMs !== null && nowMs >= postCopyAfterMs && mayPostCopy(of))
    return { action: "start-post-copy", reason: `Commanded for ${seconds(postCopyAfterMs)} after its start.` };
  if (phase !== "pre-copy" || terms.mechanism === "stop-and-copy" || terms.mechanism === "post-copy")
    return wait(`There is nothing to steer in ${phase} after ${seconds(nowMs)}.`);
  return moreBandwidth(of) ?? lastChance(of) ?? ifStalled(of) ?? ramp(of) ?? wait("It gets on.");
}

/** Permitted, prepared for at its start, not refused by the hypervisor, and quick enough (`fitsPostCopy`). */
export function mayPostCopy({ flight, terms, done, nowMs }: SteeringCase): boolean {
  const { limits, parameters } = terms;
  if (limits?.postCopyPermitted !== true || !isPreparedForPostCopy(terms)) return false;
  if (done.postCopyRefusals >= STEER.postCopyRefusalsMax) return false;
  // Where nothing was measured yet, the rate that was commanded is all that is known.
  const rate = flight.bytesPerSecond ?? done.bandwidthBytesPerSecond;
  return fitsPostCopy(impliedMs({ ...flight, bytesPerSecond: rate }), nowMs, parameters);
}

/** How long what was pending at the beginning of the iteration takes: the downtime if the VM were stopped then. */
export function impliedMs({ starts, last, bytesPerSecond }: Flight): number {
  const pending = starts.at(-1)?.remainingBytes ?? last.remainingBytes;
  return bytesPerSecond === null ? Infinity : (pending * 1000) / bytesPerSecond;
}

/** What the command says of its deadline. */
export function atDeadline(of: SteeringCase): Steering {
  const { parameters } = of.terms;
  const after = `Its deadline of ${seconds(parameters.deadlineMs)} is over`;
  switch (deadlineAction(parameters, mayPostCopy(of))) {
    case "force":
      return { action: "force-switchover", reason: `${after}: the VM is stopped and the rest is sent.` };
    case "start-post-copy":
      return { action: "start-post-copy", reason: `${after} and post-copy is permitted.` };
    case "cancel":
      return { action: "cancel", reason: `${after}.` };
  }
}

/** Stalled: raise the downtime-limit to what is implied, else post-copy, else give up what waiting does not mend (VEP 248). */
export function onStall(of: SteeringCase, stall: Stall): Steering {
  const { flight, terms, done, nowMs } = of;
  const implied = impliedMs(flight);
  const max = downtimeMsMaxOf(terms.limits);
  const why = `Stalled for ${seconds(nowMs - stall.sinceMs)} at ${mib(stall.bestBytes)} pending at best`;
  if (!stall.atMinimum) return wait(`${why}: waiting for no more than ${mib(stall.targetBytes)}.`);
  const raised = raiseTo(of, implied * (1 + STALL.marginRatio));
  if (implied <= max && raised > done.downtimeLimitMs)
    return {
      action: "set-downtime",
      downtimeLimitMs: raised,
      reason: `${why}: sending that takes ${ms(implied)}, within the ${ms(max)} of downtime allowed.`,
    };
  if (mayPostCopy(of)) return { action: "start-post-copy", reason: `${why}: a downtime of ${ms(implied)} is implied.` };
  const isHopeless = implied >= STALL.precopyPossibleFactor * max && terms.parameters.onDeadline !== "force";
  return isHopeless
    ? {
        action: "cancel",
        reason: `${why}: a downtime of ${ms(implied)} is implied, over ${STALL.precopyPossibleFactor} times the ${ms(max)} allowed.`,
      }
    : wait(`${why}: a downtime of ${ms(implied)} is implied, of ${ms(max)} allowed; it may still shrink.`);
}

/** A whole number of ms, within what was approved. */
function raiseTo({ terms }: SteeringCase, downtimeMs: number): number {
  return Math.min(Math.floor(downtimeMsMaxOf(terms.limits)), Math.ceil(downtimeMs));
}

const isCool = (atMs: number | null, nowMs: number, cooldownMs: number): boolean =>
  atMs === null || nowMs - atMs >= cooldownMs;

/** The VM dirties about as fast as it is sent, the cap and not the link is what slows it down, and the limit leaves enough room. */
function moreBandwidth({ flight, terms, done, nowMs }: SteeringCase): Steering | null {
  const { iteration, dirtyBytesPerSecond: dirty } = flight.last;
  const { bytesPerSecond: rate } = flight;
  const most = terms.limits?.bandwidthBytesPerSecondMax ?? 0;
  if (dirty === undefined || rate === null || iteration < STEER.iterationMin - 1) return null;
  if (!isCool(done.spedUpAtMs, nowMs, STEER.cooldownMs)) return null;
  const wanted = Math.min(most, Math.ceil(dirty / STEER.wantedRatio));
  const isCapped = rate >= STEER.cappedRatio * done.bandwidthBytesPerSecond;
  const isOutrun = dirty >= STEER.outrunRatio * rate;
  const helps = dirty < STEER.outrunRatio * wanted;
  if (!isCapped || !isOutrun || !helps || wanted < STEER.raiseRatioMin * done.bandwidthBytesPerSecond) return null;
  return {
    action: "set-bandwidth",
    bytesPerSecond: wanted,
    reason: `${mib(dirty)} are dirtied a second and ${mib(rate)} sent; of ${mib(most)} allowed, ${mib(wanted)} let it converge.`,
  };
}

/** Shortly before the deadline: what would be cancelled then is let end within the downtime that was approved. */
function lastChance(of: SteeringCase): Steering | null {
  const { flight, terms, done, nowMs } = of;
  const { deadlineMs } = terms.parameters;
  if (nowMs < STEER.lastChanceRatio * deadlineMs || flight.starts.length === 0) return null;
  const implied = impliedMs(flight);
  const raised = raiseTo(of, implied * (1 + STALL.marginRatio));
  if (implied > downtimeMsMaxOf(terms.limits) || raised <= done.downtimeLimitMs) return null;
  const reason = `${seconds(deadlineMs - nowMs)} are left of its deadline, and what is pending takes ${ms(implied)}.`;
  return { action: "set-downtime", downtimeLimitMs: raised, reason };
}

/** After a raise it is given one more progress timeout. */
function ifStalled(of: SteeringCase): Steering | null {
  const { flight, done, nowMs } = of;
  if (!isCool(done.raisedAtMs, nowMs, STALL.progressTimeoutMs)) return null;
  const stall = stallOf(flight.starts, nowMs);
  return stall === null ? null : onStall(of, stall);
}

/** Up to the limit in seven steps, while the rounds do not shrink and the limit is not out of reach (VEP 291). */
function ramp(of: SteeringCase): Steering | null {
  const { flight, terms, done, nowMs } = of;
  const latest = flight.starts.at(-1);
  if (latest === undefined || latest.iteration < STEER.iterationMin) return null;
  if (!isCool(done.raisedAtMs, nowMs, STEER.cooldownMs)) return null;
  const least = Math.min(...flight.starts.slice(0, -1).map(({ remainingBytes }) => remainingBytes));
  if (latest.remainingBytes < STEER.shrinkingRatio * least) return null;
  const max = downtimeMsMaxOf(terms.limits);
  const implied = impliedMs(flight);
  if (implied >= STALL.precopyPossibleFactor * max) return null;
  const step = (max - terms.parameters.downtimeLimitMs) / STEER.rampSteps;
  const raised = raiseTo(of, done.downtimeLimitMs + Math.max(1, step));
  if (raised <= done.downtimeLimitMs) return null;
  const reason = `Iteration ${latest.iteration} began with ${mib(latest.remainingBytes)}, no less than before; ${ms(implied)} are implied.`;
  return { action: "set-downtime", downtimeLimitMs: raised, reason };
}
