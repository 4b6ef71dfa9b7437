// A world made of a snapshot.
import type { HostLoad, Reservation, Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { compatibilityOf } from "./compatibility.ts";
import { compileGroups, enterGroups } from "./groups.ts";
import { healthOf } from "./health.ts";
import { peersOf } from "./peers.ts";
import { pressuresOf } from "./pressure.ts";
import { byText, vmBytes, vmCores, whyUnknown } from "./state.ts";
import { thresholdsOf } from "./thresholds.ts";
import type { PlanParameters } from "./types.ts";
import {
  add,
  CPU,
  DISK,
  MEMORY,
  NETWORK,
  P95_DEVIATIONS,
  RESOURCES,
  takeHugepages,
  vmAt,
  type World,
} from "./world.ts";

/** The snapshot as a world. The snapshot is not changed, nor kept in another order than it has. */
export function createWorld(snapshot: Snapshot, parameters: PlanParameters): World {
  const hosts = snapshot.hosts.toSorted((a, b) => byText(a.hostId, b.hostId));
  const hostIndex = new Map(hosts.map((host, index) => [host.hostId, index]));
  const { vms, origin, ghosts } = placedVms(hosts);
  const vmIndex = new Map(vms.map((vm, index) => [vm.uuid, index]));
  const migrating = new Map<number, Reservation>();
  for (const reservation of snapshot.reservations) {
    const vm = vmIndex.get(reservation.vmUuid);
    if (vm !== undefined) migrating.set(vm, reservation);
  }
  const world: World = {
    snapshot,
    parameters,
    hosts,
    vms,
    hostIndex,
    vmIndex,
    unknown: hosts.map((host) => whyUnknown(snapshot, host)),
    health: hosts.map((host) => healthOf(host, snapshot.at)),
    capacity: new Float64Array(hosts.length * RESOURCES),
    used: new Float64Array(hosts.length * RESOURCES),
    variance: new Float64Array(hosts.length * RESOURCES),
    leavingCores: new Float64Array(hosts.length),
    demand: new Float64Array(vms.length * RESOURCES),
    demandVariance: new Float64Array(vms.length * RESOURCES),
    cpuKnown: new Uint8Array(vms.length),
    vmBytes: Float64Array.from(vms, vmBytes),
    committed: new Float64Array(hosts.length),
    ceiling: Float64Array.from(hosts, ({ memoryBytes }) => memoryBytes * (1 - parameters.memoryReserveRatio)),
    hostOf: origin.slice(),
    origin,
    vmsOn: hosts.map(() => new Set<number>()),
    hugeFree: hosts.map(
      ({ hugepagePools = [] }) => new Map(hugepagePools.map(({ pageBytes, freeBytes }) => [pageBytes, freeBytes])),
    ),
    groups: compileGroups(snapshot, hosts, vms),
    isPlaceFor: compatibilityOf({ hosts, vms, origin }),
    peers: peersOf(vms, vmIndex),
    migrating,
  };
  vms.forEach((_, vm) => fillVm(world, vm));
  hosts.forEach((_, host) => fillHost(world, host));
  fillPressure(world);
  ghosts.forEach(({ host, bytes }) => add(world.committed, host, bytes));
  fillReservations(world);
  return world;
}

type Ghost = { host: number; bytes: number };

/** Each VM once, where it runs or else where it was seen first; further sightings commit memory and no more. */
function placedVms(hosts: readonly SnapshotHost[]): { vms: SnapshotVm[]; origin: Int32Array; ghosts: Ghost[] } {
  const seen = new Map<string, { vm: SnapshotVm; host: number }>();
  const ghosts: Ghost[] = [];
  hosts.forEach((host, index) => {
    for (const vm of host.vms) {
      const before = seen.get(vm.uuid);
      if (before === undefined) seen.set(vm.uuid, { vm, host: index });
      else if (before.vm.state !== "running" && vm.state === "running") {
        ghosts.push({ host: before.host, bytes: vmBytes(before.vm) });
        seen.set(vm.uuid, { vm, host: index });
      } else ghosts.push({ host: index, bytes: vmBytes(vm) });
    }
  });
  const ordered = [...seen.values()].sort((a, b) => byText(a.vm.uuid, b.vm.uuid));
  return { vms: ordered.map(({ vm }) => vm), origin: Int32Array.from(ordered, ({ host }) => host), ghosts };
}

const varianceOf = (mean: number, p95: number | undefined): number =>
  p95 === undefined ? 0 : Math.max(0, (p95 - mean) / P95_DEVIATIONS) ** 2;

function fillVm(world: World, vm: number): void {
  const { snapshot, vms, demand, demandVariance, cpuKnown, origin, vmsOn, committed, groups } = world;
  const it = vms[vm];
  const host = origin[vm] ?? 0;
  if (it === undefined) return;
  const { load } = it;
  const cores = vmCores(snapshot, it);
  const at = vm * RESOURCES;
  cpuKnown[vm] = cores === null ? 0 : 1;
  demand[at + CPU] = cores ?? it.vcpus;
  demand[at + MEMORY] = load.memoryUsedBytes ?? it.memoryBytes;
  demand[at + NETWORK] = load.networkBytesPerSecond ?? 0;
  demand[at + DISK] = load.diskBytesPerSecond ?? 0;
  demandVariance[at + CPU] = cores === null ? 0 : varianceOf(cores, load.cpuUsedCoresP95);
  demandVariance[at + NETWORK] = varianceOf(demand[at + NETWORK] ?? 0, load.networkBytesPerSecondP95);
  vmsOn[host]?.add(vm);
  add(committed, host, vmBytes(it));
  enterGroups(groups, vm, host);
}

function fillHost(world: World, host: number): void {
  const { hosts, capacity, used, variance, vmsOn, demand } = world;
  const it = hosts[host];
  if (it === undefined) return;
  const { load } = it;
  const at = host * RESOURCES;
  capacity.set(capacitiesOf(it), at);
  const ofVms = (resource: number): number =>
    [...(vmsOn[host] ?? [])].reduce((sum, vm) => sum + (demand[vm * RESOURCES + resource] ?? 0), 0);
  const cores = load.cpuUsedCores ?? 0;
  const network = networkOf(load) ?? ofVms(NETWORK);
  used.set([cores, load.memoryUsedBytes ?? ofVms(MEMORY), network, load.diskBytesPerSecond ?? ofVms(DISK)], at);
  variance[at + CPU] = varianceOf(cores, load.cpuUsedCoresP95);
  variance[at + NETWORK] = varianceOf(network, load.networkBytesPerSecondP95);
}

/** Hosts under pressure use at least what that stands for. */
function fillPressure({ snapshot, parameters, hosts, unknown, used, capacity }: World): void {
  const thresholds = thresholdsOf(parameters);
  hosts.forEach((it, host) => {
    if (unknown[host] !== null) return;
    for (const { resource, ratio } of pressuresOf(it, snapshot.at, parameters, thresholds)) {
      const at = host * RESOURCES + resource;
      used[at] = Math.max(used[at] ?? 0, ratio * (capacity[at] ?? 0));
    }
  });
}

/** In order of the resources; 0: not known. */
const capacitiesOf = ({ cpu, memoryBytes, capacity, migration }: SnapshotHost): number[] => [
  cpu.cores,
  memoryBytes,
  capacity?.networkBytesPerSecond ?? migration?.bytesPerSecond ?? 0,
  capacity?.diskBytesPerSecond ?? 0,
];

/** Bytes a second in both directions; undefined: neither is known. */
function networkOf({ networkReceiveBytesPerSecond: received, networkTransmitBytesPerSecond: sent }: HostLoad) {
  return received === undefined && sent === undefined ? undefined : (received ?? 0) + (sent ?? 0);
}

function fillReservations(world: World): void {
  const { snapshot, hosts, hostIndex, vmIndex } = world;
  for (const reservation of snapshot.reservations) {
    const { vmUuid, cpuCores } = reservation;
    const vm = vmIndex.get(vmUuid);
    const from = hostIndex.get(reservation.fromHostId);
    const to = hostIndex.get(reservation.toHostId);
    const runsOn = vm !== undefined && vmAt(world, vm).state === "running" ? world.hostOf[vm] : undefined;
    if (from !== undefined && runsOn === from) add(world.leavingCores, from, cpuCores);
    if (to === undefined) continue;
    const isThere = hosts[to]?.vms.some(({ uuid }) => uuid === vmUuid) === true;
    if (!isThere) add(world.committed, to, reservation.memoryBytes);
    if (runsOn === to) continue;
    add(world.used, to * RESOURCES + CPU, cpuCores);
    if (vm === undefined) continue;
    // Its group sees it in both places until the migration has ended.
    if (!isThere) enterGroups(world.groups, vm, to);
    takeHugepages(world, vmAt(world, vm), to, 1);
  }
}
