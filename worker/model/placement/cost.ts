// What a move would cost: the cost models' input made from a snapshot, and their answer as the advisor needs it.
import { linkKey, type Snapshot, type SnapshotHost, type SnapshotVm } from "../cluster.ts";
import { usablePoints } from "../migration/dirty-curve.ts";
import type { Learned } from "../migration/estimate.ts";
import { type ChosenEstimate, chosenEstimate, type RoughEstimate, roughEstimate } from "../migration/index.ts";
import type { EstimateInput, MechanismEstimate } from "../migration/types.ts";
import type { MigrationParameters } from "../wire/command.ts";
import type { Disk, PowerModel } from "../wire/inventory.ts";
import { vmCores } from "./state.ts";
import { isDiskShared } from "./storage.ts";
import type { PlanParameters, Rejection } from "./types.ts";

const MECHANISMS: EstimateInput["mechanisms"] = ["pre-copy", "post-copy", "hybrid", "stop-and-copy"];

/**
 * The mechanisms that a plan may use: those asked for, without post-copy and hybrid where these are not permitted. Empty
 * where the two contradict each other.
 */
export function permittedMechanisms(parameters: PlanParameters): EstimateInput["mechanisms"] {
  const asked = parameters.mechanisms ?? MECHANISMS;
  return parameters.postCopyPermitted ? asked : asked.filter((name) => name === "pre-copy" || name === "stop-and-copy");
}

/**
 * Input of the cost models for moving the VM from one host to the other, from what a snapshot knows. What it does not know
 * is left out, and the models widen their intervals. `concurrentMigrations`: others on the link besides this one.
 */
export function estimateInputFor(
  snapshot: Snapshot,
  vm: SnapshotVm,
  from: SnapshotHost,
  to: SnapshotHost,
  parameters: PlanParameters,
  concurrentMigrations: number,
): EstimateInput {
  const link = linkBetween(snapshot, from, to);
  return {
    hypervisor: from.hypervisor,
    driver: from.driver.name,
    ...(from.hypervisorVersion === undefined ? {} : { hypervisorVersion: from.hypervisorVersion }),
    ...(vm.accelerator === undefined ? {} : { accelerator: vm.accelerator }),
    hosts: { source: estimateHostOf(from), destination: estimateHostOf(to) },
    vm: estimateVmOf(snapshot, vm, from, to),
    ...(link === null ? {} : { link: { ...link, concurrentMigrations } }),
    parameters: {
      // A limit above what may be approved would be refused by the agents.
      downtimeLimitMs: Math.max(1, Math.min(parameters.downtimeLimitMs, Math.floor(parameters.downtimeSloMs))),
      ...(parameters.deadlineMs === undefined ? {} : { deadlineMs: parameters.deadlineMs }),
      ...(parameters.onDeadline === undefined ? {} : { onDeadline: parameters.onDeadline }),
      ...(parameters.bandwidthBytesPerSecondMax === undefined
        ? {}
        : { maxBandwidthBytesPerSecond: parameters.bandwidthBytesPerSecondMax }),
    },
    mechanisms: permittedMechanisms(parameters),
    downtimeSloMs: parameters.downtimeSloMs,
  };
}

/** A power model that falls with load is a mistake in the inventory, of which an estimate's caller knows nothing. */
function isRising(power: PowerModel): boolean {
  const watts = "tableWatts" in power ? power.tableWatts : [power.idleWatts, power.peakWatts];
  return watts.every((value, index) => value >= (watts[index - 1] ?? 0));
}

function estimateHostOf({ cpu, power, load }: SnapshotHost) {
  return {
    cores: Math.ceil(cpu.cores),
    ...(power === undefined || !isRising(power) ? {} : { power }),
    ...(load.cpuUsedCores === undefined ? {} : { cpuUsedCores: Math.min(load.cpuUsedCores, Math.ceil(cpu.cores)) }),
  };
}

function estimateVmOf(snapshot: Snapshot, vm: SnapshotVm, from: SnapshotHost, to: SnapshotHost): EstimateInput["vm"] {
  const { memoryNonzeroBytes, memoryDirtyBytesPerSecond, memoryWorkingSetBytes, dirtyCurve } = vm.load;
  const cpuUsedCores = vmCores(snapshot, vm);
  // Sampled curves fall by noise and may pass the memory by it: an estimate takes none of either.
  const points = usablePoints(dirtyCurve?.points ?? []).map(({ windowMs, bytes }) => ({
    windowMs,
    bytes: Math.min(vm.memoryBytes, bytes),
  }));
  const disks = vm.disks ?? [];
  const blockers = [...(vm.blockers ?? []), ...disks.flatMap((disk) => diskBlockers(disk, from, to))];
  return {
    memoryBytes: vm.memoryBytes,
    vcpus: vm.vcpus,
    ...(memoryNonzeroBytes === undefined
      ? {}
      : { nonzeroBytes: Math.min(vm.memoryBytes, Math.round(memoryNonzeroBytes)) }),
    ...(memoryWorkingSetBytes === undefined
      ? {}
      : { workingSetBytes: Math.min(vm.memoryBytes, Math.round(memoryWorkingSetBytes)) }),
    ...(cpuUsedCores === null ? {} : { cpuUsedCores }),
    ...(points.length > 0 ? { dirtyCurve: points } : {}),
    ...(points.length === 0 && memoryDirtyBytesPerSecond !== undefined
      ? { dirtyRateBytesPerSecond: Math.min(vm.memoryBytes, memoryDirtyBytesPerSecond) }
      : {}),
    ...(vm.disks === undefined ? {} : { disks: disks.flatMap((disk) => estimateDiskOf(disk, from, to)) }),
    ...(blockers.length > 0 ? { blockers } : {}),
  };
}

function estimateDiskOf(disk: Disk, from: SnapshotHost, to: SnapshotHost) {
  if (disk.bytes === undefined) return [];
  const shared = isDiskShared(disk, from, to);
  return [{ bytes: disk.bytes, ...(shared === undefined ? {} : { shared }) }];
}

/** A disk to be copied whose size nobody knows cannot be costed: it blocks, rather than being taken for nothing. */
function diskBlockers(disk: Disk, from: SnapshotHost, to: SnapshotHost): string[] {
  return disk.bytes === undefined && isDiskShared(disk, from, to) !== true ? ["local-disk-of-unknown-size"] : [];
}

/**
 * What was measured of the way, never faster than the slower of the two migration NICs; where it was not measured, that and the
 * longer way. Null where neither is known.
 */
function linkBetween(
  { links }: Snapshot,
  from: SnapshotHost,
  to: SnapshotHost,
): NonNullable<EstimateInput["link"]> | null {
  const measured = links?.[linkKey(from.hostId, to.hostId)];
  const stated = statedLink(from, to);
  if (measured === undefined) return stated;
  const { rttMs, lossRatio } = measured;
  return {
    bytesPerSecond: Math.min(measured.bytesPerSecond, stated?.bytesPerSecond ?? Infinity),
    rttMs,
    ...(lossRatio === undefined ? {} : { lossRatio }),
  };
}

/** By the inventories of both hosts. */
function statedLink(from: SnapshotHost, to: SnapshotHost): NonNullable<EstimateInput["link"]> | null {
  if (from.migration === undefined || to.migration === undefined) return null;
  const rtts = [from.migration.rttMs, to.migration.rttMs].filter((rtt) => rtt !== undefined);
  return {
    bytesPerSecond: Math.min(from.migration.bytesPerSecond, to.migration.bytesPerSecond),
    ...(rtts.length > 0 ? { rttMs: Math.max(...rtts) } : {}),
  };
}

/** What the snapshot has of earlier outcomes. */
export function learnedIn({ cluster, calibration }: Snapshot): Learned | null {
  return calibration === undefined ? null : { cluster, calibration };
}

/** What the recommended mechanism costs, or why none is possible. */
export type MoveCost =
  | { possible: true; estimate: MechanismEstimate; parameters: MigrationParameters; reasons: string[] }
  | { possible: false; rejection: Rejection };

/**
 * Costs moves of one plan. `beside`: moves of the same plan that run beside it; the migrations that run now on either host
 * are added.
 */
export type Costing = (vm: SnapshotVm, from: SnapshotHost, to: SnapshotHost, beside: number) => MoveCost;

/** In full; moves that look alike to the cost models are estimated once. */
export function costingFor(snapshot: Snapshot, parameters: PlanParameters): Costing {
  const answers = new Map<string, ChosenEstimate>();
  return costingBy(snapshot, parameters, (input, learned) => {
    const key = JSON.stringify(input);
    const answer = answers.get(key) ?? chosenEstimate(input, learned);
    answers.set(key, answer);
    return answer;
  });
}

/** By the median course alone, and without reasons: for weighing many moves, of which the chosen ones are costed in full. */
export const roughCostingFor = (snapshot: Snapshot, parameters: PlanParameters): Costing =>
  costingBy(snapshot, parameters, roughEstimate);

function costingBy(
  snapshot: Snapshot,
  parameters: PlanParameters,
  estimate: (input: EstimateInput, learned: Learned | null) => ChosenEstimate | RoughEstimate,
): Costing {
  const learned = learnedIn(snapshot);
  const { reservations } = snapshot;
  return (vm, from, to, beside) => {
    const ends = [from.hostId, to.hostId];
    const running = reservations.filter((r) => ends.includes(r.fromHostId) || ends.includes(r.toHostId));
    const input = estimateInputFor(snapshot, vm, from, to, parameters, running.length + beside);
    return costIn(estimate(input, learned), vm, to);
  };
}

function costIn(answer: ChosenEstimate | RoughEstimate, vm: SnapshotVm, to: SnapshotHost): MoveCost {
  if ("refused" in answer) return { possible: false, rejection: noMechanism(vm, to, answer.refused) };
  const { estimate } = answer;
  if ("parameters" in answer) return { possible: true, estimate, parameters: answer.parameters, reasons: [] };
  const { parameters, reasons } = answer.recommended;
  return { possible: true, estimate, parameters, reasons };
}

/** Moves of a plan that may run beside each one. */
export const plannedPeers = (moves: number, { concurrencyPerHost, concurrencyPerCluster }: PlanParameters): number =>
  Math.max(0, Math.min(moves, concurrencyPerHost, concurrencyPerCluster) - 1);

type Refused = Extract<ChosenEstimate, { recommended: null }>["refused"];

function noMechanism(vm: SnapshotVm, to: SnapshotHost, refused: Refused): Rejection {
  const refusals = refused.map(({ mechanism, rejected }) => `${mechanism}: ${rejected?.detail ?? "not chosen"}`);
  const detail = `no permitted mechanism can move ${vm.name} to ${to.hostId} within the limits. ${refusals.join("; ")}`;
  return { hostId: to.hostId, constraint: "no-mechanism", detail };
}
