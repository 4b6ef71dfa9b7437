// Descent: the most unbalanced host first, the best exchange that it has, until no host has one that pays its bytes.
import { bestExchange, makeExchange } from "./exchange.ts";
import type { Limits } from "./exchange.ts";
import { findPartners } from "./partners.ts";
import type { SearchState } from "./state.ts";

/** Partners with which swaps are tried: each has a few hundred. */
const SWAP_PARTNERS = 8;

/** Exchanges until none gains; `done` is asked after each whether to stop. `only`: start from these hosts. */
export function descend(state: SearchState, limits: Limits, done: () => boolean, only?: readonly number[]): void {
  const worth = limits.pricePerByte * limits.cheapestBytes;
  let waiting = only ?? Array.from({ length: state.hosts }, (_, host) => host);
  while (waiting.length > 0 && limits.evaluationsLeft > 0) {
    const touched = new Set<number>();
    const queue = waiting.toSorted((a, b) => (state.skew[b] ?? 0) - (state.skew[a] ?? 0) || a - b);
    for (const host of queue) if (evenOut(state, host, worth, limits, touched, done)) return;
    waiting = [...touched];
  }
}

/** Exchanges of one host until none gains. True: the search is done. */
function evenOut(
  state: SearchState,
  host: number,
  worth: number,
  limits: Limits,
  touched: Set<number>,
  done: () => boolean,
): boolean {
  const { partners } = state.scratch;
  for (;;) {
    findPartners(state, host, worth, partners);
    let found = bestExchange(state, host, partners, 0, limits);
    if (found === null && limits.evaluationsLeft > 0) {
      partners.count = Math.min(partners.count, SWAP_PARTNERS);
      found = bestExchange(state, host, partners, SWAP_PARTNERS, limits);
    }
    // A look that was cut short may have missed the best: a larger budget would go another way.
    if (limits.evaluationsLeft <= 0) return true;
    if (found === null) return false;
    makeExchange(state, found);
    touched.add(host).add(found.partner);
    if (done()) return true;
  }
}
