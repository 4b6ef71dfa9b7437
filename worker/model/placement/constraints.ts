// Hard constraints: what stands against a move, each with its numbers. Nothing here weighs or prefers.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { cores, duration, listed, percent, size } from "./format.ts";
import {
  committedBytes,
  committedCores,
  hostOf,
  incoming,
  vmBytes,
  vmCores,
  vmCoresAtMost,
  whyUnknown,
} from "./state.ts";
import { ruleObjection } from "./rule-objection.ts";
import { storageObjection } from "./storage.ts";
import type { PlanParameters, Rejection } from "./types.ts";

/** Sums of cores are floating point: what differs by less is the same. */
const CORES_EPSILON = 1e-9;

type Leaving = { snapshot: Snapshot; vm: SnapshotVm; from: SnapshotHost; parameters: PlanParameters };
type Moving = Leaving & { to: SnapshotHost };

/**
 * What keeps a VM on its host, wherever it was to go: the state of the VM, of its host, or how lately it was moved.
 * Empty: nothing does.
 */
export function immovable(
  vm: SnapshotVm,
  host: SnapshotHost,
  snapshot: Snapshot,
  parameters: PlanParameters,
): Rejection[] {
  const unknown = whyUnknown(snapshot, host);
  if (unknown !== null) return [unknown];
  return found(leavingChecks, { snapshot, vm, from: host, parameters });
}

/**
 * Everything that stands against moving the VM to `to` in this state, a snapshot or a projected one: what keeps it where
 * it is (`immovable`) and what the destination lacks. Empty: the move breaks no hard constraint. Its cost is not asked.
 */
export function rejectionsFor(
  snapshot: Snapshot,
  vm: SnapshotVm,
  to: SnapshotHost,
  parameters: PlanParameters,
  from: SnapshotHost | undefined = hostOf(snapshot, vm.uuid),
): Rejection[] {
  const { hostId } = to;
  if (from === undefined) {
    return [
      { constraint: "vm-state", detail: `${vm.name} is on no host of this snapshot: wait until one reports it.` },
    ];
  }
  if (from.hostId === hostId) {
    return [{ hostId, constraint: "no-gain", detail: `${vm.name} is on ${hostId} already.` }];
  }
  const staying = immovable(vm, from, snapshot, parameters);
  const unknown = whyUnknown(snapshot, to);
  if (unknown !== null) return [...staying, unknown];
  return [...staying, ...found(arrivingChecks, { snapshot, vm, from, to, parameters })];
}

function found<Case>(checks: readonly ((question: Case) => Rejection | null)[], question: Case): Rejection[] {
  return checks.map((check) => check(question)).filter((rejection) => rejection !== null);
}

const leavingChecks: readonly ((question: Leaving) => Rejection | null)[] = [
  function running({ vm }) {
    if (vm.state === "running") return null;
    const detail = `${vm.name} is ${vm.state}: only a running VM is live-migrated.`;
    return { constraint: "vm-state", detail };
  },
  function notMigrating({ snapshot, vm }) {
    const running = snapshot.reservations.find(({ vmUuid }) => vmUuid === vm.uuid);
    if (running === undefined) return null;
    const detail = `${vm.name} is being migrated to ${running.toHostId} (${running.migrationId}): wait for its end.`;
    return { constraint: "migrating", detail };
  },
  function notPinned({ vm }) {
    if (vm.pinned !== true) return null;
    return { constraint: "pinned", detail: `${vm.name} is pinned to its host: unpin it to let it move.` };
  },
  function notBlocked({ vm }) {
    if (vm.blockers === undefined || vm.blockers.length === 0) return null;
    const detail = `${vm.name} cannot be live-migrated because of ${listed(vm.blockers)}: detach it or stop the VM.`;
    return { constraint: "blocker", detail };
  },
  function cooledDown({ snapshot, vm, parameters }) {
    const movedAt = snapshot.lastMovedAt[vm.uuid];
    if (movedAt === undefined || snapshot.at - movedAt >= parameters.cooldownMs) return null;
    const restedMs = snapshot.at - movedAt;
    const detail = `${vm.name} was moved ${duration(restedMs)} ago and rests for ${duration(parameters.cooldownMs)}: wait ${duration(parameters.cooldownMs - restedMs)} or lower cooldownMs.`;
    return { constraint: "cooldown", detail, required: parameters.cooldownMs, available: restedMs, unit: "ms" };
  },
  function sourcePermits({ from: { hostId, policy } }) {
    if (policy?.out !== false) return null;
    const detail = `the agent of ${hostId} lets no VM out: its local policy must permit \`out\`.`;
    return { hostId, constraint: "host-policy", detail };
  },
  ({ from }) => managed(from),
];

const arrivingChecks: readonly ((question: Moving) => Rejection | null)[] = [
  function notBeingEvacuated({ to: { hostId }, parameters }) {
    if (parameters.hostIds?.includes(hostId) !== true) return null;
    return { hostId, constraint: "host-being-evacuated", detail: `${hostId} is being evacuated itself.` };
  },
  function notInMaintenance({ to: { hostId, maintenance } }) {
    if (maintenance === undefined) return null;
    const until = maintenance.until === undefined ? "" : ` until ${new Date(maintenance.until).toISOString()}`;
    const detail = `${hostId} is in maintenance${until} (${maintenance.reason}): end it to let VMs in.`;
    return { hostId, constraint: "host-maintenance", detail };
  },
  function destinationPermits({ to: { hostId, policy } }) {
    if (policy?.in !== false) return null;
    const detail = `the agent of ${hostId} lets no VM in: its local policy must permit \`in\`.`;
    return { hostId, constraint: "host-policy", detail };
  },
  ({ to }) => managed(to),
  memoryFits,
  cpuFits,
  function sameHypervisor({ from, to: { hostId, hypervisor } }) {
    if (hypervisor === from.hypervisor) return null;
    const detail = `${hostId} runs ${hypervisor}, ${from.hostId} runs ${from.hypervisor}: no VM moves between the two.`;
    return { hostId, constraint: "hypervisor", detail };
  },
  cpuFeaturesPresent,
  function machineTypeKnown({ vm, to: { hostId, machineTypes } }) {
    if (vm.machineType === undefined || machineTypes === undefined) return null;
    if (machineTypes.includes(vm.machineType)) return null;
    const detail = `${hostId} has no machine type ${vm.machineType}: its hypervisor needs a version that has it.`;
    return { hostId, constraint: "machine-type", detail };
  },
  function networksPresent({ vm, to: { hostId, networks } }) {
    const wanted = [...new Set((vm.nics ?? []).map(({ network }) => network))];
    const missing = wanted.filter((network) => networks?.includes(network) !== true);
    if (missing.length === 0) return null;
    const detail =
      networks === undefined
        ? `${hostId} has not said which networks it has, ${vm.name} needs ${listed(missing)}: its agent must report them.`
        : `${hostId} lacks ${listed(missing)}, which ${vm.name} uses.`;
    const available = wanted.length - missing.length;
    return { hostId, constraint: "network", detail, required: wanted.length, available, unit: "networks" };
  },
  ({ vm, from, to }) => storageObjection(vm, from, to),
  hugepagesFit,
  antiAffinityHolds,
  ({ snapshot, vm, from, to, parameters }) => ruleObjection(snapshot, vm, from, to, parameters),
];

function managed({ hostId, managedBy }: SnapshotHost): Rejection | null {
  if (managedBy === undefined) return null;
  const detail = `${hostId} is managed by ${managedBy}, which may restart its VMs by itself: move them through it.`;
  return { hostId, constraint: "host-managed", detail };
}

function memoryFits({ snapshot, vm, to, parameters }: Moving): Rejection | null {
  const { hostId, memoryBytes } = to;
  const ceiling = memoryBytes * (1 - parameters.memoryReserveRatio);
  const committed = committedBytes(snapshot, to, vm.uuid);
  const required = vmBytes(vm);
  const short = committed + required - ceiling;
  if (short <= 0) return null;
  const detail = `${hostId} may commit ${size(ceiling)} (${size(memoryBytes)} less ${percent(parameters.memoryReserveRatio)}) and has committed ${size(committed)}; ${vm.name} needs ${size(required)}, ${size(short)} too much.`;
  const available = Math.max(0, Math.floor(ceiling - committed));
  return { hostId, constraint: "memory", detail, required, available, unit: "bytes" };
}

function cpuFits({ snapshot, vm, to, parameters }: Moving): Rejection | null {
  const { hostId, cpu } = to;
  const ceiling = cpu.cores * parameters.cpuRatioMax;
  const used = committedCores(snapshot, to);
  const required = vmCoresAtMost(snapshot, vm);
  if (used + required <= ceiling + CORES_EPSILON) return null;
  const known = vmCores(snapshot, vm) !== null;
  const needs = known ? `uses ${cores(required)} cores` : `has unknown CPU use and counts as all its ${vm.vcpus} vCPUs`;
  const detail = `${hostId} may use ${cores(ceiling)} of its ${cores(cpu.cores)} cores and has ${cores(used)} in use; ${vm.name} ${needs}, ${cores(used + required - ceiling)} too many.`;
  const available = Math.max(0, ceiling - used);
  return { hostId, constraint: known ? "cpu" : "cpu-unknown", detail, required, available, unit: "cores" };
}

/** Guests that see the host's own CPU; others get a named model that every host of the hypervisor can give. */
const HOST_CPU_MODES: readonly string[] = ["host-passthrough", "host-model"];

function cpuFeaturesPresent({ vm, from, to: { hostId, cpu } }: Moving): Rejection | null {
  const wanted = from.cpu.features;
  if (vm.cpuMode === undefined || !HOST_CPU_MODES.includes(vm.cpuMode)) return null;
  if (wanted === undefined || cpu.features === undefined) return null;
  const present = new Set(cpu.features);
  const missing = wanted.filter((feature) => !present.has(feature));
  if (missing.length === 0) return null;
  const detail = `${vm.name} sees the CPU of ${from.hostId} (${vm.cpuMode}); ${hostId} lacks ${listed(missing)}: give the VM a CPU model that both have.`;
  const available = wanted.length - missing.length;
  return { hostId, constraint: "cpu-features", detail, required: wanted.length, available, unit: "features" };
}

function hugepagesFit({ snapshot, vm, to }: Moving): Rejection | null {
  if (vm.hugepageBytes === undefined) return null;
  const pageBytes = vm.hugepageBytes;
  const pool = to.hugepagePools?.find((candidate) => candidate.pageBytes === pageBytes);
  const promised = incoming(snapshot, to)
    .filter(({ vmUuid }) => hugepagesOf(snapshot, vmUuid) === pageBytes)
    .reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  const available = Math.max(0, (pool?.freeBytes ?? 0) - promised);
  if (vm.memoryBytes <= available) return null;
  const pages = `huge pages of ${size(pageBytes)}`;
  const has = pool === undefined ? `reports no ${pages}` : `has ${size(available)} free in ${pages}`;
  const detail = `${to.hostId} ${has}; ${vm.name} needs ${size(vm.memoryBytes)} in them.`;
  return {
    hostId: to.hostId,
    constraint: "hugepages",
    detail,
    required: vm.memoryBytes,
    available,
    unit: "bytes",
  };
}

const hugepagesOf = (snapshot: Snapshot, vmUuid: string): number | undefined => vmOf(snapshot, vmUuid)?.hugepageBytes;

function vmOf(snapshot: Snapshot, vmUuid: string): SnapshotVm | undefined {
  return hostOf(snapshot, vmUuid)?.vms.find(({ uuid }) => uuid === vmUuid);
}

/** VMs whose label `anti-affinity` is the same are never on one host. */
const ANTI_AFFINITY_LABEL = "anti-affinity";

function antiAffinityHolds({ snapshot, vm, to }: Moving): Rejection | null {
  const group = vm.labels?.[ANTI_AFFINITY_LABEL];
  if (group === undefined) return null;
  const coming = incoming(snapshot, to).map(({ vmUuid }) => vmOf(snapshot, vmUuid));
  const rival = [...to.vms, ...coming].find(
    (other) => other !== undefined && other.uuid !== vm.uuid && other.labels?.[ANTI_AFFINITY_LABEL] === group,
  );
  if (rival === undefined) return null;
  const detail = `${to.hostId} has ${rival.name} of the same group ${ANTI_AFFINITY_LABEL}=${group} as ${vm.name}.`;
  return { hostId: to.hostId, constraint: "anti-affinity", detail };
}
