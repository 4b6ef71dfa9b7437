// What a snapshot says of a host or VM by itself. What a plan makes of it is in world.ts.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { HOST_STALE_MS, MINUTE_MS, SECOND_MS } from "../units.ts";
import { counted } from "./format.ts";
import type { Rejection } from "./types.ts";

/** Load figures older than this say nothing about now. */
const TELEMETRY_STALE_MS = 5 * MINUTE_MS;

export const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

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
  const { hostId, heardAt, load, contradicts } = host;
  if (contradicts !== undefined) {
    const more = contradicts.length > 1 ? ` (and ${counted(contradicts.length - 1, "further contradiction")})` : "";
    const detail = `what is known of ${hostId} contradicts itself: ${contradicts[0]}${more}; see what its agent reports.`;
    return { hostId, constraint: "host-unknown", detail };
  }
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

/** Cores that the VM uses; null where that is not known or too old to count. */
export function vmCores(snapshot: Snapshot, vm: SnapshotVm): number | null {
  const { cpuUsedCores, at } = vm.load;
  if (cpuUsedCores === undefined || at === undefined || snapshot.at - at > TELEMETRY_STALE_MS) return null;
  return cpuUsedCores;
}

/** Maximum memory of the guest and what its hypervisor process needs besides. */
export function vmBytes(vm: SnapshotVm): number {
  return vm.memoryBytes + (vm.overheadBytes ?? 0);
}

function runsOn(host: SnapshotHost, vmUuid: string): boolean {
  return host.vms.some((vm) => vm.uuid === vmUuid && vm.state === "running");
}
