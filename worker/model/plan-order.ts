// In which order the runs of an approved plan are made and begin: wave by wave, a wave when the one before has ended.
import { isEnded } from "./lifecycle.ts";
import type { Move } from "./placement/types.ts";
import type { Plan } from "./plan.ts";
import type { PlanContext } from "./revalidation.ts";
import type { MigrationRun, NewRun } from "./run.ts";

/** The moves whose runs are made at once: of a VM that is moved twice, to make room for a time, the first. */
export const firstHops = (moves: readonly Move[]): Move[] =>
  moves.filter((move, index) => moves.findIndex(({ vm }) => vm === move.vm) === index);

/** The numbers of a move and of those that take its VM on from there: without it they have nothing to begin with. */
export function withLaterHops(moves: readonly Move[], n: number): number[] {
  const vm = moves.find((move) => move.n === n)?.vm;
  return moves.filter((move) => move.vm === vm && move.n >= n).map((move) => move.n);
}

/** The run of a move. */
export const runOf = (plan: Plan, move: Move, migrationId: string, createdAt: number): NewRun => ({
  migrationId,
  cluster: plan.content.cluster,
  planId: plan.planId,
  moveNumber: move.n,
  vmUuid: move.vm,
  vmName: move.vmName,
  fromHostId: move.fromHostId,
  toHostId: move.toHostId,
  mechanism: move.mechanism,
  parameters: move.parameters,
  limits: move.limits,
  predicted: move.estimate,
  createdAt,
});

/** The move that takes the VM on once this run has completed; null: there is none, or the plan has been stopped. */
export function hopAfter(
  ended: MigrationRun,
  { state: planState, content, skipped }: Plan,
  runs: readonly MigrationRun[],
): Move | null {
  if (planState === "cancelled" || runs.some(({ state }) => state === "failed")) return null;
  const made = new Set(runs.map(({ moveNumber }) => moveNumber));
  const next = content.moves.find(({ vm, n }) => vm === ended.vmUuid && n > ended.moveNumber);
  return next === undefined || skipped.includes(next.n) || made.has(next.n) ? null : next;
}

/**
 * Whether a queued run may begin: every move of earlier waves has ended or was left out, those before it in its own wave have
 * begun, and none is lost. Each then begins in a state that was judged feasible.
 */
export function isTurnOf(run: MigrationRun, { content, skipped }: Plan, siblings: readonly MigrationRun[]): boolean {
  if (siblings.some(({ state }) => state === "lost")) return false;
  const runs = new Map(siblings.map((sibling) => [sibling.moveNumber, sibling]));
  const wave = waveOf(content.moves, run.moveNumber);
  return content.moves.every((move) => {
    if (move.n >= run.moveNumber || skipped.includes(move.n)) return true;
    const state = runs.get(move.n)?.state;
    // A second hop whose first has failed or was cancelled is never made.
    if (state === undefined) return isGivenUp(move, content.moves, runs);
    return move.wave < wave ? isEnded(state) : state !== "queued";
  });
}

const waveOf = (moves: readonly Move[], n: number): number => moves.find((move) => move.n === n)?.wave ?? 1;

function isGivenUp(move: Move, moves: readonly Move[], runs: ReadonlyMap<number, MigrationRun>): boolean {
  const before = moves.findLast(({ vm, n }) => vm === move.vm && n < move.n);
  const state = before === undefined ? undefined : runs.get(before.n)?.state;
  return state !== undefined && isEnded(state) && state !== "completed";
}

/** What else of the plan bears on a move when it is validated again. */
export function contextOf(moveNumber: number, { content: { moves } }: Plan): Omit<PlanContext, "othersRunning"> {
  const move = moves.find(({ n }) => n === moveNumber);
  if (move === undefined) return { isSecondHop: false, hasMates: false };
  return {
    isSecondHop: moves.some(({ vm, n }) => vm === move.vm && n < moveNumber),
    hasMates: moves.some(({ vm, gain }) => vm !== move.vm && gain.bundle === move.gain.bundle),
  };
}
