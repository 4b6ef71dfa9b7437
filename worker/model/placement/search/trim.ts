// Taking needless moves back: what was moved early may not be needed once everything else is in place.
import { mayRun } from "./exchange.ts";
import type { Limits } from "./exchange.ts";
import { makeMove, skewChange } from "./state.ts";
import type { SearchState } from "./state.ts";

/**
 * Returns moved VMs to where they were, the dearest first, as long as the squared imbalance stays within `totalMax`, or
 * rises by less than their bytes have cost; `made` is called after each. Looks at the hosts that the journal has from `since` on.
 */
export function returnHome(
  state: SearchState,
  limits: Limits,
  totalMax: number,
  since: number,
  made: () => void,
): void {
  const { input, hostOf, moveBytes, residents, journal } = state;
  const hosts = new Set<number>();
  for (let at = since; at < journal.length; at++) {
    const move = journal[at];
    if (move !== undefined) hosts.add(move.from).add(move.to);
  }
  const away = [...hosts]
    .flatMap((host) => residents[host] ?? [])
    .filter((vm) => hostOf[vm] !== input.hostOf[vm])
    .toSorted((a, b) => (moveBytes[b] ?? 0) - (moveBytes[a] ?? 0) || a - b);
  for (const vm of away) {
    if (limits.evaluationsLeft-- <= 0) return;
    const home = input.hostOf[vm] ?? 0;
    const change = skewChange(state, vm, home, 1) - (state.leaving[vm] ?? 0);
    const isPaid = limits.pricePerByte > 0 && change <= limits.pricePerByte * (moveBytes[vm] ?? 0);
    if ((state.total + change > totalMax && !isPaid) || !mayRun(state, vm, home, -1)) continue;
    makeMove(state, vm, home);
    made();
  }
}
