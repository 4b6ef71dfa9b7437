// What to do about a running migration: the rules that agent and edge share. Defaults from oVirt's convergence schedule
// (VEP 248).
import type { Mechanism } from "../wire/common.ts";
import type { MigrationLimits, MigrationParameters } from "../wire/command.ts";

/** What is pending at the beginning of an iteration, right after its bitmap sync. */
export type IterationStart = { iteration: number; atMs: number; remainingBytes: number };

export const STALL = {
  /** Without a new least remaining for that long a migration is stalled. */
  progressTimeoutMs: 60_000,
  /** Less is noise. */
  marginRatio: 0.04,
  /** How much shorter each wait for a local minimum is than the one before. */
  patienceDecay: 0.5,
  patienceMsMin: 1000,
  /** Where nothing was approved. */
  downtimeMsMax: 900,
  /** An implied downtime that many times too long is beyond what waiting mends. */
  precopyPossibleFactor: 1.5,
};

export type Stall = {
  sinceMs: number;
  /** The least that was ever pending, and what counts as a local minimum by now. */
  bestBytes: number;
  targetBytes: number;
  atMinimum: boolean;
};

/**
 * Stalled: at the beginning of the latest iteration at least as much was pending, but for the margin, as at the best one that
 * is older than the progress timeout. What is done about it waits for a local minimum; the longer the stall, the more counts
 * as one: after 60 s the second best, after 30 s more the third. Null: it gets on.
 */
export function stallOf(starts: readonly IterationStart[], nowMs: number): Stall | null {
  const stalled = starts.map(({ atMs, remainingBytes }) => {
    const older = starts.filter((before) => before.atMs <= atMs - STALL.progressTimeoutMs);
    const best = Math.min(...older.map((before) => before.remainingBytes));
    return remainingBytes >= (1 - STALL.marginRatio) * best;
  });
  const latest = starts.at(-1);
  if (latest === undefined || stalled.at(-1) !== true) return null;
  const since = starts[stalled.lastIndexOf(false) + 1] ?? latest;
  const lows = [...new Set(starts.map(({ remainingBytes }) => remainingBytes))].toSorted((a, b) => a - b);
  const bestBytes = lows[0] ?? 0;
  const relaxed = lows[Math.min(relaxations(nowMs - since.atMs), lows.length - 1)] ?? bestBytes;
  const targetBytes = relaxed * (1 + STALL.marginRatio);
  return { sinceMs: since.atMs, bestBytes, targetBytes, atMinimum: latest.remainingBytes <= targetBytes };
}

function relaxations(waitedMs: number): number {
  let patienceMs = STALL.progressTimeoutMs;
  let leftMs = waitedMs;
  let times = 0;
  for (; leftMs >= patienceMs; times++) {
    leftMs -= patienceMs;
    patienceMs = Math.max(STALL.patienceMsMin, patienceMs * STALL.patienceDecay);
  }
  return times;
}

/** The approved blackout, or the default where nothing was said. */
export function downtimeMsMaxOf(limits: MigrationLimits | undefined): number {
  return limits?.downtimeMsMax ?? STALL.downtimeMsMax;
}

/** Post-copy safety gate (VEP 248): what is pending must be through within twice the deadline. */
export function fitsPostCopy(remainingMs: number, elapsedMs: number, { deadlineMs }: MigrationParameters): boolean {
  return remainingMs <= 2 * deadlineMs - elapsedMs;
}

/** Whether both sides were set up for post-copy at the start: afterwards the hypervisor refuses to change that. */
export function isPreparedForPostCopy({
  mechanism,
  parameters,
}: {
  mechanism: Mechanism;
  parameters: Pick<MigrationParameters, "postCopyAfterMs" | "onDeadline">;
}): boolean {
  if (mechanism === "post-copy" || mechanism === "hybrid") return true;
  return parameters.postCopyAfterMs !== null || parameters.onDeadline === "post-copy";
}

/** What the command says of its deadline; where post-copy is wanted and not permitted, it is cancelled. */
export function deadlineAction(
  { onDeadline }: Pick<MigrationParameters, "onDeadline">,
  postCopyPermitted: boolean,
): "force" | "start-post-copy" | "cancel" {
  if (onDeadline === "force") return "force";
  return onDeadline === "post-copy" && postCopyPermitted ? "start-post-copy" : "cancel";
}
