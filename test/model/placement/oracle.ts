// Hard constraints once more, written from DESIGN section 6 and without the advisor's own arithmetic: what a plan breaks if
// its moves are made in their order.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../../../worker/model/cluster.ts";
import type { Move, PlanContent, PlanParameters } from "../../../worker/model/placement/types.ts";
import { MINUTE_MS, SECOND_MS } from "../../../worker/model/units.ts";

type Where = Map<string, string>;

const fresh = (at: number, host: SnapshotHost): boolean =>
  host.heardAt !== undefined &&
  at - host.heardAt <= 60 * SECOND_MS &&
  host.load.cpuUsedCores !== undefined &&
  host.load.at !== undefined &&
  at - host.load.at <= 5 * MINUTE_MS;

const knownCores = (at: number, vm: SnapshotVm): number | undefined =>
  vm.load.at !== undefined && at - vm.load.at <= 5 * MINUTE_MS ? vm.load.cpuUsedCores : undefined;

/** Every breach, as a sentence; an empty list is a sound plan. */
export function breachesOf(snapshot: Snapshot, parameters: PlanParameters, plan: PlanContent): string[] {
  const where: Where = new Map(snapshot.hosts.flatMap((host) => host.vms.map((vm) => [vm.uuid, host.hostId])));
  const breaches: string[] = [];
  plan.moves.forEach((move, index) => {
    if (move.n !== index + 1) breaches.push(`move ${index + 1} is numbered ${move.n}`);
    breaches.push(...breachesOfMove(snapshot, parameters, where, move).map((what) => `move ${move.n}: ${what}`));
    where.set(move.vm, move.toHostId);
  });
  const final = plan.moves.filter(({ parking }) => !parking);
  if (new Set(final.map(({ vm }) => vm)).size < final.length) breaches.push("a VM is moved twice");
  if (plan.moves.length > parameters.movesMax) breaches.push("more moves than movesMax");
  return breaches;
}

function breachesOfMove(snapshot: Snapshot, parameters: PlanParameters, where: Where, move: Move): string[] {
  const vms = new Map(snapshot.hosts.flatMap(({ vms: all }) => all.map((vm) => [vm.uuid, vm])));
  const vm = vms.get(move.vm);
  const from = snapshot.hosts.find(({ hostId }) => hostId === move.fromHostId);
  const to = snapshot.hosts.find(({ hostId }) => hostId === move.toHostId);
  if (vm === undefined || from === undefined || to === undefined) return ["VM or host does not exist"];
  const there = [...vms.values()].filter(({ uuid }) => uuid !== vm.uuid && where.get(uuid) === to.hostId);
  const checks: Record<string, boolean> = {
    "VM is where the move takes it from": where.get(vm.uuid) === from.hostId && from.hostId !== to.hostId,
    "both hosts are known": fresh(snapshot.at, from) && fresh(snapshot.at, to),
    "policies permit": from.policy?.out !== false && to.policy?.in !== false,
    "nobody else manages the hosts": from.managedBy === undefined && to.managedBy === undefined,
    "destination is not evacuated": parameters.hostIds?.includes(to.hostId) !== true,
    "memory fits": memoryFits(snapshot, parameters, to, vm, there),
    "CPU fits": cpuFits(snapshot, parameters, where, to, vm),
    "VM may move": mayMove(snapshot, parameters, vm, from),
    "destination is alike": isAlike(vm, from, to),
    "networks are there": (vm.nics ?? []).every(({ network }) => to.networks?.includes(network) === true),
    "disks are shared": (vm.disks ?? []).every(
      ({ shared, pool }) =>
        shared === true || (shared !== false && [from, to].every((host) => hasSharedPool(host, pool))),
    ),
    "huge pages fit": hugepagesFit(snapshot, to, vm, there),
    "anti-affinity holds": antiAffinityHolds(snapshot, vms, to, vm, there),
  };
  return Object.entries(checks).flatMap(([what, holds]) => (holds ? [] : [`not: ${what}`]));
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

/** Starts from the host's own figure, takes off who has left with a known use and adds who has come. */
function cpuFits(
  { at, hosts, reservations }: Snapshot,
  { cpuRatioMax }: PlanParameters,
  where: Where,
  to: SnapshotHost,
  vm: SnapshotVm,
): boolean {
  const moved = hosts.flatMap((host) => host.vms.map((other) => ({ other, home: host.hostId })));
  const come = moved.filter(({ other, home }) => home !== to.hostId && where.get(other.uuid) === to.hostId);
  const left = moved.filter(({ other, home }) => home === to.hostId && where.get(other.uuid) !== to.hostId);
  const arriving = [vm, ...come.map(({ other }) => other)].map((other) => knownCores(at, other) ?? other.vcpus);
  const leaving = left.map(({ other }) => knownCores(at, other) ?? 0);
  const promised = reservations.filter(({ toHostId }) => toHostId === to.hostId).map(({ cpuCores }) => cpuCores);
  const used = Math.max(0, (to.load.cpuUsedCores ?? 0) - sum(leaving)) + sum(arriving) + sum(promised);
  return used <= to.cpu.cores * cpuRatioMax + 1e-6;
}

function mayMove(
  { at, reservations, lastMovedAt }: Snapshot,
  { cooldownMs, hostIds }: PlanParameters,
  vm: SnapshotVm,
  from: SnapshotHost,
): boolean {
  const isEmptied = hostIds?.includes(from.hostId) === true || from.maintenance !== undefined;
  const rested = isEmptied || at - (lastMovedAt[vm.uuid] ?? 0) >= cooldownMs;
  const migrating = reservations.some(({ vmUuid }) => vmUuid === vm.uuid);
  return (
    vm.state === "running" &&
    (isEmptied || vm.pinned !== true) &&
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

function antiAffinityHolds(
  { reservations }: Snapshot,
  vms: Map<string, SnapshotVm>,
  to: SnapshotHost,
  vm: SnapshotVm,
  there: SnapshotVm[],
): boolean {
  const group = vm.labels?.["anti-affinity"];
  const coming = reservations.filter(({ toHostId }) => toHostId === to.hostId).map(({ vmUuid }) => vms.get(vmUuid));
  return group === undefined || [...there, ...coming].every((other) => other?.labels?.["anti-affinity"] !== group);
}
