// The best exchange between a host and its partners: one VM out, one VM in, or two VMs swapped.
import type { Partners } from "./partners.ts";
import { awayBytes, makeMove, skewChange } from "./state.ts";
import type { SearchState } from "./state.ts";

/** Differences smaller than this share of what skews the cluster are rounding. */
export const NOISE_RATIO = 1e-12;

/** `out` goes from `host` to `partner`, `back` the other way; -1: none. */
export type Exchange = { host: number; partner: number; out: number; back: number; gain: number };

/** What bounds an exchange: what a byte must gain, the fewest bytes of any move, how many there may be, candidates left. */
export type Limits = {
  pricePerByte: number;
  cheapestBytes: number;
  movedBytesMax: number;
  movesMax: number;
  evaluationsLeft: number;
};

/**
 * What VMs gain by passing each other, besides what each move would gain alone, is the product of the other's demand with
 * this vector of the first.
 */
function passingOf(state: SearchState, vm: number, host: number, partner: number): Float64Array {
  const { resources, scale, scratch, input } = state;
  for (let r = 0; r < resources; r++) {
    const here = scale[host * resources + r] ?? 0;
    const there = scale[partner * resources + r] ?? 0;
    scratch.passing[r] = 2 * (input.demand[vm * resources + r] ?? 0) * (here * here + there * there);
  }
  return scratch.passing;
}

/** Whether a host has room for `vm` once `without` (-1: none) has left it: memory promised, and loads under their limits. */
export function hasRoom(state: SearchState, vm: number, host: number, without: number): boolean {
  const { resources, used, committed, input } = state;
  const leaving = without < 0 ? 0 : (input.vmBytes[without] ?? 0);
  const bytes = (committed[host] ?? 0) + (input.vmBytes[vm] ?? 0) - leaving;
  if (bytes > (input.committedMax[host] ?? 0)) return false;
  for (let r = 0, at = host * resources; r < resources; r++, at++) {
    const left = without < 0 ? 0 : (input.demand[without * resources + r] ?? 0);
    if ((used[at] ?? 0) + (input.demand[vm * resources + r] ?? 0) - left > (input.usedMax[at] ?? 0)) return false;
  }
  return true;
}

/** A VM may go to a host that has room and where no rule forbids it. */
export const mayRun = (state: SearchState, vm: number, host: number, without: number): boolean =>
  hasRoom(state, vm, host, without) && state.input.rules.fits(vm, host, without);

/**
 * The exchange between `host` and its partners that gains most after its bytes are paid for; null: none gains. VMs are
 * swapped with the first `swapPartners` only.
 */
export function bestExchange(
  state: SearchState,
  host: number,
  partners: Partners,
  swapPartners: number,
  limits: Limits,
): Exchange | null {
  const best: Exchange = { host, partner: -1, out: -1, back: -1, gain: state.total * NOISE_RATIO };
  const own = state.residents[host] ?? [];
  for (let index = 0; index < partners.count && limits.evaluationsLeft > 0; index++) {
    const partner = partners.hosts[index] ?? 0;
    tryMoves(state, best, host, partner, own, state.scratch.outs, limits);
    tryMoves(state, best, partner, host, state.residents[partner] ?? [], state.scratch.backs, limits);
    if (index < swapPartners) trySwaps(state, best, host, partner, limits);
  }
  return best.partner < 0 ? null : best;
}

function tryMoves(
  state: SearchState,
  best: Exchange,
  from: number,
  to: number,
  vms: readonly number[],
  gains: number[],
  limits: Limits,
): void {
  limits.evaluationsLeft -= vms.length;
  const free = freeMoves(state, limits);
  for (let index = 0; index < vms.length; index++) {
    const vm = vms[index] ?? 0;
    const bytes = awayBytes(state, vm, to) - awayBytes(state, vm, from);
    const gain = (state.leaving[vm] ?? 0) - skewChange(state, vm, to, 1) - limits.pricePerByte * bytes;
    gains[index] = gain;
    if (gain <= best.gain || goes(state, vm, from, to) > free || !affordable(state, bytes, 0, limits)) continue;
    if (!mayRun(state, vm, to, -1)) continue;
    const outwards = from === best.host;
    best.partner = outwards ? to : from;
    best.out = outwards ? vm : -1;
    best.back = outwards ? -1 : vm;
    best.gain = gain;
  }
}

function trySwaps(state: SearchState, best: Exchange, host: number, partner: number, limits: Limits): void {
  const own = state.residents[host] ?? [];
  const skews = (state.skew[host] ?? 0) + (state.skew[partner] ?? 0);
  for (let index = 0; index < own.length; index++) {
    const out = own[index] ?? 0;
    limits.evaluationsLeft--;
    // No exchange gains more than what skews both hosts, less its bytes. That the other may save some is left to moves.
    if (skews - limits.pricePerByte * (state.moveBytes[out] ?? 0) <= best.gain && isHome(state, out)) continue;
    trySwapsOf(state, best, out, state.scratch.outs[index] ?? 0, partner, limits);
  }
}

/** `alone`: what the VM gains by moving without another coming back. */
function trySwapsOf(
  state: SearchState,
  best: Exchange,
  out: number,
  alone: number,
  partner: number,
  limits: Limits,
): void {
  const { resources } = state;
  const { demand } = state.input;
  const { backs } = state.scratch;
  const others = state.residents[partner] ?? [];
  const passing = passingOf(state, out, best.host, partner);
  limits.evaluationsLeft -= others.length;
  // Once a plan has all its moves, a VM goes only where another comes home: most pairs need not be weighed.
  const free = freeMoves(state, limits) - goes(state, out, best.host, partner);
  for (let index = 0; index < others.length; index++) {
    const back = others[index] ?? 0;
    if (free < 1 && goes(state, back, partner, best.host) > free) continue;
    let gain = alone + (backs[index] ?? 0);
    for (let r = 0, of = back * resources; r < resources; r++, of++) gain += (passing[r] ?? 0) * (demand[of] ?? 0);
    if (gain <= best.gain || !swappable(state, out, back, best.host, partner, limits)) continue;
    best.partner = partner;
    best.out = out;
    best.back = back;
    best.gain = gain;
  }
}

const isHome = ({ hostOf, input }: SearchState, vm: number): boolean => hostOf[vm] === input.hostOf[vm];

function swappable(
  state: SearchState,
  out: number,
  back: number,
  host: number,
  partner: number,
  limits: Limits,
): boolean {
  const bytes =
    awayBytes(state, out, partner) -
    awayBytes(state, out, host) +
    awayBytes(state, back, host) -
    awayBytes(state, back, partner);
  const count = goes(state, out, host, partner) + goes(state, back, partner, host);
  return affordable(state, bytes, count, limits) && mayRun(state, out, partner, back) && mayRun(state, back, host, out);
}

/** 1: the VM leaves home, -1: it returns, 0: neither. */
export function goes({ input }: SearchState, vm: number, from: number, to: number): number {
  const home = input.hostOf[vm];
  return Number(home === from) - Number(home === to);
}

/** So many more VMs may leave their homes; never below 0. */
export const freeMoves = ({ movedVms }: SearchState, { movesMax }: Limits): number => Math.max(0, movesMax - movedVms);

/** What saves bytes is always allowed, what costs some only within the limits. */
export function affordable(state: SearchState, bytes: number, count: number, limits: Limits): boolean {
  if (bytes > 0 && state.movedBytes + bytes > limits.movedBytesMax) return false;
  return count <= 0 || state.movedVms + count <= limits.movesMax;
}

export function makeExchange(state: SearchState, { host, partner, out, back }: Exchange): void {
  if (out >= 0) makeMove(state, out, partner);
  if (back >= 0) makeMove(state, back, host);
}
