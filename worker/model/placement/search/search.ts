// Balancing as a search: what a byte must gain falls step by step, so that the moves which even out most for their bytes are
// made first; once the cluster is even enough, needless moves are taken back and dear ones exchanged for cheaper ones. The
// way is the same for every budget and the answer is the best placement on it: a larger budget never gives a worse one.
import { imbalanceBound } from "./bound.ts";
import { descend } from "./descent.ts";
import type { Limits } from "./exchange.ts";
import { climb } from "./greedy.ts";
import { kick, random } from "./kick.ts";
import { imbalanceOf, rollBack, stateOf, totalAt } from "./state.ts";
import type { SearchState } from "./state.ts";
import { returnHome } from "./trim.ts";
import { SEARCH_DEFAULTS } from "./types.ts";
import type { FoundMove, SearchInput, SearchOptions, SearchResult } from "./types.ts";

/** By what the price of a byte falls from step to step, and how often before it is nothing. */
const PRICE_STEP = 0.5;
const PRICE_STEPS = 16;

/** The best placement so far: where it is in the journal, what it leaves unbalanced, what it costs. */
type Best = { length: number; total: number; movedBytes: number };

export type Search = {
  state: SearchState;
  options: SearchOptions;
  limits: Limits;
  /** Squared imbalance that may remain. */
  target: number;
  best: Best;
};

/**
 * Evens out the hosts' loads with few bytes moved: less imbalance first, down to the share that may remain, then fewer
 * bytes. Breaks no limit and no rule that `input` states, whatever the start breaks already. The same input and options give
 * the same answer.
 */
export function searchBalance(input: SearchInput, stated: Partial<SearchOptions> = {}): SearchResult {
  const options = { ...SEARCH_DEFAULTS, ...stated };
  const state = stateOf(input);
  const imbalanceBefore = imbalanceOf(state);
  const bound = Math.min(imbalanceBefore, imbalanceBound(input));
  const { evaluationsMax, movedBytesMax, movesMax, remainRatio } = options;
  const search: Search = {
    state,
    options,
    target: totalAt(state, bound + remainRatio * (imbalanceBefore - bound)),
    limits: {
      pricePerByte: 0,
      cheapestBytes: cheapestOf(state),
      movedBytesMax,
      movesMax,
      evaluationsLeft: evaluationsMax,
    },
    best: { length: 0, total: state.total, movedBytes: 0 },
  };
  lowerPrices(search);
  refine(search);
  rollBack(state, search.best.length);
  return {
    hostOf: state.hostOf,
    moves: movesOf(state),
    imbalanceBefore,
    imbalance: imbalanceOf(state),
    bound,
    movedBytes: state.movedBytes,
    evaluations: evaluationsMax - search.limits.evaluationsLeft,
    cutShort: search.limits.evaluationsLeft <= 0,
  };
}

function cheapestOf({ input, moveBytes }: SearchState): number {
  let least = Infinity;
  for (let vm = 0; vm < moveBytes.length; vm++)
    if (input.movable[vm] !== 0) least = Math.min(least, moveBytes[vm] ?? 0);
  return Number.isFinite(least) ? least : 0;
}

/** Remembers the placement of the moment if it is the best so far. */
export function note({ state, target, best }: Search): boolean {
  const left = Math.max(state.total, target);
  const bestLeft = Math.max(best.total, target);
  if (left > bestLeft || (left === bestLeft && state.movedBytes >= best.movedBytes)) return false;
  best.length = state.journal.length;
  best.total = state.total;
  best.movedBytes = state.movedBytes;
  return true;
}

/** The steepest moves one by one, then whatever pays, at ever lower prices, until the cluster is even enough. */
function lowerPrices(search: Search): void {
  const { state, limits, target } = search;
  const done = (): boolean => {
    note(search);
    return state.total <= target;
  };
  const first = climb(state, limits, 0, () => {
    note(search);
    return true;
  });
  limits.pricePerByte = first * PRICE_STEP;
  for (let step = 0; step <= PRICE_STEPS && state.total > target && limits.evaluationsLeft > 0; step++) {
    climb(state, limits, limits.pricePerByte, done);
    descend(state, limits, done);
    limits.pricePerByte *= step === PRICE_STEPS - 1 ? 0 : PRICE_STEP;
  }
}

/** Takes needless moves back; then perturbs, descends again and keeps what is better, until nothing is for long. */
function refine(search: Search): void {
  const { state, limits, target, best, options } = search;
  const draw = random(options.seed);
  const done = (): boolean => {
    note(search);
    return state.total <= target;
  };
  const trim = (): void => returnHome(state, limits, Math.max(target, best.total), () => note(search));
  trim();
  for (let failed = 0; failed < options.kicksMax && limits.evaluationsLeft > 0; failed++) {
    rollBack(state, best.length);
    const touched = kick(state, limits, draw, state.total <= target);
    if (touched.length === 0) continue;
    const before = best.length;
    const { total, movedBytes } = best;
    descend(state, limits, done, touched);
    trim();
    if (best.length !== before || best.total !== total || best.movedBytes !== movedBytes) failed = -1;
  }
}

function movesOf({ input, hostOf }: SearchState): FoundMove[] {
  const moves: FoundMove[] = [];
  for (let vm = 0; vm < hostOf.length; vm++) {
    const from = input.hostOf[vm] ?? 0;
    const to = hostOf[vm] ?? 0;
    if (from !== to) moves.push({ vm, from, to });
  }
  return moves;
}
