// A first placement, long before the search proper has looked at every host: what there is to answer with where the budget ends soon.
import type { Limits } from "./exchange.ts";
import { steepestFrom } from "./greedy.ts";
import { makeMove } from "./state.ts";
import type { SearchState } from "./state.ts";

/** A host is compared with so few others, and gives so many VMs. */
const PARTNERS = 4;
const MOVES_PER_HOST = 4;
/** Of the moves that there may be: where they are few the search chooses them better. */
const MOVES_SHARE = 0.25;

/**
 * The most unbalanced host first, each gives the VMs that gain most a byte with one of its best partners. One pass over the
 * hosts: under a hundredth of what the search weighs. `made` is called after each move.
 */
export function sketch(state: SearchState, limits: Limits, gainPerByteMin: number, made: () => void): void {
  const { skew } = state;
  const movesMax = Math.ceil(MOVES_SHARE * limits.movesMax);
  const order = Array.from({ length: state.hosts }, (_, host) => host).sort(
    (a, b) => (skew[b] ?? 0) - (skew[a] ?? 0) || a - b,
  );
  for (const host of order)
    for (let moves = 0; moves < MOVES_PER_HOST; moves++) {
      const { vm, to } = steepestFrom(state, host, limits, gainPerByteMin, PARTNERS);
      // A look that was cut short may have missed the best: a larger budget would go another way.
      if (limits.evaluationsLeft <= 0) return;
      if (vm < 0) break;
      if (state.movedVms >= movesMax) return;
      makeMove(state, vm, to);
      made();
    }
}
