// Arithmetic on a snapshot. A projected state is a snapshot too: `applyMove` returns the one after a move, so that every
// rule is asked of the present and of what a plan will make of it in the same way.
import type { Reservation, Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { HOST_STALE_MS, MINUTE_MS, SECOND_MS } from "../units.ts";
import type { Rejection } from "./types.ts";

/** Load figures older than this say nothing about now. */
const TELEMETRY_STALE_MS = 5 * MINUTE_MS;

const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** The same snapshot with hosts by id and VMs by uuid, so that the order of reading never changes a plan. */
export function orderedSnapshot(snapshot: Snapshot): Snapshot {
  return {
    ...snapshot,
    hosts: snapshot.hosts
      .map((host) => ({ ...host, vms: host.vms.toSorted((a, b) => byText(a.uuid, b.uuid)) }))
      .toSorted((a, b) => byText(a.hostId, b.hostId)),
    reservations: snapshot.reservations.toSorted((a, b) => byText(a.migrationId, b.migrationId)),
  };
}

export function hostById(snapshot: Snapshot, hostId: string): SnapshotHost | undefined {
  return snapshot.hosts.find((host) => host.hostId === hostId);
}

/** The host on which the VM runs; where it runs nowhere, a host that has it in any other state. */
export function hostOf(snapshot: Snapshot, vmUuid: string): SnapshotHost | undefined {
  const holders = snapshot.hosts.filter((host) => host.vms.some((vm) => vm.uuid === vmUuid));
  return holders.find((host) => runsOn(host, vmUuid)) ?? holders[0];
}

/** Why nothing may be decided about this host; null where its load is known. Absent telemetry is unknown, never idle. */
export function whyUnknown(snapshot: Snapshot, host: SnapshotHost): Rejection | null {
  const { hostId, heardAt, load } = host;
  if (heardAt === undefined) {
    return { hostId, constraint: "host-unknown", detail: `${hostId} was never heard: start its agent.` };
  }
  const silentMs = snapshot.at - heardAt;
  if (silentMs > HOST_STALE_MS) {
    const detail = `${hostId} was last heard ${ago(silentMs)}, over ${HOST_STALE_MS / SECOND_MS} s: see that its agent runs and reaches Drover.`;
    return { hostId, constraint: "host-stale", detail, required: HOST_STALE_MS, available: silentMs, unit: "ms" };
  }
  if (load.cpuUsedCores === undefined || load.at === undefined) {
    const detail = `${hostId} lives but has sent no CPU load: its agent must send cpu_used_cores.`;
    return { hostId, constraint: "host-unknown", detail };
  }
  const ageMs = snapshot.at - load.at;
  if (ageMs <= TELEMETRY_STALE_MS) return null;
  const detail = `the newest load of ${hostId} was taken ${ago(ageMs)}, over ${TELEMETRY_STALE_MS / SECOND_MS} s: see why its telemetry stopped.`;
  return { hostId, constraint: "host-unknown", detail, required: TELEMETRY_STALE_MS, available: ageMs, unit: "ms" };
}

const ago = (ms: number): string => `${Math.round(ms / SECOND_MS)} s ago`;

/** Hosts whose load is known, in the order of the snapshot. */
export function knownHosts(snapshot: Snapshot): SnapshotHost[] {
  return snapshot.hosts.filter((host) => whyUnknown(snapshot, host) === null);
}

/** Cores that the VM uses; null where that is not known or too old to count. */
export function vmCores(snapshot: Snapshot, vm: SnapshotVm): number | null {
  const { cpuUsedCores, at } = vm.load;
  if (cpuUsedCores === undefined || at === undefined || snapshot.at - at > TELEMETRY_STALE_MS) return null;
  return cpuUsedCores;
}

/** Cores that a destination must have for the VM: what it uses, or all its vCPUs where that is unknown. */
export function vmCoresAtMost(snapshot: Snapshot, vm: SnapshotVm): number {
  return vmCores(snapshot, vm) ?? vm.vcpus;
}

/** Maximum memory of the guest and what its hypervisor process needs besides. */
export function vmBytes(vm: SnapshotVm): number {
  return vm.memoryBytes + (vm.overheadBytes ?? 0);
}

function runsOn(host: SnapshotHost, vmUuid: string): boolean {
  return host.vms.some((vm) => vm.uuid === vmUuid && vm.state === "running");
}

/** Running migrations whose VM does not yet run at this, their destination. */
export function incoming(snapshot: Snapshot, host: SnapshotHost): Reservation[] {
  return snapshot.reservations.filter(({ toHostId, vmUuid }) => toHostId === host.hostId && !runsOn(host, vmUuid));
}

/**
 * Memory promised on a host, in bytes: the maximum of every VM it has, stopped ones too (they can be started without
 * asking anyone), and what running migrations have reserved. A VM under `withoutUuid` is left out.
 */
export function committedBytes(snapshot: Snapshot, host: SnapshotHost, withoutUuid?: string): number {
  const present = host.vms.filter((vm) => vm.uuid !== withoutUuid);
  const promised = snapshot.reservations.filter(
    ({ toHostId, vmUuid }) =>
      toHostId === host.hostId && vmUuid !== withoutUuid && !present.some((vm) => vm.uuid === vmUuid),
  );
  return (
    present.reduce((sum, vm) => sum + vmBytes(vm), 0) + promised.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0)
  );
}

/** Cores in use on a host, with those that running migrations will bring. Ask it of known hosts only. */
export function committedCores(snapshot: Snapshot, host: SnapshotHost): number {
  const used = host.load.cpuUsedCores ?? 0;
  return incoming(snapshot, host).reduce((sum, { cpuCores }) => sum + cpuCores, used);
}

/** Share of a host's cores in use once running migrations have ended. Ask it of known hosts only. */
export function cpuRatio(snapshot: Snapshot, host: SnapshotHost): number {
  const leaving = snapshot.reservations
    .filter(({ fromHostId, vmUuid }) => fromHostId === host.hostId && runsOn(host, vmUuid))
    .reduce((sum, { cpuCores }) => sum + cpuCores, 0);
  return Math.max(0, committedCores(snapshot, host) - leaving) / host.cpu.cores;
}

/**
 * The state after the VM has moved. Where its CPU use is unknown the destination is charged with all its vCPUs and the
 * source is relieved of nothing.
 */
export function applyMove(snapshot: Snapshot, vm: SnapshotVm, fromHostId: string, toHostId: string): Snapshot {
  const hosts = snapshot.hosts.map((host) => {
    if (host.hostId === fromHostId) {
      const vms = host.vms.filter(({ uuid }) => uuid !== vm.uuid);
      return recharged({ ...host, vms }, vm, -(vmCores(snapshot, vm) ?? 0), -1);
    }
    if (host.hostId !== toHostId) return host;
    const vms = [...host.vms.filter(({ uuid }) => uuid !== vm.uuid), vm];
    return recharged({ ...host, vms }, vm, vmCoresAtMost(snapshot, vm), 1);
  });
  return { ...snapshot, hosts };
}

function recharged(host: SnapshotHost, vm: SnapshotVm, cores: number, direction: 1 | -1): SnapshotHost {
  const { load, hugepagePools } = host;
  const charged: SnapshotHost =
    load.cpuUsedCores === undefined
      ? host
      : { ...host, load: { ...load, cpuUsedCores: Math.max(0, load.cpuUsedCores + cores) } };
  if (vm.hugepageBytes === undefined || hugepagePools === undefined) return charged;
  return {
    ...charged,
    hugepagePools: hugepagePools.map((pool) =>
      pool.pageBytes === vm.hugepageBytes ? { ...pool, freeBytes: pool.freeBytes - direction * vm.memoryBytes } : pool,
    ),
  };
}
