// Draining: a host is emptied wholly or not at all, and only if that pays.
import { begin, type Trial, undo } from "./trial.ts";
import { bestHost, type PlannedHost, put, shareOf, sizeOf, type State, wake, wattsWith } from "./state.ts";
import type { ConsolidationMove, NotDrained } from "./types.ts";

/**
 * Adds to the moves. The least efficient hosts first; of those the ones with the biggest VMs by memory, which find room only
 * while others have not taken it; of those the emptiest.
 */
export function drain(state: State, moves: ConsolidationMove[]): { emptied: number[]; notDrained: NotDrained[] } {
  const emptied: number[] = [];
  const notDrained: NotDrained[] = [];
  const sources = state.hosts
    .filter(({ on, woken, host, vms }) => on && !woken && host.closed !== true && vms.length > 0)
    .map((from) => ({ from, biggest: biggestOf(state, from), fullness: fullnessOf(from) }))
    .toSorted(
      (a, b) =>
        b.from.wattsPerVm - a.from.wattsPerVm ||
        b.biggest - a.biggest ||
        a.fullness - b.fullness ||
        a.from.index - b.from.index,
    );
  for (const { from } of sources) {
    if (from.gives || from.takes) continue;
    const planned = emptiedBy(state, from, state.parameters.movesMax - moves.length);
    if ("why" in planned) {
      notDrained.push(planned);
      continue;
    }
    moves.push(...planned);
    emptied.push(from.index);
  }
  return { emptied, notDrained };
}

const fullnessOf = ({ mean, heldBytes, host }: PlannedHost): number =>
  Math.max(shareOf(mean, host.cores), shareOf(heldBytes, host.memoryBytes));

const biggestOf = ({ input }: State, { vms, host }: PlannedHost): number =>
  Math.max(...vms.map((vm) => shareOf(input.vms[vm]?.memoryBytes ?? 0, host.memoryBytes)));

/** The moves, with the state as if they were made; or why none, with the state as it was. */
function emptiedBy(state: State, from: PlannedHost, movesLeft: number): ConsolidationMove[] | NotDrained {
  const held = holding(state, from, movesLeft);
  if (held !== null) return held;
  const trial = begin(from);
  const leaving = [...from.vms].toSorted((a, b) => sizeOf(state, b) - sizeOf(state, a) || a - b);
  for (const vm of leaving) {
    const to = bestHost(state, vm, from);
    if (to === null) {
      undo(state, trial);
      return { host: from.index, why: "no-room", vm };
    }
    trial.keep(to);
    put(state, vm, to);
    wake(to);
    to.takes = true;
  }
  const { savedWatts, joules } = worthOf(state, from, trial, leaving);
  const { horizonMs, wattsPerMoveMin } = state.parameters;
  const netJoules = (savedWatts * horizonMs) / 1000 - joules;
  if (netJoules < (leaving.length * wattsPerMoveMin * horizonMs) / 1000) {
    undo(state, trial);
    return { host: from.index, why: "not-worth", netJoules };
  }
  from.vms = [];
  [from.mean, from.variance, from.gives] = [0, 0, true];
  const reason = { kind: "drain" as const, savedWatts, netJoules };
  return leaving.map((vm) => ({ vm, from: from.index, to: state.placement[vm] ?? from.index, reason }));
}

function holding({ input, parameters }: State, from: PlannedHost, movesLeft: number): NotDrained | null {
  if (from.vms.length > movesLeft) return { host: from.index, why: "moves-max" };
  for (const vm of from.vms) {
    const seen = input.vms[vm];
    if (seen?.fixed === true) return { host: from.index, why: "fixed", vm };
    if (seen?.movedAgoMs !== undefined && seen.movedAgoMs < parameters.cooldownMs)
      return { host: from.index, why: "cooldown", vm };
  }
  return null;
}

/** What the emptied host stops drawing, less what its VMs draw where they go; and the price of moves and boots. */
function worthOf(state: State, from: PlannedHost, trial: Trial, leaving: readonly number[]) {
  let savedWatts = wattsWith(from, from.mean);
  let joules = leaving.reduce((sum, vm) => sum + (state.input.vms[vm]?.moveJoules ?? 0), 0);
  for (const [to, was] of trial.before) {
    savedWatts -= wattsWith(to, to.mean) - (was.on ? wattsWith(to, was.mean) : 0);
    if (!was.on) joules += to.host.bootJoules ?? 0;
  }
  return { savedWatts, joules };
}
