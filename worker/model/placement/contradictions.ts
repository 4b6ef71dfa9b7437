// What cannot be true of a cluster as it is told, for snapshots that come from outside.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { InputProblem } from "../migration/types.ts";
import { cores, size } from "./format.ts";

/** A host's CPU figure may pass its cores by hyper-threads and by the time between samples, but not by this factor. */
const CORES_FACTOR_MAX = 1.5;
const TOLD_MAX = 32;

/**
 * Contradictions in a snapshot, each with its path in it: a VM that runs on two hosts, two hosts of one id, more memory in
 * use than there is, a running VM bigger than its host, far more cores in use than there are, negative or non-finite
 * numbers. A VM that is being migrated may be on two hosts. Empty: nothing contradicts itself.
 */
export function contradictionsOf(snapshot: Snapshot): InputProblem[] {
  const problems = [...hostsTwice(snapshot), ...vmsTwice(snapshot)];
  snapshot.hosts.forEach((host, index) => {
    problems.push(...impossibleLoads(host, `hosts.${index}`));
    problems.push(...badNumbers(host, `hosts.${index}`));
  });
  snapshot.reservations.forEach((reservation, index) =>
    problems.push(...badNumbers(reservation, `reservations.${index}`)),
  );
  problems.push(
    ...badNumbers(snapshot.lastMovedAt, "lastMovedAt"),
    ...badNumbers(snapshot.movesLastDay, "movesLastDay"),
  );
  if (!Number.isFinite(snapshot.at)) problems.push({ path: "at", message: "a time in ms since 1970 is needed" });
  return problems.slice(0, TOLD_MAX);
}

function hostsTwice({ hosts }: Snapshot): InputProblem[] {
  const first = new Map<string, number>();
  return hosts.flatMap(({ hostId }, index) => {
    const before = first.get(hostId);
    if (before === undefined) first.set(hostId, index);
    if (before === undefined) return [];
    const message = `host ${hostId} is hosts.${before} already: give each host once`;
    return [{ path: `hosts.${index}.hostId`, message }];
  });
}

function vmsTwice({ hosts, reservations }: Snapshot): InputProblem[] {
  const migrating = new Set(reservations.map(({ vmUuid }) => vmUuid));
  const running = new Map<string, { hostId: string; path: string }>();
  const problems: InputProblem[] = [];
  hosts.forEach(({ hostId, vms }, host) => {
    const here = new Set<string>();
    vms.forEach(({ uuid, name, state }, vm) => {
      const path = `hosts.${host}.vms.${vm}.uuid`;
      if (here.has(uuid)) problems.push({ path, message: `${name} is on ${hostId} twice: give each VM once` });
      here.add(uuid);
      if (state !== "running") return;
      const before = running.get(uuid);
      if (before === undefined) running.set(uuid, { hostId, path });
      else if (before.hostId !== hostId && !migrating.has(uuid)) {
        const message = `${name} runs on ${before.hostId} already (${before.path}): a VM runs on one host only`;
        problems.push({ path, message });
      }
    });
  });
  return problems;
}

function impossibleLoads(host: SnapshotHost, path: string): InputProblem[] {
  const { hostId, cpu, memoryBytes, load } = host;
  const problems: InputProblem[] = [];
  if (load.memoryUsedBytes !== undefined && load.memoryUsedBytes > memoryBytes) {
    const message = `${hostId} has ${size(memoryBytes)} of memory and ${size(load.memoryUsedBytes)} of it in use`;
    problems.push({ path: `${path}.load.memoryUsedBytes`, message });
  }
  if (load.cpuUsedCores !== undefined && load.cpuUsedCores > cpu.cores * CORES_FACTOR_MAX) {
    const message = `${hostId} has ${cores(cpu.cores)} cores and ${cores(load.cpuUsedCores)} in use: give cores, not a percentage`;
    problems.push({ path: `${path}.load.cpuUsedCores`, message });
  }
  host.vms.forEach((vm, index) => problems.push(...impossibleVm(host, vm, `${path}.vms.${index}`)));
  return problems;
}

function impossibleVm({ hostId, cpu, memoryBytes }: SnapshotHost, vm: SnapshotVm, path: string): InputProblem[] {
  const problems: InputProblem[] = [];
  if (vm.state === "running" && vm.memoryBytes > memoryBytes) {
    const message = `${vm.name} (${size(vm.memoryBytes)}) runs on ${hostId}, which has ${size(memoryBytes)}`;
    problems.push({ path: `${path}.memoryBytes`, message });
  }
  const used = vm.load.cpuUsedCores;
  if (used !== undefined && used > cpu.cores * CORES_FACTOR_MAX) {
    const message = `${vm.name} uses ${cores(used)} cores of ${hostId}, which has ${cores(cpu.cores)}: give cores, not a percentage`;
    problems.push({ path: `${path}.load.cpuUsedCores`, message });
  }
  return problems;
}

/** Series and temperatures may be below zero. */
const SIGNED = /temperature|^series$/i;

function badNumbers(value: unknown, path: string): InputProblem[] {
  if (typeof value === "number") {
    if (Number.isFinite(value) && value >= 0) return [];
    return [{ path, message: `${value} is not possible here: a finite number of 0 or more is needed, or nothing` }];
  }
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => (SIGNED.test(key) ? [] : badNumbers(inner, `${path}.${key}`)));
}
