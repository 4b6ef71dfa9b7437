// Drover on a generated cluster: plan after plan by the real engine, as a policy with the goal `balance` makes them.
import type { Snapshot, SnapshotVm } from "../../../../worker/model/cluster.ts";
import { buildPlan } from "../../../../worker/model/placement/index.ts";
import { type PlanContent, planParameters } from "../../../../worker/model/placement/types.ts";

const NO_PRICES = {
  energyPerKwh: 0,
  downtimePerSecond: 0,
  lostVcpuSecond: 0,
  transferPerGib: 0,
  overloadPerCoreHour: 0,
  crossTrafficPerGib: 0,
  lostVm: 0,
};
const MOVES_MAX = 1000;
/** A plan with fewer moves than this has done what it could. */
const MOVES_FULL = 0.9 * MOVES_MAX;
const PLANS_MAX = 20;

/**
 * Parameters with which balance itself is the goal: only evenness has a price, and bytes where `transferPerGib` says so; the
 * three loads that are generated weigh alike.
 */
export const balanceOnly = (seed: number, transferPerGib: number) =>
  planParameters.parse({
    strategy: "local-search",
    seed,
    movesMax: MOVES_MAX,
    imbalanceMax: 0,
    netGainMin: 0,
    gainRatioMin: 0,
    cooldownMs: 0,
    evaluationsMax: 100_000_000,
    weights: { cpu: 1, memory: 1, network: 1, disk: 0 },
    prices: { ...NO_PRICES, transferPerGib },
  });

export type DroverRun = {
  /** By VM in the order of the snapshot: the index of its host. */
  hostOf: Int32Array;
  moves: number;
  movedBytes: number;
  plans: number;
};

/** Plans and carries out as long as plans have all the moves that one may have. */
export function drover(given: Snapshot, seed: number, transferPerGib: number): DroverRun {
  let snapshot = given;
  const done = { moves: 0, movedBytes: 0, plans: 0 };
  while (done.plans < PLANS_MAX) {
    const plan = buildPlan(snapshot, "balance", balanceOnly(seed, transferPerGib));
    const sent = new Map(snapshot.hosts.flatMap(({ vms }) => vms.map((vm) => [vm.uuid, sentBytes(vm)])));
    done.plans += 1;
    done.moves += plan.moves.length;
    for (const { vm } of plan.moves) done.movedBytes += sent.get(vm) ?? 0;
    snapshot = carriedOut(snapshot, plan.moves);
    if (plan.moves.length < MOVES_FULL) break;
  }
  return { ...done, hostOf: placesIn(given, snapshot) };
}

/** What a migration sends once. */
export const sentBytes = ({ memoryBytes, load }: SnapshotVm): number => load.memoryNonzeroBytes ?? memoryBytes;

/** The cluster once the moves are made: hosts use what their VMs do. */
function carriedOut(snapshot: Snapshot, moves: PlanContent["moves"]): Snapshot {
  const to = new Map(moves.map(({ vm, toHostId }) => [vm, toHostId]));
  const vmsOf = Map.groupBy(
    snapshot.hosts.flatMap(({ hostId, vms }) => vms.map((vm) => ({ vm, hostId: to.get(vm.uuid) ?? hostId }))),
    ({ hostId }) => hostId,
  );
  const hosts = snapshot.hosts.map((host) => {
    const vms = (vmsOf.get(host.hostId) ?? []).map(({ vm }) => vm);
    const sum = (of: (load: SnapshotVm["load"]) => number | undefined): number =>
      vms.reduce((total, { load }) => total + (of(load) ?? 0), 0);
    const load = {
      ...host.load,
      cpuUsedCores: sum(({ cpuUsedCores }) => cpuUsedCores),
      memoryUsedBytes: sum(({ memoryUsedBytes }) => memoryUsedBytes),
      networkTransmitBytesPerSecond: sum(({ networkBytesPerSecond }) => networkBytesPerSecond),
    };
    return { ...host, vms, load };
  });
  return { ...snapshot, hosts };
}

function placesIn(given: Snapshot, now: Snapshot): Int32Array {
  const indexOf = new Map(now.hosts.flatMap(({ vms }, index) => vms.map(({ uuid }) => [uuid, index])));
  return Int32Array.from(given.hosts.flatMap(({ vms }) => vms.map(({ uuid }) => indexOf.get(uuid) ?? -1)));
}
