// What cannot be true of a cluster as it is told. Where a caller states it, it is refused; of what agents report, the hosts and
// VMs that it is about are set aside, and the rest is planned for.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import type { InputProblem } from "../migration/types.ts";
import { cores, listed, size } from "./format.ts";

/** A host's CPU figure may pass its cores by hyper-threads and by the time between samples, but not by this factor. */
const CORES_FACTOR_MAX = 1.5;
const TOLD_MAX = 32;

/**
 * Contradictions in a snapshot, each with its path in it: a VM that runs on two hosts, two hosts of one id, more memory in
 * use than there is, a running VM bigger than its host, far more cores in use than there are, negative or non-finite
 * numbers. A VM that is being migrated may be on two hosts. What `setAside` has set aside is none. Empty: nothing contradicts itself.
 */
export function contradictionsOf(snapshot: Snapshot): InputProblem[] {
  const problems = [...hostsTwice(snapshot), ...vmsTwice(snapshot)];
  snapshot.hosts.forEach((host, index) => {
    if (host.contradicts !== undefined) return;
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
    vms.forEach(({ uuid, name, state, reportedBy }, vm) => {
      const path = `hosts.${host}.vms.${vm}.uuid`;
      if (here.has(uuid)) problems.push({ path, message: `${name} is on ${hostId} twice: give each VM once` });
      here.add(uuid);
      if (state !== "running" || reportedBy !== undefined) return;
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

/**
 * The snapshot with what contradicts itself set aside: a host of impossible figures is unknown, with what is wrong with it; a
 * VM that two hosts report as running, or one host twice, stays where it is. What is left is as it was.
 */
export function setAside(snapshot: Snapshot): Snapshot {
  const twice = reportedTwice(snapshot);
  const hosts = snapshot.hosts.map((host): SnapshotHost => {
    const wrong = [...impossibleLoads(host, ""), ...badNumbers(host, "")].map(({ path, message }) =>
      message.includes(host.hostId) ? message : `${path.slice(1)}: ${message}`,
    );
    const vms = host.vms.some(({ uuid }) => twice.has(uuid)) ? onlyOnce(host.vms, twice) : host.vms;
    if (wrong.length === 0) return vms === host.vms ? host : { ...host, vms };
    return { ...host, contradicts: wrong, load: {}, vms: vms.map((vm) => ({ ...vm, load: {} })) };
  });
  return hosts.every((host, index) => host === snapshot.hosts[index]) ? snapshot : { ...snapshot, hosts };
}

/** By VM that is not being migrated: the hosts that report it as running, a host twice where it reports it twice. */
function reportedTwice({ hosts, reservations }: Snapshot): Map<string, string> {
  const migrating = new Set(reservations.map(({ vmUuid }) => vmUuid));
  const first = new Map<string, string>();
  const twice = new Map<string, string[]>();
  for (const { hostId, vms } of hosts)
    for (const { uuid, state } of vms) {
      if (state !== "running" || migrating.has(uuid)) continue;
      const before = first.get(uuid);
      if (before === undefined) first.set(uuid, hostId);
      else twice.set(uuid, [...(twice.get(uuid) ?? [before]), hostId]);
    }
  return new Map([...twice].map(([uuid, ids]) => [uuid, listed(ids)]));
}

/** The VMs of a host, each once; those that are reported twice say where. */
function onlyOnce(vms: readonly SnapshotVm[], twice: ReadonlyMap<string, string>): SnapshotVm[] {
  const seen = new Set<string>();
  return vms.flatMap((vm) => {
    if (seen.has(vm.uuid)) return [];
    seen.add(vm.uuid);
    const reportedBy = twice.get(vm.uuid);
    return [reportedBy === undefined ? vm : { ...vm, reportedBy }];
  });
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
