// Moves that even out most for a byte, over the whole cluster. Every host's best is kept in a heap; where one of its two hosts
// has changed since, it is valued anew when it comes to the top.
import { affordable, freeMoves, goes, mayRun, NOISE_RATIO } from "./exchange.ts";
import type { Limits } from "./exchange.ts";
import { findPartners } from "./partners.ts";
import { awayBytes, makeMove, skewChange } from "./state.ts";
import type { SearchState } from "./state.ts";

/** A move that costs nothing counts as one of so few bytes. */
const FREE_BYTES = 1;

/** A move that is valued anew is made if it kept this share of its gain; else its host is looked at again. */
const KEPT_RATIO = 0.8;

export type Steepest = { vm: number; from: number; to: number; gainPerByte: number };

/**
 * Moves VMs off their hosts as long as one gains `gainPerByteMin` a byte and `done` does not say so; 0: as long as one
 * gains at all. Answers what the first move gained a byte, 0 where there was none.
 */
export function climb(state: SearchState, limits: Limits, gainPerByteMin: number, done: () => boolean): number {
  const heap: Steepest[] = [];
  const look = (host: number): void => {
    const found = steepestFrom(state, host, limits, gainPerByteMin);
    if (found.vm >= 0) push(heap, found);
  };
  for (let host = 0; host < state.hosts; host++) look(host);
  const first = heap[0]?.gainPerByte ?? 0;
  for (let top = pop(heap); top !== undefined && limits.evaluationsLeft > 0; top = pop(heap)) {
    const { vm, from, to } = top;
    if (state.hostOf[vm] !== from || valueOf(state, top, limits) < KEPT_RATIO * top.gainPerByte) {
      look(from);
      continue;
    }
    makeMove(state, vm, to);
    if (done()) break;
    look(from);
    look(to);
  }
  return first;
}

/** What the move gains a byte now; 0 where it may not be made any more. */
function valueOf(state: SearchState, { vm, from, to }: Steepest, limits: Limits): number {
  limits.evaluationsLeft--;
  const bytes = awayBytes(state, vm, to) - awayBytes(state, vm, from);
  if (!affordable(state, bytes, goes(state, vm, from, to), limits) || !mayRun(state, vm, to, -1)) return 0;
  return ((state.leaving[vm] ?? 0) - skewChange(state, vm, to, 1)) / Math.max(FREE_BYTES, bytes);
}

/** The host's best move to any of its first partners; `vm` -1: none gains enough. */
export function steepestFrom(
  state: SearchState,
  host: number,
  limits: Limits,
  gainPerByteMin: number,
  partnersMax = Number.POSITIVE_INFINITY,
): Steepest {
  const { cheapestBytes } = limits;
  const { partners } = state.scratch;
  const best: Steepest = { vm: -1, from: host, to: -1, gainPerByte: gainPerByteMin };
  findPartners(state, host, gainPerByteMin * cheapestBytes, partners);
  for (let index = 0; index < Math.min(partnersMax, partners.count); index++)
    tryMoves(state, best, partners.hosts[index] ?? 0, limits);
  return best;
}

function tryMoves(state: SearchState, best: Steepest, to: number, limits: Limits): void {
  const { from } = best;
  const vms = state.residents[from] ?? [];
  limits.evaluationsLeft -= vms.length;
  const most = state.skew[to] ?? 0;
  const noise = state.total * NOISE_RATIO;
  const free = freeMoves(state, limits);
  for (let index = 0; index < vms.length; index++) {
    const vm = vms[index] ?? 0;
    if (free < 1 && goes(state, vm, from, to) > free) continue;
    const leaving = state.leaving[vm] ?? 0;
    const bytes = awayBytes(state, vm, to) - awayBytes(state, vm, from);
    const paid = Math.max(FREE_BYTES, bytes);
    // An arrival gains no more than all that skews the destination.
    if (leaving + most <= best.gainPerByte * paid) continue;
    const gain = leaving - skewChange(state, vm, to, 1);
    const gainPerByte = gain / paid;
    // Rounding would move a VM for nothing between two hosts that are alike, again and again.
    if (
      gain <= noise ||
      gainPerByte <= best.gainPerByte ||
      !affordable(state, bytes, goes(state, vm, from, to), limits)
    )
      continue;
    if (!mayRun(state, vm, to, -1)) continue;
    best.vm = vm;
    best.to = to;
    best.gainPerByte = gainPerByte;
  }
}

/** The higher gain first; equals by VM. */
const before = (a: Steepest, b: Steepest): boolean =>
  a.gainPerByte > b.gainPerByte || (a.gainPerByte === b.gainPerByte && a.vm < b.vm);

function push(heap: Steepest[], entry: Steepest): void {
  let at = heap.push(entry) - 1;
  while (at > 0) {
    const parent = (at - 1) >> 1;
    const above = heap[parent];
    if (above === undefined || !before(entry, above)) break;
    heap[at] = above;
    at = parent;
  }
  heap[at] = entry;
}

function pop(heap: Steepest[]): Steepest | undefined {
  const top = heap[0];
  const last = heap.pop();
  if (top === undefined || last === undefined || heap.length === 0) return top;
  let at = 0;
  for (;;) {
    const left = heap[2 * at + 1];
    const right = heap[2 * at + 2];
    const isRight = right !== undefined && left !== undefined && before(right, left);
    const child = isRight ? right : left;
    if (child === undefined || !before(child, last)) break;
    heap[at] = child;
    at = 2 * at + (isRight ? 2 : 1);
  }
  heap[at] = last;
  return top;
}
