// What a move off a hot host would gain, and whether that pays.
import type { Snapshot, SnapshotHost, SnapshotVm } from "../cluster.ts";
import { cores, deviation, percent, ratio } from "./format.ts";
import { committedCores, cpuRatio, knownHosts } from "./state.ts";
import type { PlanParameters, Rejection } from "./types.ts";

/** Sums of cores are floating point: a destination stays so far below hot, lest rounding makes it hot. */
const CORES_EPSILON = 1e-9;

/** A hot host in a state, with every known host's CPU ratio and their sums. */
export type Heat = { state: Snapshot; hot: SnapshotHost; ratios: Map<string, number>; sums: Sums; imbalance: number };

/** Enough to change two of many numbers and know the standard deviation again without visiting the others. */
type Sums = { count: number; total: number; squares: number };

function sumsOf(values: readonly number[]): Sums {
  return values.reduce(
    ({ count, total, squares }, value) => ({ count: count + 1, total: total + value, squares: squares + value ** 2 }),
    { count: 0, total: 0, squares: 0 },
  );
}

const deviationOf = ({ count, total, squares }: Sums): number =>
  Math.sqrt(Math.max(0, squares / count - (total / count) ** 2));

export type Gain = {
  fromRatioAfter: number;
  toRatioAfter: number;
  /** Standard deviation of the known hosts' CPU ratios after the move. */
  imbalanceAfter: number;
  /** By how much that falls; negative where it rises. */
  gain: number;
  /** Share by which the distance between the two hosts shrinks: a gain that does not fade as the cluster grows. */
  pairGainRatio: number;
};

/** Known hosts above `hotRatio`, the hottest first; equals by id. */
export function heatOf(state: Snapshot, { hotRatio }: PlanParameters): Heat[] {
  const known = knownHosts(state);
  const ratios = new Map(known.map((host) => [host.hostId, cpuRatio(state, host)]));
  const sums = sumsOf([...ratios.values()]);
  const imbalance = deviationOf(sums);
  const ratioOf = (host: SnapshotHost): number => ratios.get(host.hostId) ?? 0;
  return known
    .filter((host) => ratioOf(host) > hotRatio)
    .toSorted((a, b) => ratioOf(b) - ratioOf(a))
    .map((hot) => ({ state, hot, ratios, sums, imbalance }));
}

/** What moving a VM that uses `vmCores` from the hot host to another known host changes. */
export function gainOf({ hot, ratios, sums, imbalance }: Heat, vmCores: number, to: SnapshotHost): Gain {
  const fromRatio = ratios.get(hot.hostId) ?? 0;
  const toRatio = ratios.get(to.hostId) ?? 0;
  const fromRatioAfter = Math.max(0, fromRatio - vmCores / hot.cpu.cores);
  const toRatioAfter = toRatio + vmCores / to.cpu.cores;
  const imbalanceAfter = deviationOf({
    count: sums.count,
    total: sums.total - fromRatio - toRatio + fromRatioAfter + toRatioAfter,
    squares: sums.squares - fromRatio ** 2 - toRatio ** 2 + fromRatioAfter ** 2 + toRatioAfter ** 2,
  });
  const distance = Math.abs(fromRatio - toRatio);
  return {
    fromRatioAfter,
    toRatioAfter,
    imbalanceAfter,
    gain: imbalance - imbalanceAfter,
    pairGainRatio: distance === 0 ? 0 : 1 - Math.abs(fromRatioAfter - toRatioAfter) / distance,
  };
}

/** Why the move does not pay: it makes the destination hot, or gains too little. Null: it pays. */
export function whyNotWorth(
  { state, hot, imbalance }: Heat,
  vm: SnapshotVm,
  vmCores: number,
  to: SnapshotHost,
  gain: Gain,
  { hotRatio, gainRatioMin }: PlanParameters,
): Rejection | null {
  const { hostId } = to;
  const available = Math.max(0, to.cpu.cores * hotRatio - committedCores(state, to));
  if (vmCores > available - CORES_EPSILON) {
    const detail = `${hostId} would be hot: it takes ${cores(available)} more cores up to ${ratio(hotRatio)} of its ${cores(to.cpu.cores)}, ${vm.name} uses ${cores(vmCores)}.`;
    return { hostId, constraint: "cpu", detail, required: vmCores, available, unit: "cores" };
  }
  if (gain.gain <= 0) {
    const detail = `${vm.name} on ${hostId} would leave the imbalance at ${deviation(gain.imbalanceAfter)}, now ${deviation(imbalance)}.`;
    return { hostId, constraint: "no-gain", detail, required: 0, available: gain.gain, unit: "ratio" };
  }
  if (gain.pairGainRatio >= gainRatioMin) return null;
  const detail = `${vm.name} (${cores(vmCores)} cores) would even ${hot.hostId} and ${hostId} by ${percent(gain.pairGainRatio)}, less than ${percent(gainRatioMin)}.`;
  const numbers = { required: gainRatioMin, available: gain.pairGainRatio, unit: "ratio" };
  return { hostId, constraint: "no-gain", detail, ...numbers };
}
