// The placement that a search works on. Loads are kept as weighted deviations from the cluster's mean, so that the squared
// imbalance of a host is a sum of squares and the effect of a move costs a few multiplications.
import { partnersOf } from "./partners.ts";
import type { Partners } from "./partners.ts";
import type { FoundMove, SearchInput } from "./types.ts";

/** Partners that a host is compared with at one look. */
const PARTNERS = 24;

export type SearchState = {
  input: SearchInput;
  hosts: number;
  resources: number;
  /** √weight / capacity: turns a demand into its part of a deviation. */
  scale: Float64Array;
  /** √weight · (used / capacity − mean of the cluster). */
  deviation: Float64Array;
  /** Sum of the squares of a host's deviations. */
  skew: Float64Array;
  used: Float64Array;
  committed: Float64Array;
  hostOf: Int32Array;
  moveBytes: Float64Array;
  /** Movable VMs of each host, and each VM's place in its list. */
  residents: number[][];
  place: Int32Array;
  /** By how much the squared imbalance of its host falls when a movable VM leaves it. */
  leaving: Float64Array;
  /** Sum of `skew`, and by what it is divided for the mean. */
  total: number;
  terms: number;
  movedBytes: number;
  movedVms: number;
  /** Moves made since the start, in order; a VM may be in it several times. */
  journal: FoundMove[];
  /** Working memory of a look at a host: its partners, what each VM of the two hosts would gain by moving alone. */
  scratch: { partners: Partners; outs: number[]; backs: number[]; passing: Float64Array };
};

/**
 * Mean load of each resource: what all hosts use over all that they have. Moves never change it.
 */
export function meansOf({ resources, capacity, used }: SearchInput): Float64Array {
  const means = new Float64Array(resources);
  for (let r = 0; r < resources; r++) {
    let have = 0;
    let use = 0;
    for (let at = r; at < capacity.length; at += resources) {
      const of = capacity[at] ?? 0;
      if (of <= 0) continue;
      have += of;
      use += used[at] ?? 0;
    }
    means[r] = have > 0 ? use / have : 0;
  }
  return means;
}

export function stateOf(input: SearchInput): SearchState {
  const { resources, capacity, used, weights, hostOf, movable, vmBytes } = input;
  const hosts = input.committed.length;
  const means = meansOf(input);
  const scale = new Float64Array(capacity.length);
  const deviation = new Float64Array(capacity.length);
  for (let at = 0; at < capacity.length; at++) {
    const of = capacity[at] ?? 0;
    if (of <= 0) continue;
    const root = Math.sqrt(weights[at % resources] ?? 0);
    scale[at] = root / of;
    deviation[at] = root * ((used[at] ?? 0) / of - (means[at % resources] ?? 0));
  }
  const residents: number[][] = Array.from({ length: hosts }, () => []);
  const place = new Int32Array(hostOf.length).fill(-1);
  for (let vm = 0; vm < hostOf.length; vm++) {
    const list = residents[hostOf[vm] ?? -1];
    if (movable[vm] === 0 || list === undefined) continue;
    place[vm] = list.push(vm) - 1;
  }
  const state: SearchState = {
    input,
    hosts,
    resources,
    scale,
    deviation,
    residents,
    place,
    skew: new Float64Array(hosts),
    leaving: new Float64Array(hostOf.length),
    used: used.slice(),
    committed: input.committed.slice(),
    hostOf: hostOf.slice(),
    moveBytes: input.moveBytes ?? vmBytes,
    total: 0,
    terms: termsOf(input),
    movedBytes: 0,
    movedVms: 0,
    journal: [],
    scratch: { partners: partnersOf(PARTNERS), outs: [], backs: [], passing: new Float64Array(resources) },
  };
  for (let host = 0; host < hosts; host++) {
    reskew(state, host);
    revalue(state, host);
  }
  return state;
}

/** By how much the squared imbalance of a host rises when it gets the VM (`sign` 1) or loses it (-1). */
export function skewChange(state: SearchState, vm: number, host: number, sign: 1 | -1): number {
  const { resources, scale, deviation } = state;
  const { demand } = state.input;
  let change = 0;
  for (let r = 0, at = host * resources, of = vm * resources; r < resources; r++, at++, of++) {
    const part = sign * (demand[of] ?? 0) * (scale[at] ?? 0);
    change += part * (part + 2 * (deviation[at] ?? 0));
  }
  return change;
}

function revalue(state: SearchState, host: number): void {
  const list = state.residents[host] ?? [];
  for (const vm of list) state.leaving[vm] = -skewChange(state, vm, host, -1);
}

/** A host's squared imbalance anew from its deviations, and the total with it. */
function reskew(state: SearchState, host: number): void {
  const { resources, deviation, skew } = state;
  let sum = 0;
  for (let at = host * resources; at < (host + 1) * resources; at++) sum += (deviation[at] ?? 0) ** 2;
  state.total += sum - (skew[host] ?? 0);
  skew[host] = sum;
}

function charge(state: SearchState, vm: number, host: number, sign: 1 | -1): void {
  const { resources, deviation, scale, used, committed, input } = state;
  for (let r = 0; r < resources; r++) {
    const demand = sign * (input.demand[vm * resources + r] ?? 0);
    const at = host * resources + r;
    used[at] = (used[at] ?? 0) + demand;
    deviation[at] = (deviation[at] ?? 0) + demand * (scale[at] ?? 0);
  }
  committed[host] = (committed[host] ?? 0) + sign * (input.vmBytes[vm] ?? 0);
  reskew(state, host);
}

/** What running on `host` rather than at home costs, in bytes moved. */
export const awayBytes = (state: SearchState, vm: number, host: number): number =>
  state.input.hostOf[vm] === host ? 0 : (state.moveBytes[vm] ?? 0);

function relocate(state: SearchState, vm: number, from: number, to: number): void {
  const home = state.input.hostOf[vm];
  state.movedBytes += awayBytes(state, vm, to) - awayBytes(state, vm, from);
  state.movedVms += Number(home !== to) - Number(home !== from);
  if (state.movedVms === 0) state.movedBytes = 0;
  charge(state, vm, from, -1);
  charge(state, vm, to, 1);
  const left = state.residents[from] ?? [];
  const last = left.pop() ?? vm;
  if (last !== vm) {
    left[state.place[vm] ?? 0] = last;
    state.place[last] = state.place[vm] ?? 0;
  }
  state.place[vm] = (state.residents[to]?.push(vm) ?? 1) - 1;
  state.hostOf[vm] = to;
  revalue(state, from);
  revalue(state, to);
  state.input.rules.moved?.(vm, from, to);
}

/** Moves a VM. Whether it may is the caller's to know. */
export function makeMove(state: SearchState, vm: number, to: number): void {
  const from = state.hostOf[vm] ?? 0;
  relocate(state, vm, from, to);
  state.journal.push({ vm, from, to });
}

/** Takes back the newest moves until `length` of the journal are left. */
export function rollBack(state: SearchState, length: number): void {
  while (state.journal.length > length) {
    const newest = state.journal.pop();
    if (newest !== undefined) relocate(state, newest.vm, newest.to, newest.from);
  }
}

/** Root of the weighted mean, over hosts and resources, of squared deviations from the cluster's mean load. */
export function imbalanceOf(state: SearchState): number {
  const { terms } = state;
  return terms > 0 ? Math.sqrt(Math.max(0, state.total) / terms) : 0;
}

/** The `total` at which the imbalance is so much. */
export const totalAt = (state: SearchState, imbalance: number): number => imbalance ** 2 * state.terms;

/**
 * By what the sum of weighted squares is divided for the mean: hosts of which something is known, times what all that is known
 * of one weighs. Where hosts differ in that, the most that any has: the mean is then rather too low than too high.
 */
export function termsOf({ resources, capacity, weights, committed }: SearchInput): number {
  let [known, heaviest] = [0, 0];
  for (let host = 0; host < committed.length; host++) {
    let weight = 0;
    for (let r = 0; r < resources; r++) if ((capacity[host * resources + r] ?? 0) > 0) weight += weights[r] ?? 0;
    if (weight > 0) known += 1;
    heaviest = Math.max(heaviest, weight);
  }
  return known * heaviest;
}
