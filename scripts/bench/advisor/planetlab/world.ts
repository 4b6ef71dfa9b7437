// What the simulator keeps of hosts and VMs. Loads are MIPS, memory is megabytes, times are seconds, as the benchmark counts.
import { HOSTS, type Machine, machineOf, vmTypeOf } from "./machines.ts";
import { STEP_SECONDS, type Trace } from "./traces.ts";

/** Host histories are read no further back. */
export const HISTORY = 30;
/** Samples under the regression line of LR. */
export const TREND = 10;

export type SimVm = {
  id: number;
  mips: number;
  memoryMegabytes: number;
  trace: Trace;
  /** MIPS wanted now. */
  demand: number;
  /** Demand at past control steps as shares of `mips`, newest first. */
  history: Float64Array;
  /** Without the zeros at its old end. */
  historyLength: number;
  /** Its part, in MIPS, in the load that the line through the host's last samples predicts. */
  trend: number;
  host: SimHost | null;
  migrating: boolean;
  /** MIPS it got, and wanted, when its host was evaluated last. */
  allocated: number;
  asked: number;
};

export type SimHost = {
  id: number;
  machine: Machine;
  mips: number;
  /** Those that run here and those on their way here, in order of arrival. */
  vms: SimVm[];
  /** MIPS in use, a migration's extra load included, as evaluated last; and what its VMs want. */
  used: number;
  requested: number;
  /** Holds VMs, or is about to. */
  on: boolean;
};

export type World = { hosts: SimHost[]; vms: SimVm[] };

/** What the simulation lets pass. `cloudsim-3.0.3` is the published benchmark, `strict` what a real cluster allows. */
export type Accounting = {
  name: "cloudsim-3.0.3" | "strict";
  /** A VM whose demand is exactly zero is gone for good. */
  idleVmsVanish: boolean;
  /** The configured memory must fit wherever a VM is placed, not only at first. */
  memoryCounts: boolean;
  /** A VM may be planned A→B and B→C in one step, and counts twice. */
  doublePlans: boolean;
  /** A host that holds VMs draws at least its idle power, even if none of them wants anything. */
  idleHostsDraw: boolean;
  /** Migrations to a host that was off begin so much later, and it draws its peak power meanwhile. */
  bootSeconds: number;
};

export const CLOUDSIM: Accounting = {
  name: "cloudsim-3.0.3",
  idleVmsVanish: true,
  memoryCounts: false,
  doublePlans: true,
  idleHostsDraw: false,
  bootSeconds: 0,
};
/** Two minutes from power-on to a joined hypervisor, at full power. */
export const STRICT: Accounting = {
  name: "strict",
  idleVmsVanish: false,
  memoryCounts: true,
  doublePlans: false,
  idleHostsDraw: true,
  bootSeconds: 120,
};

export function worldOf(traces: readonly Trace[], hosts = HOSTS): World {
  return {
    hosts: Array.from({ length: hosts }, (_, id) => {
      const machine = machineOf(id);
      return { id, machine, mips: machine.cores * machine.coreMips, vms: [], used: 0, requested: 0, on: false };
    }),
    vms: traces.map((trace, id) => ({
      id,
      ...vmTypeOf(id, traces.length),
      trace,
      demand: 0,
      history: new Float64Array(HISTORY),
      historyLength: 0,
      trend: 0,
      host: null,
      migrating: false,
      allocated: 0,
      asked: 0,
    })),
  };
}

/** Sets what every VM wants at a time, on straight lines between samples. */
export function setDemands(vms: readonly SimVm[], seconds: number): void {
  const before = Math.floor(seconds / STEP_SECONDS);
  const into = seconds - before * STEP_SECONDS;
  for (const vm of vms) {
    const from = vm.trace[before] ?? 0;
    const to = vm.trace[before + 1] ?? from;
    vm.demand = (from + ((to - from) / STEP_SECONDS) * into) * vm.mips;
  }
}

/** Takes the present demand into the histories; once a control step. */
export function remember(vms: readonly SimVm[]): void {
  for (const vm of vms) {
    const { history } = vm;
    history.copyWithin(1, 0, HISTORY - 1);
    const share = vm.demand / vm.mips;
    history[0] = share;
    vm.historyLength = share === 0 && vm.historyLength === 0 ? 0 : lengthOf(history);
    vm.trend = trendOf(history) * vm.mips;
  }
}

function lengthOf(history: Float64Array): number {
  let length = history.length;
  while (length > 0 && history[length - 1] === 0) length--;
  return length;
}

/** Ordinary least squares is linear in the samples, so the prediction of a host is the sum of those of its VMs. */
const TREND_WEIGHTS = Array.from({ length: TREND }, (_, age) => {
  const mean = (TREND + 1) / 2;
  const squares = (TREND * (TREND * TREND - 1)) / 12;
  return 1 / TREND + ((TREND + 1 - mean) * (TREND - age - mean)) / squares;
});

function trendOf(history: Float64Array): number {
  let predicted = 0;
  for (let age = 0; age < TREND; age++) predicted += (history[age] ?? 0) * (TREND_WEIGHTS[age] ?? 0);
  return predicted;
}
