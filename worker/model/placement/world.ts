// The state that a plan changes: a snapshot as flat arrays, in which a VM is moved, and moved back, in constant time.
// Hosts stand in order of their ids and VMs of their uuids, so that the order of reading never changes a plan.
import type { Reservation, Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { HostHealth } from "../detection/health.ts";
import type { Compatibility } from "./compatibility.ts";
import { enterGroups, type Groups, leaveGroups } from "./groups.ts";
import type { Peer } from "./peers.ts";
import type { PlanParameters, Rejection } from "./types.ts";

/** What hosts have and VMs take, in this order in every flat array: `capacity[host * RESOURCES + CPU]`. */
export const CPU = 0;
export const MEMORY = 1;
export const NETWORK = 2;
export const DISK = 3;
export const RESOURCES = 4;
export const RESOURCE_NAMES = ["cpu", "memory", "network", "disk"] as const;

/** p95 of a normal distribution above its mean, in standard deviations. */
export const P95_DEVIATIONS = 1.645;

export type World = {
  readonly snapshot: Snapshot;
  readonly parameters: PlanParameters;
  readonly hosts: readonly SnapshotHost[];
  readonly vms: readonly SnapshotVm[];
  readonly hostIndex: ReadonlyMap<string, number>;
  readonly vmIndex: ReadonlyMap<string, number>;
  /** By host: why nothing may be decided about it; null: its load is known. */
  readonly unknown: readonly (Rejection | null)[];
  /** By host: whether it may be relied on. */
  readonly health: readonly HostHealth[];
  /** By host: cores, bytes of memory, bytes a second of network and of disk; 0: not known, never in the way. */
  readonly capacity: Float64Array;
  /** By host: in use, running migrations included once they arrive. Cores never below 0 by rounding only. */
  readonly used: Float64Array;
  /** By host: variance of that, from p95 and mean; loads of different VMs count as independent. */
  readonly variance: Float64Array;
  /** By host: cores that running migrations will take away. */
  readonly leavingCores: Float64Array;
  /** By VM: what it takes; where its CPU use is unknown, all its vCPUs. */
  readonly demand: Float64Array;
  readonly demandVariance: Float64Array;
  /** By VM: 1 where its CPU use is known. */
  readonly cpuKnown: Uint8Array;
  /** By VM: memory that a host commits for it. */
  readonly vmBytes: Float64Array;
  /** By host: committed to its VMs, stopped ones too, and to running migrations. */
  readonly committed: Float64Array;
  /** By host: bytes that may be committed. */
  readonly ceiling: Float64Array;
  /** By VM: where it is now in this state, and where it was in the snapshot. */
  readonly hostOf: Int32Array;
  readonly origin: Int32Array;
  /** By host: the VMs on it in this state. */
  readonly vmsOn: readonly Set<number>[];
  /** By host: free bytes of huge pages, by their size. */
  readonly hugeFree: readonly Map<number, number>[];
  readonly groups: Groups;
  readonly isPlaceFor: Compatibility;
  /** By VM: which others it talks to. */
  readonly peers: readonly (readonly Peer[])[];
  /** By VM: its running migration. */
  readonly migrating: ReadonlyMap<number, Reservation>;
};

/** Puts the VM on the host, wherever it was. There and back leaves the world as it was, but for rounding. */
export function place(world: World, vm: number, to: number): void {
  const from = world.hostOf[vm] ?? 0;
  if (from === to) return;
  arrive(world, vm, to);
  depart(world, vm, from);
}

/** The VM is on this host, and still takes its room where it was, until it departs from there. */
export function arrive(world: World, vm: number, to: number): void {
  charge(world, vm, to, 1);
  world.hostOf[vm] = to;
}

export const depart = (world: World, vm: number, from: number): void => charge(world, vm, from, -1);

/** Adds to one place of a flat array. */
export function add(array: Float64Array, at: number, amount: number): void {
  array[at] = (array[at] ?? 0) + amount;
}

/**
 * Adds to a host (1) or takes from it (-1) what the VM needs. Where its CPU use is unknown its source is relieved of
 * nothing, and every other host is charged with all its vCPUs.
 */
function charge(world: World, vm: number, host: number, sign: 1 | -1): void {
  const { used, variance, demand, demandVariance, origin, cpuKnown } = world;
  const [ofHost, ofVm] = [host * RESOURCES, vm * RESOURCES];
  const isCpuCounted = cpuKnown[vm] === 1 || origin[vm] !== host;
  for (let resource = isCpuCounted ? CPU : MEMORY; resource < RESOURCES; resource++) {
    add(used, ofHost + resource, sign * (demand[ofVm + resource] ?? 0));
    add(variance, ofHost + resource, sign * (demandVariance[ofVm + resource] ?? 0));
  }
  add(world.committed, host, sign * (world.vmBytes[vm] ?? 0));
  takeHugepages(world, vmAt(world, vm), host, sign);
  if (sign === 1) {
    world.vmsOn[host]?.add(vm);
    enterGroups(world.groups, vm, host);
  } else {
    world.vmsOn[host]?.delete(vm);
    leaveGroups(world.groups, vm, host);
  }
}

/** Takes the VM's huge pages from a host's pool (1), or gives them back (-1); a host without such pages has none to give. */
export function takeHugepages({ hugeFree }: World, vm: SnapshotVm, host: number, sign: 1 | -1): void {
  if (vm.hugepageBytes === undefined) return;
  const free = hugeFree[host]?.get(vm.hugepageBytes);
  if (free !== undefined) hugeFree[host]?.set(vm.hugepageBytes, free - sign * vm.memoryBytes);
}

/** A copy whose moves leave this one alone. */
export function copyWorld(world: World): World {
  return {
    ...world,
    used: world.used.slice(),
    variance: world.variance.slice(),
    committed: world.committed.slice(),
    hostOf: world.hostOf.slice(),
    vmsOn: world.vmsOn.map((vms) => new Set(vms)),
    hugeFree: world.hugeFree.map((free) => (free.size === 0 ? free : new Map(free))),
    groups: { ...world.groups, counts: world.groups.counts.map((counts) => new Map(counts)) },
  };
}

/** Share of a host's resource in use once running migrations have ended; 0 where its capacity is not known. */
export function ratioOf(world: World, host: number, resource: number): number {
  const at = host * RESOURCES + resource;
  const capacity = world.capacity[at] ?? 0;
  if (capacity <= 0) return 0;
  const leaving = resource === CPU ? (world.leavingCores[host] ?? 0) : 0;
  return Math.max(0, (world.used[at] ?? 0) - leaving) / capacity;
}

/** The same at p95: mean and 1.645 standard deviations. */
export function peakRatioOf(world: World, host: number, resource: number): number {
  const at = host * RESOURCES + resource;
  const capacity = world.capacity[at] ?? 0;
  if (capacity <= 0) return 0;
  return ratioOf(world, host, resource) + deviationOf(world, host, resource) * P95_DEVIATIONS;
}

/** Standard deviation of the ratio in use. */
export function deviationOf(world: World, host: number, resource: number): number {
  const at = host * RESOURCES + resource;
  const capacity = world.capacity[at] ?? 0;
  return capacity <= 0 ? 0 : Math.sqrt(Math.max(0, world.variance[at] ?? 0)) / capacity;
}

/** Hosts whose load is known, by index. */
export const knownHostIndexes = (world: World): number[] =>
  world.hosts.flatMap((_, host) => (world.unknown[host] === null ? [host] : []));

/** VMs that are not where the snapshot has them, by index. */
export const movedVms = (world: World): number[] =>
  world.vms.flatMap((_, vm) => (world.hostOf[vm] === world.origin[vm] ? [] : [vm]));

/** The host of an index; a RangeError says that a caller has counted wrongly. */
export function hostAt({ hosts }: Pick<World, "hosts">, host: number): SnapshotHost {
  const it = hosts[host];
  if (it === undefined) throw new RangeError(`no host ${host} in this world`);
  return it;
}

/** The VM of an index; a RangeError says that a caller has counted wrongly. */
export function vmAt({ vms }: Pick<World, "vms">, vm: number): SnapshotVm {
  const it = vms[vm];
  if (it === undefined) throw new RangeError(`no VM ${vm} in this world`);
  return it;
}

/** The host on which the VM is in this state. */
export const hostOfVm = (world: World, vm: number): SnapshotHost => hostAt(world, world.hostOf[vm] ?? -1);
