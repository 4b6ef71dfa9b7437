// What a policy in shadow would have done counts for it as done: the next plan begins where the last would have led, and its
// cooldowns and budgets bind it as they will when it acts.
import { z } from "zod";
import type { HostLoad, Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { PlanContent } from "../placement/types.ts";
import type { SpentMove } from "./budget.ts";

export const simulated = z.strictObject({
  /** How long the moves would have taken, ms at p50. */
  durationMs: z.number(),
  moves: z.array(z.strictObject({ vm: z.string(), fromHostId: z.string(), toHostId: z.string(), bytes: z.number() })),
});
export type Simulated = z.infer<typeof simulated>;

/** Of one run. `at`: when its moves would have begun, ms since 1970. */
export type ShadowRun = Simulated & { at: number };

/** The moves of a plan that its policy would have approved. */
export function simulatedBy({ moves, schedule }: PlanContent, approved: readonly number[]): Simulated {
  const done = moves.filter(({ n }) => approved.includes(n));
  return {
    durationMs: schedule.durationMs.p50,
    moves: done.map(({ vm, fromHostId, toHostId, estimate }) => ({
      vm,
      fromHostId,
      toHostId,
      bytes: estimate.transferredBytes.p50,
    })),
  };
}

/** What of the policy's budgets is spent. */
export const spentIn = (runs: readonly ShadowRun[]): SpentMove[] =>
  runs.flatMap(({ at, moves }) => moves.map(({ vm, bytes }) => ({ at, vm, bytes, byPolicy: true })));

/** Until when the policy rests after what it would have done last, ms since 1970; null: it does not. `runs` oldest first. */
export function shadowRestsUntil(runs: readonly ShadowRun[], cooldownMs: number): number | null {
  const last = runs.findLast(({ moves }) => moves.length > 0);
  return last === undefined || cooldownMs === 0 ? null : last.at + last.durationMs + cooldownMs;
}

/**
 * The snapshot as if these moves had been made: VMs where they would be, with their loads, and when they were moved. A VM that
 * somebody has really moved meanwhile is where it is. `runs` oldest first.
 */
export function withHistory(snapshot: Snapshot, runs: readonly ShadowRun[]): Snapshot {
  if (runs.length === 0) return snapshot;
  const lastMovedAt = { ...snapshot.lastMovedAt };
  const movesLastDay = { ...snapshot.movesLastDay };
  for (const { at, durationMs, moves } of runs)
    for (const { vm } of moves) {
      lastMovedAt[vm] = Math.max(lastMovedAt[vm] ?? 0, Math.min(snapshot.at, at + durationMs));
      movesLastDay[vm] = (movesLastDay[vm] ?? 0) + 1;
    }
  return { ...snapshot, hosts: relocated(snapshot.hosts, waysOf(runs)), lastMovedAt, movesLastDay };
}

type Way = { from: string; to: string };

/** By VM: where it really was when it was moved first, and where it would be. */
function waysOf(runs: readonly ShadowRun[]): Map<string, Way> {
  const ways = new Map<string, Way>();
  for (const { vm, fromHostId, toHostId } of runs.flatMap(({ moves }) => moves)) {
    const before = ways.get(vm);
    // Another beginning than the last end: somebody has moved it in between.
    ways.set(vm, { from: before?.to === fromHostId ? before.from : fromHostId, to: toHostId });
  }
  return ways;
}

function relocated(hosts: readonly SnapshotHost[], ways: ReadonlyMap<string, Way>): SnapshotHost[] {
  const known = new Set(hosts.map(({ hostId }) => hostId));
  const arriving = new Map<string, SnapshotVm[]>();
  const isLeaving = ({ hostId }: SnapshotHost, vm: SnapshotVm): boolean => {
    const way = ways.get(vm.uuid);
    return way !== undefined && way.from === hostId && way.to !== hostId && known.has(way.to);
  };
  for (const host of hosts)
    for (const vm of host.vms) {
      const to = ways.get(vm.uuid)?.to ?? "";
      if (isLeaving(host, vm)) arriving.set(to, [...(arriving.get(to) ?? []), vm]);
    }
  return hosts.map((host) => {
    const leave = host.vms.filter((vm) => isLeaving(host, vm));
    const come = arriving.get(host.hostId) ?? [];
    if (leave.length + come.length === 0) return host;
    const vms = [...host.vms.filter((vm) => !leave.includes(vm)), ...come];
    return { ...host, vms, load: shifted(host, leave, come) };
  });
}

/** The host's load without some VMs and with others. Samples, pressure and swapping say nothing of what it would be. */
function shifted({ load, memoryBytes, cpu }: SnapshotHost, leave: readonly SnapshotVm[], come: readonly SnapshotVm[]) {
  const { recent: _, cpuPressureRatio: __, memoryPressureRatio: ___, swapInBytesPerSecond: ____, ...rest } = load;
  const by = (figure: (vm: SnapshotVm) => number, max = Infinity) => {
    const sum = (vms: readonly SnapshotVm[]): number => vms.reduce((total, vm) => total + figure(vm), 0);
    const change = sum(come) - sum(leave);
    return (value: number): number => Math.min(Math.max(0, value + change), Math.max(value, max));
  };
  const cores = by((vm) => vm.load.cpuUsedCores ?? vm.vcpus, cpu.cores);
  const network = by((vm) => (vm.load.networkBytesPerSecond ?? 0) / 2);
  const networkPeak = by((vm) => vm.load.networkBytesPerSecond ?? 0);
  const changes: [keyof HostLoad, (value: number) => number][] = [
    ["cpuUsedCores", cores],
    ["cpuUsedCoresP95", cores],
    ["memoryUsedBytes", by((vm) => vm.load.memoryUsedBytes ?? vm.memoryBytes, memoryBytes)],
    ["networkReceiveBytesPerSecond", network],
    ["networkTransmitBytesPerSecond", network],
    ["networkBytesPerSecondP95", networkPeak],
    ["diskBytesPerSecond", by((vm) => vm.load.diskBytesPerSecond ?? 0)],
  ];
  const figures = changes.flatMap(([key, change]) => {
    const value = load[key];
    return typeof value === "number" ? [[key, change(value)] as const] : [];
  });
  return { ...rest, ...Object.fromEntries(figures) };
}
