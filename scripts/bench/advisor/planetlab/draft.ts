// A host as a plan in the making sees it: with what was planned to come, and without what was taken off for being too much.
import { loadOf } from "./meters.ts";
import { wattsOf } from "./machines.ts";
import type { SimHost, SimVm } from "./world.ts";

export type Draft = {
  host: SimHost;
  /** What is drawn now; planned VMs do not change it. */
  wattsNow: number;
  vms: SimVm[];
  /** It was tried as a source, so it takes no more. */
  closed: boolean;
  /** MIPS in use with what was planned, and what is free. */
  used: number;
  freeMips: number;
  /** Sums over `vms`: MIPS wanted, MIPS that the trends predict, memory; and the longest history. */
  requested: number;
  trend: number;
  memoryMegabytes: number;
  historyLength: number;
  /** Host history, newest first; null until it is wanted. */
  history: Float64Array | null;
};

export function draftOf(host: SimHost): Draft {
  const draft: Draft = {
    host,
    wattsNow: wattsOf(host.machine, loadOf(host.used, host)),
    vms: [],
    closed: false,
    used: 0,
    freeMips: host.mips,
    requested: 0,
    trend: 0,
    memoryMegabytes: 0,
    historyLength: 0,
    history: null,
  };
  for (const vm of host.vms) add(draft, vm);
  draft.used = host.used;
  return draft;
}

/** A planned VM, or one that is there. */
export function add(draft: Draft, vm: SimVm): void {
  const capped = Math.min(vm.demand, draft.host.machine.coreMips);
  draft.vms.push(vm);
  draft.used += vm.demand;
  draft.freeMips = draft.freeMips >= capped ? draft.freeMips - capped : 0;
  draft.requested += vm.demand;
  draft.trend += vm.trend;
  draft.memoryMegabytes += vm.memoryMegabytes;
  draft.historyLength = Math.max(draft.historyLength, vm.historyLength);
  draft.history = null;
}

/** Sums are made anew, so that they carry no remainder of what has gone. */
export function remove(draft: Draft, vm: SimVm): void {
  const left = draft.vms.filter((other) => other !== vm);
  Object.assign(draft, draftOf({ ...draft.host, vms: left }), { host: draft.host, wattsNow: draft.wattsNow });
}

/** What `restore` needs to take planned VMs back. */
export type Mark = Omit<Draft, "host" | "wattsNow" | "vms" | "closed"> & { count: number };

export function markOf(draft: Draft): Mark {
  const { used, freeMips, requested, trend, memoryMegabytes, historyLength, history, vms } = draft;
  return { used, freeMips, requested, trend, memoryMegabytes, historyLength, history, count: vms.length };
}

export function restore(draft: Draft, { count, ...sums }: Mark): void {
  Object.assign(draft, sums);
  draft.vms.length = count;
}
