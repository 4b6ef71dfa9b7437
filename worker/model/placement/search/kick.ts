// Perturbations that lead a descent out of a local optimum.
import { mayRun } from "./exchange.ts";
import type { Limits } from "./exchange.ts";
import { makeMove } from "./state.ts";
import type { SearchState } from "./state.ts";

/** Hosts that a VM which leaves is tried on. */
const TRIES = 8;

/**
 * Moves one to three VMs somewhere: where the cluster is even enough, back home, the sooner the more bytes that saves;
 * else away from one of the most unbalanced hosts. Answers the hosts touched; none: nothing could be moved.
 */
export function kick(state: SearchState, limits: Limits, draw: () => number, even: boolean): number[] {
  const touched = new Set<number>();
  const times = 1 + Math.floor(draw() * 3);
  for (let time = 0; time < times; time++) {
    limits.evaluationsLeft--;
    const vm = even ? dearestAway(state, draw) : fromUneven(state, draw);
    if (vm < 0) continue;
    const from = state.hostOf[vm] ?? 0;
    const to = even ? (state.input.hostOf[vm] ?? 0) : somewhere(state, vm, limits, draw);
    if (to < 0 || to === from || !mayRun(state, vm, to, -1)) continue;
    makeMove(state, vm, to);
    touched.add(from).add(to);
  }
  return [...touched];
}

const oneOf = (list: readonly number[], draw: () => number): number => list[Math.floor(draw() * list.length)] ?? -1;

/** Of two moved VMs the one with more bytes; -1: none is away. */
function dearestAway({ journal, hostOf, input, moveBytes }: SearchState, draw: () => number): number {
  let dearest = -1;
  for (let time = 0; time < 2; time++) {
    const vm = journal[Math.floor(draw() * journal.length)]?.vm ?? -1;
    if (vm < 0 || hostOf[vm] === input.hostOf[vm]) continue;
    if (dearest < 0 || (moveBytes[vm] ?? 0) > (moveBytes[dearest] ?? 0)) dearest = vm;
  }
  return dearest;
}

/** A VM of the most unbalanced of three hosts; -1: it has none that may move. */
function fromUneven({ hosts, skew, residents }: SearchState, draw: () => number): number {
  let worst = Math.floor(draw() * hosts);
  for (let time = 0; time < 2; time++) {
    const host = Math.floor(draw() * hosts);
    if ((skew[host] ?? 0) > (skew[worst] ?? 0)) worst = host;
  }
  return oneOf(residents[worst] ?? [], draw);
}

/** A host that may have the VM within the limits; -1: none of those tried. */
function somewhere(state: SearchState, vm: number, limits: Limits, draw: () => number): number {
  const { hosts, hostOf, input, moveBytes } = state;
  const away = hostOf[vm] !== input.hostOf[vm];
  if (!away && state.movedBytes + (moveBytes[vm] ?? 0) > limits.movedBytesMax) return -1;
  if (!away && state.movedVms >= limits.movesMax) return -1;
  for (let time = 0; time < TRIES; time++) {
    const host = Math.floor(draw() * hosts);
    if (host !== hostOf[vm] && mayRun(state, vm, host, -1)) return host;
  }
  return -1;
}
