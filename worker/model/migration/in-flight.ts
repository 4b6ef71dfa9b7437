// A running migration: how much longer, whether it will converge, and what is best done. Pure, so that agent and edge agree.
import { z } from "zod";
import type { MigrationLimits, MigrationParameters } from "../wire/command.ts";
import type { Mechanism } from "../wire/common.ts";
import type { Progress } from "../wire/event.ts";
import { draws } from "./draws.ts";
import { dirtyLnSd, flightCurve, restOfRounds } from "./in-flight-rounds.ts";
import type { RestOfRounds } from "./in-flight-rounds.ts";
import { PLAIN_WIRE_PER_BYTE, observe, postCopyBytesPerSecond } from "./in-flight-seen.ts";
import type { Seen } from "./in-flight-seen.ts";
import { STALL, downtimeMsMaxOf, stallOf } from "./in-flight-rules.ts";
import type { Stall } from "./in-flight-rules.ts";
import { atDeadline, mayPostCopy, nothingSteered, onStall } from "./steering.ts";
import type { Steering, SteeringCase } from "./steering.ts";
import { quantiles } from "./quantiles.ts";
import { mib } from "./resolve.ts";
import { quantity } from "./types.ts";
import type { MechanismEstimate, Quantity } from "./types.ts";
import { ms, percent, seconds } from "./words.ts";

export const inFlightForecast = z
  .strictObject({
    /** From the moment of the forecast; null: nothing is known of it yet. */
    remainingMs: quantity.nullable(),
    totalMs: quantity.nullable(),
    /** That it switches over by itself before its deadline. */
    convergenceProbability: z.number().min(0).max(1),
    /** What is best done, within what was approved; `continue`: nothing. */
    directive: z.enum(["continue", "set-downtime", "start-post-copy", "cancel"]),
    /** With `set-downtime`: the new downtime-limit. */
    downtimeLimitMs: z.int().optional(),
    reason: z.string(),
    /** It has not got on for the progress timeout. */
    stalled: z.boolean(),
  })
  .meta({ id: "InFlightForecast" });
export type InFlightForecast = z.infer<typeof inFlightForecast>;

export type InFlightRun = {
  mechanism: Mechanism;
  /** As they are now: `downtimeLimitMs` after it was raised. */
  parameters: MigrationParameters;
  /** What was approved; without it post-copy is not permitted. */
  limits?: MigrationLimits;
  predicted: MechanismEstimate;
  /** When the downtime-limit was last raised, on the clock of `elapsedMs`: it is given one more progress timeout. */
  raisedAtMs?: number;
  /** Used cores / vCPUs, for what auto-converge can take from the guest; absent: anything from a tenth to all. */
  cpuRatio?: number;
};

type Directive = Pick<InFlightForecast, "directive" | "downtimeLimitMs" | "reason">;
type Rest = { remainingMs: Quantity | null; convergenceProbability: number };
type Situation = { seen: Seen; run: InFlightRun; nowMs: number; stall: Stall | null; rest: Rest };

/** So improbable that something is done about it before it has stalled; and what a raised limit must promise. */
const HOPELESS = { below: 0.1, windows: 2, raisedTo: 0.5 };
/** The rate of a running migration: 100 ms windows scatter, means hardly do. */
const RATE_LN_SD = 0.05;

/**
 * The models of this folder, brought up to date by progress: throughput by EWMA, U(t) by what each round dirtied, the rounds to
 * come from where it is, over the same draws as an estimate. `history` in order, `nowMs` on the clock of its `elapsedMs`
 * (absent: its last moment). Null: nothing was heard yet.
 */
export function forecastInFlight(
  history: readonly Progress[],
  run: InFlightRun,
  nowMs?: number,
): InFlightForecast | null {
  const [first, ...others] = history;
  if (first === undefined) return null;
  const seen = observe([first, ...others], run);
  const now = Math.max(seen.last.elapsedMs, nowMs ?? 0);
  const rest = since(restOf(seen, run, run.parameters.downtimeLimitMs), now - seen.last.elapsedMs);
  const stall = seen.last.phase === "pre-copy" ? stallOf(seen.starts, now) : null;
  const { remainingMs } = rest;
  return {
    remainingMs,
    totalMs: remainingMs && shifted(remainingMs, now),
    convergenceProbability: rest.convergenceProbability,
    ...directiveFor({ seen, run, nowMs: now, stall, rest }),
    stalled: stall !== null,
  };
}

function since({ remainingMs, ...rest }: Rest, agoMs: number): Rest {
  return { ...rest, remainingMs: remainingMs && shifted(remainingMs, -agoMs) };
}

function shifted({ p10, p50, p90 }: Quantity, byMs: number): Quantity {
  const by = (value: number) => Math.max(0, value + byMs);
  return { p10: by(p10), p50: by(p50), p90: by(p90) };
}

/** What is left after the last look, with this downtime-limit. */
function restOf(seen: Seen, run: InFlightRun, downtimeLimitMs: number): Rest {
  const { last, windows } = seen;
  const { predicted, mechanism } = run;
  const isEnding = last.phase === "switchover" || last.phase === "post-copy";
  if (isEnding && last.remainingBytes === 0)
    return { remainingMs: { p10: 0, p50: 0, p90: 0 }, convergenceProbability: 1 };
  if (isEnding) return ending(seen, run);
  if (last.phase === "setup" || mechanism === "post-copy")
    return {
      remainingMs: shifted(predicted.totalMs, -last.elapsedMs),
      convergenceProbability: predicted.convergenceProbability,
    };
  if (last.iteration <= 1 && windows.length === 0) return firstRound(seen, run);
  return inRounds(seen, run, downtimeLimitMs);
}

/**
 * Bytes on the wire of what is pending and may be zero pages in part: what was predicted and is not sent yet. Near its end, or
 * beyond, what was predicted is known to be wrong by its own spread only: the mean of what is left then, never more than all.
 */
function untilSent(predictedBytes: number, spreadBytes: number, { last }: Seen): number {
  const left = predictedBytes - last.transferredBytes;
  const rest = spreadBytes > 0 ? spreadBytes * softplus(left / spreadBytes) : Math.max(0, left);
  return Math.min(rest, last.remainingBytes * PLAIN_WIRE_PER_BYTE);
}

function softplus(x: number): number {
  return x > 30 ? x : Math.log1p(Math.exp(x));
}

function spreadOf({ p10, p90 }: Quantity): number {
  return (p90 - p10) / 2.56;
}

/** Stopped, or running at the destination: what is pending is sent once. */
function ending(seen: Seen, { mechanism, predicted }: InFlightRun): Rest {
  const { last, bytesPerSecond } = seen;
  if (bytesPerSecond === null) return { remainingMs: null, convergenceProbability: 1 };
  const isWhole = mechanism === "post-copy" || mechanism === "stop-and-copy";
  const { transferredBytes: all } = predicted;
  const spread = isWhole ? spreadOf(all) : 0;
  const bytes = isWhole ? untilSent(all.p50, spread, seen) : last.remainingBytes * PLAIN_WIRE_PER_BYTE;
  const values = draws.map(({ normal }) => {
    const rest = Math.max(0, Math.min(last.remainingBytes * PLAIN_WIRE_PER_BYTE, bytes + spread * normal.nonzero));
    return ((rest * 1000) / bytesPerSecond) * Math.exp(RATE_LN_SD * normal.link);
  });
  return { remainingMs: quantiles(values, 0), convergenceProbability: 1 };
}

/** Nothing is known of the dirtying yet but the prediction: it holds, from where the first round will have ended. */
function firstRound(seen: Seen, { predicted, parameters }: InFlightRun): Rest {
  const { last, bytesPerSecond } = seen;
  const { totalMs, transferredBytes, rounds, convergenceProbability, phases } = predicted;
  const rate = bytesPerSecond ?? parameters.maxBandwidthBytesPerSecond;
  const [round] = rounds;
  const setupMs = phases.find(({ name }) => name === "setup")?.durationMs.p50 ?? 0;
  const laterMs = Math.max(0, totalMs.p50 - setupMs - (round?.durationMs ?? 0));
  const restBytes = untilSent(round?.bytes ?? transferredBytes.p50, spreadOf(transferredBytes), seen);
  const middle = (restBytes * 1000) / rate + laterMs;
  const share = last.totalBytes === undefined ? 1 : last.remainingBytes / last.totalBytes;
  const unsure = 0.5 + 0.5 * share;
  const at = (quantile: number) => Math.max(0, middle + unsure * (quantile - totalMs.p50));
  return { remainingMs: { p10: at(totalMs.p10), p50: at(totalMs.p50), p90: at(totalMs.p90) }, convergenceProbability };
}

function inRounds(seen: Seen, run: InFlightRun, downtimeLimitMs: number): Rest {
  const { parameters, mechanism, cpuRatio } = run;
  const rate = seen.bytesPerSecond ?? parameters.maxBandwidthBytesPerSecond;
  const curve = flightCurve(seen, run);
  const lnSd = dirtyLnSd(seen);
  const isHybrid = mechanism === "hybrid";
  const startMs = (isHybrid ? parameters.postCopyAfterMs : null) ?? Number.POSITIVE_INFINITY;
  const limit = {
    iterations: isHybrid ? parameters.preCopyRounds : Number.POSITIVE_INFINITY,
    untilMs: Math.max(0, Math.min(parameters.deadlineMs, startMs) - seen.last.elapsedMs),
  };
  let converged = 0;
  const values = draws.map((scores) => {
    const scale = Math.exp(lnSd * scores.normal.dirty);
    const bytesPerSecond = rate * Math.exp(RATE_LN_SD * scores.normal.link);
    const pace = {
      bytesPerSecond,
      dirtied: (windowMs: number) => scale * curve(windowMs),
      downtimeLimitMs,
      autoConverge: parameters.autoConverge,
      cpuRatio: cpuRatio ?? 0.1 + 0.9 * scores.scatter,
    };
    const rounds = restOfRounds(seen, pace, scores, limit);
    if (rounds.stop !== "time" || startMs < parameters.deadlineMs) converged += 1;
    return rounds.durationMs + afterRoundsMs(run, rounds, bytesPerSecond, startMs);
  });
  return { remainingMs: quantiles(values, 0), convergenceProbability: converged / draws.length };
}

function afterRoundsMs(
  { parameters, mechanism, predicted }: InFlightRun,
  { pendingBytes, stop }: RestOfRounds,
  bytesPerSecond: number,
  startMs: number,
): number {
  const downtimeMs = predicted.downtimeMs?.p50 ?? 0;
  if (stop === "threshold") return downtimeMs;
  const atDeadline = stop === "time" && parameters.deadlineMs <= startMs;
  if (atDeadline && parameters.onDeadline === "cancel") return 0;
  if (atDeadline && parameters.onDeadline === "force") return (pendingBytes * 1000) / bytesPerSecond;
  const isExpected = mechanism === "hybrid" || parameters.onDeadline === "post-copy";
  return isExpected ? downtimeMs + (pendingBytes * 1000) / (postCopyBytesPerSecond(predicted) ?? bytesPerSecond) : 0;
}

const carryOn = (reason: string): Directive => ({ directive: "continue", reason });

function directiveFor(situation: Situation): Directive {
  const { seen, run, nowMs, stall, rest } = situation;
  const { parameters } = run;
  if (seen.last.phase === "post-copy")
    return carryOn(`Past the point of no return, with ${mib(seen.last.remainingBytes)} still to come.`);
  if (seen.last.phase !== "pre-copy" || run.mechanism === "stop-and-copy" || run.mechanism === "post-copy")
    return carryOn(`There is nothing to steer in ${seen.last.phase} after ${seconds(nowMs)}.`);
  if (nowMs >= parameters.deadlineMs) return toDirective(atDeadline(caseOf(situation)));
  if (run.raisedAtMs !== undefined && nowMs - run.raisedAtMs < STALL.progressTimeoutMs)
    return carryOn(`The downtime-limit was raised to ${ms(parameters.downtimeLimitMs)} less than a minute ago.`);
  if (stall !== null) return toDirective(onStall(caseOf(situation), stall));
  const isHopeless = rest.convergenceProbability < HOPELESS.below && seen.windows.length >= HOPELESS.windows;
  return isHopeless ? beforeStall(situation) : carryOn(outlook(situation));
}

function outlook({ seen, rest, run }: Situation): string {
  const chance = `It converges before its deadline of ${seconds(run.parameters.deadlineMs)} in ${percent(rest.convergenceProbability)} of the cases`;
  return `${chance}; ${mib(seen.last.remainingBytes)} are pending in iteration ${seen.last.iteration}.`;
}

/** As the agent sees it; the edge knows of what was done only what `run` says. */
function caseOf({ seen, run, nowMs }: Situation): SteeringCase {
  const { raisedAtMs = null } = run;
  return { flight: seen, terms: run, done: { ...nothingSteered(run), raisedAtMs }, nowMs };
}

function toDirective(steering: Steering): Directive {
  switch (steering.action) {
    case "set-downtime":
      return {
        directive: "set-downtime",
        downtimeLimitMs: steering.downtimeLimitMs,
        reason: steering.reason,
      };
    case "start-post-copy":
    case "cancel":
      return { directive: steering.action, reason: steering.reason };
    // What the agent does by itself.
    case "wait":
    case "set-bandwidth":
    case "force-switchover":
      return carryOn(steering.reason);
  }
}

/** It will not converge as it is: the least limit of a ladder with which it probably does, else post-copy. */
function beforeStall(situation: Situation): Directive {
  const { seen, run, rest } = situation;
  const max = Math.floor(downtimeMsMaxOf(run.limits));
  const why = `It converges in ${percent(rest.convergenceProbability)} of the cases with a downtime-limit of ${ms(run.parameters.downtimeLimitMs)}`;
  for (const limit of [Math.floor(max / 4), Math.floor(max / 2), max]) {
    if (limit <= run.parameters.downtimeLimitMs) continue;
    const chance = restOf(seen, run, limit).convergenceProbability;
    if (chance < HOPELESS.raisedTo) continue;
    const reason = `${why}, in ${percent(chance)} with ${ms(limit)}.`;
    return { directive: "set-downtime", downtimeLimitMs: limit, reason };
  }
  if (mayPostCopy(caseOf(situation)))
    return { directive: "start-post-copy", reason: `${why}, nor with the ${ms(max)} allowed.` };
  return carryOn(`${why}, nor with the ${ms(max)} allowed; it has not stalled yet.`);
}
