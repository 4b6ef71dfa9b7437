// Balancing as a search: what a byte must gain falls step by step, so that the moves which even out most for their bytes are
// made first; once the cluster is even enough, needless moves are taken back and dear ones exchanged for cheaper ones. The
// way is the same for every budget and the answer is the best placement on it: a larger budget never gives a worse one.
import { imbalanceBound } from "./bound.ts";
import { descend } from "./descent.ts";
import type { Limits } from "./exchange.ts";
import { climb } from "./greedy.ts";
import { randomOf } from "../../forecast/random.ts";
import { kick } from "./kick.ts";
import { imbalanceOf, makeMove, rollBack, stateOf, totalAt } from "./state.ts";
import type { SearchState } from "./state.ts";
import { sketch } from "./sketch.ts";
import { returnHome } from "./trim.ts";
import { SEARCH_DEFAULTS } from "./types.ts";
import type { FoundMove, SearchInput, SearchOptions, SearchResult } from "./types.ts";

/** By what the price of a byte falls from step to step, and how often before it is nothing. */
const PRICE_STEP = 0.35;
const PRICE_STEPS = 16;
/** After so many steps without a move the price falls to nothing at once. */
const IDLE_STEPS = 2;
/** Imbalances that differ by so little, squared, are the same: sums are floating point. */
const SAME_RATIO = 1e-9;
/** A perturbation that brings less than this share is no reason to try more of them. */
const KICK_RATIO = 0.001;

/**
 * The best placement so far: where it is in the journal, what it leaves unbalanced, what it costs. `sketched`: it is the
 * sketch's, made of these moves, and in no journal any more.
 */
type Best = { length: number; total: number; movedBytes: number; sketched: readonly FoundMove[] | null };

type Search = {
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
  const { evaluationsMax, movedBytesMax, movesMax, remainRatio, pricePerByte } = options;
  const search: Search = {
    state,
    options,
    target: totalAt(state, bound + remainRatio * (imbalanceBefore - bound)),
    limits: {
      pricePerByte,
      cheapestBytes: cheapestOf(state),
      movedBytesMax,
      movesMax,
      evaluationsLeft: evaluationsMax,
    },
    best: { length: 0, total: state.total, movedBytes: 0, sketched: null },
  };
  sketchFirst(search);
  lowerPrices(search);
  refine(search);
  takeBest(search);
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

/** The sketch, which is kept as the best until the search, which knows nothing of it, has found a better placement. */
function sketchFirst(search: Search): void {
  const { limits, best, options } = search;
  const state = stateOf(search.state.input);
  sketch(state, limits, options.pricePerByte, () => note({ ...search, state }));
  rollBack(state, best.length);
  best.sketched = best.length === 0 ? null : state.journal.slice();
  best.length = 0;
  rollBack(state, 0);
}

function takeBest({ state, best }: Search): void {
  rollBack(state, best.length);
  if (best.sketched === null) return;
  rollBack(state, 0);
  for (const { vm, to } of best.sketched) makeMove(state, vm, to);
  best.length = state.journal.length;
  best.sketched = null;
}

/**
 * Remembers the placement of the moment if it is the best so far: evener after its bytes are paid for, or as even for fewer
 * bytes.
 */
function note({ state, target, best, options: { pricePerByte } }: Search): void {
  const left = Math.max(state.total, target) + pricePerByte * state.movedBytes;
  const before = Math.max(best.total, target) + pricePerByte * best.movedBytes;
  const noise = SAME_RATIO * before;
  if (left > before + noise) return;
  if (left >= before - noise && state.movedBytes >= best.movedBytes) return;
  best.length = state.journal.length;
  best.total = state.total;
  best.movedBytes = state.movedBytes;
  best.sketched = null;
}

/** The steepest moves one by one, then whatever pays, at ever lower prices, until the cluster is even enough or a byte has its price. */
function lowerPrices(search: Search): void {
  const { state, limits, target } = search;
  const done = (): boolean => {
    note(search);
    return state.total <= target;
  };
  const one = (): boolean => {
    done();
    return true;
  };
  const least = search.options.pricePerByte;
  limits.pricePerByte = Math.max(least, climb(state, limits, least, one) * PRICE_STEP);
  for (let idle = 0, step = 1; state.total > target && limits.evaluationsLeft > 0; step++) {
    const { length } = state.journal;
    climb(state, limits, limits.pricePerByte, done);
    descend(state, limits, done);
    if (limits.pricePerByte === least) return;
    idle = state.journal.length === length ? idle + 1 : 0;
    const last = step >= PRICE_STEPS || idle >= IDLE_STEPS || isSpent(state, limits);
    limits.pricePerByte = last ? least : Math.max(least, limits.pricePerByte * PRICE_STEP);
  }
}

/** No VM more may leave its home: only what saves bytes or costs none is left. */
const isSpent = ({ movedBytes, movedVms }: SearchState, { cheapestBytes, movedBytesMax, movesMax }: Limits): boolean =>
  movedBytes + cheapestBytes > movedBytesMax || movedVms >= movesMax;

/** Takes needless moves back; then perturbs, descends again and keeps what is better, until nothing is for long. */
function refine(search: Search): void {
  const { state, limits, target, best, options } = search;
  const draw = randomOf(options.seed);
  const done = (): boolean => {
    note(search);
    return state.total <= target;
  };
  const trim = (since: number): void =>
    returnHome(state, limits, Math.max(target, best.total), since, () => note(search));
  if (best.sketched !== null) takeBest(search);
  trim(0);
  for (let failed = 0; failed < options.kicksMax && limits.evaluationsLeft > 0; failed++) {
    rollBack(state, best.length);
    const touched = kick(state, limits, draw, state.total <= target);
    if (touched.length === 0) continue;
    const before = best.length;
    const { total, movedBytes } = best;
    descend(state, limits, done, touched);
    trim(before);
    const evener = Math.max(best.total, target) < (1 - KICK_RATIO) * total;
    if (evener || best.movedBytes < (1 - KICK_RATIO) * movedBytes) failed = -1;
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
