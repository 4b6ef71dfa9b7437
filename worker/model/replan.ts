// What of a new plan lies within the approval of the one whose rest it plans.
import type { Plan } from "./plan.ts";
import type { Move } from "./placement/types.ts";
import type { MigrationRun } from "./run.ts";

/** A move that was not approved, and why it was not. */
export type Beyond = { n: number; why: string };

/**
 * The moves of a new plan that its approval does not cover: another VM, host or mechanism, a longer blackout, more bandwidth,
 * post-copy that was not permitted, what had been left out, what was done already, and what has just failed.
 */
export function beyondApproval(moves: readonly Move[], approved: Plan, runs: readonly MigrationRun[]): Beyond[] {
  return moves.flatMap((move) => {
    const why = whyBeyond(move, approved, runs);
    return why === null ? [] : [{ n: move.n, why }];
  });
}

function whyBeyond(move: Move, { content, skipped }: Plan, runs: readonly MigrationRun[]): string | null {
  const same = content.moves.find(
    ({ vm, fromHostId, toHostId, mechanism }) =>
      vm === move.vm && fromHostId === move.fromHostId && toHostId === move.toHostId && mechanism === move.mechanism,
  );
  if (same === undefined) return "no move of this VM between these hosts by this mechanism was approved";
  if (skipped.includes(same.n)) return `move ${same.n} was left out by hand`;
  const state = runs.find(({ moveNumber }) => moveNumber === same.n)?.state;
  if (state === "failed") return `move ${same.n} has failed just so`;
  if (state === "completed") return `move ${same.n} was made already`;
  const { limits, parameters } = same;
  if (move.limits.downtimeMsMax > limits.downtimeMsMax)
    return `a blackout of up to ${move.limits.downtimeMsMax} ms, where ${limits.downtimeMsMax} were approved`;
  if (move.limits.bandwidthBytesPerSecondMax > limits.bandwidthBytesPerSecondMax)
    return `up to ${move.limits.bandwidthBytesPerSecondMax} bytes/s, where ${limits.bandwidthBytesPerSecondMax} were approved`;
  if (move.limits.postCopyPermitted && !limits.postCopyPermitted) return "post-copy, which was not approved";
  if (move.parameters.deadlineMs > parameters.deadlineMs)
    return `a deadline of ${move.parameters.deadlineMs} ms, where ${parameters.deadlineMs} were approved`;
  return null;
}
