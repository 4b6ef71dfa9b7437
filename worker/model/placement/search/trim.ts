// Taking needless moves back: what was moved early may not be needed once everything else is in place.
import { mayRun } from "./exchange.ts";
import type { Limits } from "./exchange.ts";
import { makeMove, skewChange } from "./state.ts";
import type { SearchState } from "./state.ts";

/** Returns moved VMs to where they were, the dearest first, as long as the squared imbalance stays within `totalMax`; `made` is called after each. */
export function returnHome(state: SearchState, limits: Limits, totalMax: number, made: () => void): void {
  const { input, hostOf, moveBytes } = state;
  const away = [...new Set(state.journal.map(({ vm }) => vm))]
    .filter((vm) => hostOf[vm] !== input.hostOf[vm])
    .toSorted((a, b) => (moveBytes[b] ?? 0) - (moveBytes[a] ?? 0) || a - b);
  for (const vm of away) {
    if (limits.evaluationsLeft-- <= 0) return;
    const home = input.hostOf[vm] ?? 0;
    const change = skewChange(state, vm, home, 1) - (state.leaving[vm] ?? 0);
    if (state.total + change > totalMax || !mayRun(state, vm, home, -1)) continue;
    makeMove(state, vm, home);
    made();
  }
}
