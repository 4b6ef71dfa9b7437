// Hard constraints once more, written from DESIGN section 6 and without the advisor's own arithmetic: what a plan breaks if
// its moves are made in their order.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../../../worker/model/cluster.ts";
import type { Move, PlanParameters } from "../../../worker/model/placement/types.ts";
import { groupsTornApart, rulesHold } from "./oracle-rules.ts";
import { MINUTE_MS, SECOND_MS } from "../../../worker/model/units.ts";

/** What of a move bears on hard constraints. */
type Step = Pick<Move, "n" | "wave" | "vm" | "fromHostId" | "toHostId" | "parking">;

/** By VM: the hosts on which it takes room: one, or two while it moves. */
type Where = Map<string, string[]>;

const fresh = (at: number, host: SnapshotHost): boolean =>
  host.heardAt !== undefined &&
  at - host.heardAt <= 60 * SECOND_MS &&
  host.load.cpuUsedCores !== undefined &&
  host.load.at !== undefined &&
  at - host.load.at <= 5 * MINUTE_MS;

const knownCores = (at: number, vm: SnapshotVm): number | undefined =>
  vm.load.at !== undefined && at - vm.load.at <= 5 * MINUTE_MS ? vm.load.cpuUsedCores : undefined;

/** Every breach, as a sentence; an empty list is a sound plan. While a wave runs, its VMs take room on both of their hosts. */
export function breachesOf(snapshot: Snapshot, parameters: PlanParameters, plan: { moves: readonly Step[] }): string[] {
  const where: Where = new Map(snapshot.hosts.flatMap((host) => host.vms.map((vm) => [vm.uuid, [host.hostId]])));
  const breaches: string[] = [];
  for (const wave of Map.groupBy(plan.moves, (move) => move.wave).values()) {
    for (const move of wave) {
      breaches.push(...breachesOfMove(snapshot, parameters, where, move).map((what) => `move ${move.n}: ${what}`));
      where.set(move.vm, [move.fromHostId, move.toHostId]);
    }
    for (const move of wave) where.set(move.vm, [move.toHostId]);
    breaches.push(...crowdsOf(parameters, wave));
  }
  plan.moves.forEach(({ n, wave }, index) => {
    if (n !== index + 1) breaches.push(`move ${index + 1} is numbered ${n}`);
    if (wave < (plan.moves[index - 1]?.wave ?? 1)) breaches.push(`move ${n} is of an earlier wave than the one before`);
  });
  const final = plan.moves.filter(({ parking }) => !parking);
  if (new Set(final.map(({ vm }) => vm)).size < final.length) breaches.push("a VM is moved twice");
  if (final.length > parameters.movesMax) breaches.push("more moves than movesMax");
  return [...breaches, ...groupsTornApart(snapshot, parameters, where)];
}

/** More at once than is allowed: out of a host, into one, between two, in all. */
function crowdsOf(parameters: PlanParameters, wave: Step[]): string[] {
  const { concurrencyPerHost, concurrencyIntoHost, concurrencyPerLink, concurrencyPerCluster } = parameters;
  const most = (key: (move: Step) => string): number =>
    Math.max(...[...Map.groupBy(wave, key).values()].map(({ length }) => length));
  const counts: [string, number, number][] = [
    ["out of a host", most(({ fromHostId }) => fromHostId), concurrencyPerHost],
    ["into a host", most(({ toHostId }) => toHostId), concurrencyIntoHost],
    ["on a link", most(({ fromHostId, toHostId }) => [fromHostId, toHostId].toSorted().join()), concurrencyPerLink],
    ["in the cluster", wave.length, concurrencyPerCluster],
  ];
  return counts.flatMap(([what, count, max]) =>
    count > max ? [`${count} moves ${what} at once, ${max} allowed`] : [],
  );
}

function breachesOfMove(snapshot: Snapshot, parameters: PlanParameters, where: Where, move: Step): string[] {
  const vms = new Map(snapshot.hosts.flatMap(({ vms: all }) => all.map((vm) => [vm.uuid, vm])));
  const vm = vms.get(move.vm);
  const from = snapshot.hosts.find(({ hostId }) => hostId === move.fromHostId);
  const to = snapshot.hosts.find(({ hostId }) => hostId === move.toHostId);
  if (vm === undefined || from === undefined || to === undefined) return ["VM or host does not exist"];
  const there = [...vms.values()].filter(
    ({ uuid }) => uuid !== vm.uuid && where.get(uuid)?.includes(to.hostId) === true,
  );
  const checks: Record<string, boolean> = {
    "VM is where the move takes it from": where.get(vm.uuid)?.join() === from.hostId && from.hostId !== to.hostId,
    "both hosts are known": fresh(snapshot.at, from) && fresh(snapshot.at, to),
    "policies permit": from.policy?.out !== false && to.policy?.in !== false,
    "nobody else manages the hosts": from.managedBy === undefined && to.managedBy === undefined,
    "destination is not evacuated": !isEmptied(parameters, to),
    "VM and hosts are in scope": isInScope(parameters, vm, from, to),
    "memory fits": memoryFits(snapshot, parameters, to, vm, there),
    "CPU fits": cpuFits(snapshot, parameters, where, to, vm),
    "cores suffice at p95": corePeakFits(snapshot, parameters, where, to, vm),
    "network suffices at p95": networkPeakFits(snapshot, parameters, where, to, vm),
    "VM may move": mayMove(snapshot, parameters, vm, from),
    "destination is alike": isAlike(vm, from, to),
    "networks are there": (vm.nics ?? []).every(({ network }) => to.networks?.includes(network) === true),
    "disks are shared": (vm.disks ?? []).every(
      ({ shared, pool }) =>
        shared === true || (shared !== false && [from, to].every((host) => hasSharedPool(host, pool))),
    ),
    "huge pages fit": hugepagesFit(snapshot, to, vm, there),
    "rules hold at the destination": rulesHold(snapshot, where, vm, from, to),
  };
  return Object.entries(checks).flatMap(([what, holds]) => (holds ? [] : [`not: ${what}`]));
}

const isEmptied = ({ hostIds }: PlanParameters, { hostId, maintenance }: SnapshotHost): boolean =>
  hostIds?.includes(hostId) === true || maintenance !== undefined;

const carries = (labels: Record<string, string> | undefined, wanted: Record<string, string> | undefined): boolean =>
  wanted !== undefined && Object.entries(wanted).every(([key, value]) => labels?.[key] === value);

function isInScope({ scope }: PlanParameters, vm: SnapshotVm, from: SnapshotHost, to: SnapshotHost): boolean {
  const { vms, hosts } = scope ?? {};
  const isVmIn = vms === undefined || vms.uuids?.includes(vm.uuid) === true || carries(vm.labels, vms.labels);
  const isHostIn = (host: SnapshotHost): boolean =>
    hosts === undefined || hosts.hostIds?.includes(host.hostId) === true || carries(host.labels, hosts.labels);
  return isVmIn && isHostIn(from) && isHostIn(to);
}

const hasSharedPool = (host: SnapshotHost, pool: string | undefined): boolean =>
  host.pools?.some(({ name, shared }) => name === pool && shared) === true;

const sum = (values: number[]): number => values.reduce((total, value) => total + value, 0);

function memoryFits(
  { reservations }: Snapshot,
  { memoryReserveRatio }: PlanParameters,
  to: SnapshotHost,
  vm: SnapshotVm,
  there: SnapshotVm[],
): boolean {
  const promised = reservations.filter(
    ({ toHostId, vmUuid }) => toHostId === to.hostId && !there.some(({ uuid }) => uuid === vmUuid),
  );
  const committed = sum([...there, vm].map(({ memoryBytes, overheadBytes = 0 }) => memoryBytes + overheadBytes));
  return committed + sum(promised.map(({ memoryBytes }) => memoryBytes)) <= to.memoryBytes * (1 - memoryReserveRatio);
}

/** Who is to be counted in and out of a host's own figures: who has come, who has left. */
function changesAt({ hosts }: Snapshot, where: Where, to: SnapshotHost, vm: SnapshotVm) {
  const all = hosts.flatMap((host) => host.vms.map((other) => ({ other, home: host.hostId })));
  const isThere = (uuid: string): boolean => where.get(uuid)?.includes(to.hostId) === true;
  const come = all.filter(({ other, home }) => home !== to.hostId && other !== vm && isThere(other.uuid));
  const left = all.filter(({ other, home }) => home === to.hostId && other !== vm && !isThere(other.uuid));
  return {
    come: come.map(({ other }) => other),
    left: left.map(({ other }) => other),
    comesHome: to.vms.includes(vm),
  };
}

/** Starts from the host's own figure, takes off who has left with a known use and adds who has come. */
function coresAt(snapshot: Snapshot, where: Where, to: SnapshotHost, vm: SnapshotVm): number {
  const { at, reservations } = snapshot;
  const { come, left, comesHome } = changesAt(snapshot, where, to, vm);
  const arriving = [...(comesHome ? [] : [vm]), ...come].map((other) => knownCores(at, other) ?? other.vcpus);
  const leaving = left.map((other) => knownCores(at, other) ?? 0);
  const promised = reservations.filter(({ toHostId }) => toHostId === to.hostId).map(({ cpuCores }) => cpuCores);
  return Math.max(0, (to.load.cpuUsedCores ?? 0) - sum(leaving)) + sum(arriving) + sum(promised);
}

const cpuFits = (
  snapshot: Snapshot,
  { cpuRatioMax }: PlanParameters,
  where: Where,
  to: SnapshotHost,
  vm: SnapshotVm,
): boolean => coresAt(snapshot, where, to, vm) <= to.cpu.cores * cpuRatioMax + 1e-6;

/** p95 is 1.645 standard deviations above the mean, and variances of different VMs add. */
const varianceOf = (mean: number, p95: number | undefined): number =>
  p95 === undefined ? 0 : Math.max(0, (p95 - mean) / 1.645) ** 2;

function spreadAt(own: number, vms: { come: number[]; left: number[] }): number {
  return Math.sqrt(Math.max(0, own - sum(vms.left)) + sum(vms.come));
}

function corePeakFits(
  snapshot: Snapshot,
  { peakRatioMax }: PlanParameters,
  where: Where,
  to: SnapshotHost,
  vm: SnapshotVm,
): boolean {
  const { at } = snapshot;
  const { come, left, comesHome } = changesAt(snapshot, where, to, vm);
  if (comesHome || (knownCores(at, vm) ?? vm.vcpus) <= 0) return true;
  const variance = (other: SnapshotVm): number => {
    const mean = knownCores(at, other);
    return mean === undefined ? 0 : varianceOf(mean, other.load.cpuUsedCoresP95);
  };
  const spread = spreadAt(varianceOf(to.load.cpuUsedCores ?? 0, to.load.cpuUsedCoresP95), {
    come: [vm, ...come].map(variance),
    left: left.map(variance),
  });
  return coresAt(snapshot, where, to, vm) + 1.645 * spread <= to.cpu.cores * peakRatioMax + 1e-6;
}

/** The host's own traffic is not reported in these worlds: that of its VMs counts. */
function networkPeakFits(
  snapshot: Snapshot,
  { peakRatioMax }: PlanParameters,
  where: Where,
  to: SnapshotHost,
  vm: SnapshotVm,
): boolean {
  const comes = vm.load.networkBytesPerSecond ?? 0;
  const total = to.capacity?.networkBytesPerSecond ?? to.migration?.bytesPerSecond;
  if (comes === 0 || total === undefined) return true;
  const there = snapshot.hosts
    .flatMap((host) => host.vms)
    .filter(({ uuid }) => uuid !== vm.uuid && where.get(uuid)?.includes(to.hostId) === true);
  return sum(there.map(({ load }) => load.networkBytesPerSecond ?? 0)) + comes <= total * peakRatioMax * (1 + 1e-9);
}

function mayMove(
  { at, reservations, lastMovedAt, movesLastDay }: Snapshot,
  parameters: PlanParameters,
  vm: SnapshotVm,
  from: SnapshotHost,
): boolean {
  const { cooldownMs } = parameters;
  const again = Math.max(0, (movesLastDay?.[vm.uuid] ?? 1) - 1);
  const restMs = Math.max(cooldownMs, Math.min(cooldownMs * 2 ** again, 8 * 60 * MINUTE_MS));
  const rested = isEmptied(parameters, from) || at - (lastMovedAt[vm.uuid] ?? 0) >= restMs;
  const migrating = reservations.some(({ vmUuid }) => vmUuid === vm.uuid);
  return (
    vm.state === "running" &&
    (isEmptied(parameters, from) || vm.pinned !== true) &&
    (vm.blockers ?? []).length === 0 &&
    rested &&
    !migrating
  );
}

function isAlike(vm: SnapshotVm, from: SnapshotHost, to: SnapshotHost): boolean {
  const seesCpu = vm.cpuMode === "host-passthrough" || vm.cpuMode === "host-model";
  const features = !seesCpu || (from.cpu.features ?? []).every((f) => to.cpu.features?.includes(f) !== false);
  const machine = vm.machineType === undefined || to.machineTypes?.includes(vm.machineType) !== false;
  return from.hypervisor === to.hypervisor && features && machine;
}

function hugepagesFit({ hosts }: Snapshot, to: SnapshotHost, vm: SnapshotVm, there: SnapshotVm[]): boolean {
  if (vm.hugepageBytes === undefined) return true;
  const free = to.hugepagePools?.find(({ pageBytes }) => pageBytes === vm.hugepageBytes)?.freeBytes ?? 0;
  const home = hosts.find(({ hostId }) => hostId === to.hostId)?.vms ?? [];
  const come = there.filter(
    ({ uuid, hugepageBytes }) => hugepageBytes === vm.hugepageBytes && !home.some((v) => v.uuid === uuid),
  );
  const left = home.filter(
    ({ uuid, hugepageBytes }) =>
      hugepageBytes === vm.hugepageBytes && uuid !== vm.uuid && !there.some((v) => v.uuid === uuid),
  );
  const bytes = (vms: SnapshotVm[]): number => sum(vms.map(({ memoryBytes }) => memoryBytes));
  return vm.memoryBytes + bytes(come) - bytes(left) <= free;
}
