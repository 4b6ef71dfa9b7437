// A cluster while a consolidation is planned: what each host will need with what was planned so far.
import { wattsAt } from "../../migration/energy.ts";
import { type Demand, demandOf } from "./demand.ts";
import type { ConsolidationHost, ConsolidationInput, ConsolidationParameters } from "./types.ts";

export type PlannedHost = {
  index: number;
  host: ConsolidationHost;
  vms: number[];
  /** Of its VMs' demands; and the memory that they hold. What leaves holds its memory until it has gone. */
  mean: number;
  variance: number;
  heldBytes: number;
  on: boolean;
  woken: boolean;
  /** Gives VMs away in this plan, so it takes none; or has taken some, so it gives none. */
  gives: boolean;
  takes: boolean;
  /** Watts for a cluster's average VM if the host were full of them: the less, the sooner it is filled. */
  wattsPerVm: number;
};

export type State = {
  input: ConsolidationInput;
  parameters: ConsolidationParameters;
  demands: Demand[];
  hosts: PlannedHost[];
  /** Host of each VM. */
  placement: number[];
  /** Hosts that may be filled, in that order. */
  byEfficiency: PlannedHost[];
};

export function stateOf(input: ConsolidationInput, parameters: ConsolidationParameters): State {
  const demands = input.vms.map((vm) => vm.demand ?? demandOf(vm, parameters));
  const wattsPerVm = wattsPerVmOf(input, demands, parameters.fillRatio);
  const hosts = input.hosts.map((host, index): PlannedHost => {
    const sums = { mean: 0, variance: 0, heldBytes: 0, woken: false, gives: false, takes: false };
    return { index, host, vms: [], on: host.on, wattsPerVm: wattsPerVm(host), ...sums };
  });
  const placement = input.vms.map(({ host }) => host);
  const byEfficiency = hosts
    .filter(({ host }) => host.closed !== true)
    .toSorted((a, b) => a.wattsPerVm - b.wattsPerVm || a.index - b.index);
  const state = { input, parameters, demands, hosts, placement, byEfficiency };
  for (const [vm, { host }] of input.vms.entries()) {
    const planned = hosts[host];
    if (planned === undefined) continue;
    put(state, vm, planned);
    planned.on = true;
  }
  return state;
}

function wattsPerVmOf({ vms }: ConsolidationInput, demands: readonly Demand[], fillRatio: number) {
  const count = Math.max(1, vms.length);
  const cores = demands.reduce((sum, { mean }) => sum + mean, 0) / count;
  const bytes = vms.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0) / count;
  return (host: ConsolidationHost): number => {
    const byCores = cores === 0 ? Number.POSITIVE_INFINITY : (host.cores * fillRatio) / cores;
    const held = Math.min(byCores, bytes === 0 ? Number.POSITIVE_INFINITY : host.memoryBytes / bytes);
    if (!Number.isFinite(held) || held === 0) return host.watts[0] ?? 0;
    return wattsAt(host.watts, (held * cores) / host.cores) / held;
  };
}

export function put({ input, demands, placement }: State, vm: number, to: PlannedHost): void {
  const demand = demands[vm];
  if (demand === undefined) return;
  to.vms.push(vm);
  to.mean += demand.mean;
  to.variance += demand.variance;
  to.heldBytes += input.vms[vm]?.memoryBytes ?? 0;
  placement[vm] = to.index;
  input.moved?.(vm, to.index);
}

/** Its memory stays held at the host that it leaves. */
export function take({ demands }: State, vm: number, from: PlannedHost): void {
  from.vms = from.vms.filter((other) => other !== vm);
  from.mean = from.vms.reduce((sum, other) => sum + (demands[other]?.mean ?? 0), 0);
  from.variance = from.vms.reduce((sum, other) => sum + (demands[other]?.variance ?? 0), 0);
}

/** Cores that the loads will stay under, as far as their deviations tell. */
export const needed = (mean: number, variance: number, { deviations }: ConsolidationParameters): number =>
  mean + deviations * Math.sqrt(Math.max(0, variance));

/** What is left in the scarcer of cores and memory, as a share, once the VM is there; null where it has no room. */
export function slackWith({ input, demands, parameters }: State, vm: number, to: PlannedHost): number | null {
  const demand = demands[vm];
  const memoryBytes = to.heldBytes + (input.vms[vm]?.memoryBytes ?? 0);
  if (demand === undefined || memoryBytes > to.host.memoryBytes) return null;
  const cores = to.host.cores * parameters.fillRatio;
  const need = needed(to.mean + demand.mean, to.variance + demand.variance, parameters);
  if (need > cores) return null;
  return 1 - Math.max(shareOf(need, cores), shareOf(memoryBytes, to.host.memoryBytes));
}

/** Watts at a mean load, as if it were on. */
export const wattsWith = ({ host }: PlannedHost, mean: number): number =>
  wattsAt(host.watts, shareOf(mean, host.cores));

export function wake(host: PlannedHost): void {
  if (host.on) return;
  host.on = true;
  host.woken = true;
}

/** Of nothing nothing is none of it, anything more than all. */
export const shareOf = (part: number, whole: number): number => (part === 0 ? 0 : part / whole);

/** How much of a host like its own it takes, in the scarcer of the two. */
export function sizeOf({ input, demands, hosts }: State, vm: number): number {
  const host = hosts[input.vms[vm]?.host ?? 0]?.host;
  if (host === undefined) return 0;
  const byCores = shareOf(demands[vm]?.mean ?? 0, host.cores);
  return Math.max(byCores, shareOf(input.vms[vm]?.memoryBytes ?? 0, host.memoryBytes));
}

/**
 * Where a VM goes: on the most efficient kind of host in use that has room, where it leaves least of it; else on the most
 * efficient one that can be switched on; null where there is none.
 */
export function bestHost(state: State, vm: number, from: PlannedHost): PlannedHost | null {
  let best: PlannedHost | null = null;
  let bestSlack = Number.POSITIVE_INFINITY;
  for (const to of state.byEfficiency) {
    if (best !== null && to.wattsPerVm > best.wattsPerVm) break;
    if (!to.on || to.gives || to === from) continue;
    const slack = slackWith(state, vm, to);
    if (slack === null || slack >= bestSlack || !state.input.fits(vm, to.index, state.placement)) continue;
    best = to;
    bestSlack = slack;
  }
  return best ?? state.byEfficiency.find((to) => isWakeable(state, vm, to)) ?? null;
}

const isWakeable = (state: State, vm: number, to: PlannedHost): boolean =>
  !to.on &&
  to.host.bootJoules !== undefined &&
  slackWith(state, vm, to) !== null &&
  state.input.fits(vm, to.index, state.placement);
