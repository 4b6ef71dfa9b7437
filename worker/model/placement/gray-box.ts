// What VMs need beyond what they use: those whose service says that it answers too late. Sandpiper's gray-box sizing (Wood et
// al. 2007), from knowledge of the paper: the peak need is the tail of what was used, scaled up where the VM could not get more.
import { LATENCY_SLO_LABEL, positiveLabel } from "../detection/signals.ts";
import { quantile } from "../quantile.ts";
import { cores } from "./format.ts";
import { CPU, RESOURCES, ratioOf, type World } from "./world.ts";
import type { PlanParameters } from "./types.ts";
import type { SnapshotVm } from "../cluster.ts";

const TAIL = 0.95;
/** Fewer samples have no tail: then the p95 of the summary is taken. */
const TAIL_SAMPLES_MIN = 8;
/** A VM that uses this share of its vCPUs, or waits for this share of its time, gets no more where it is. */
const SATURATED_RATIO = 0.95;
const STEAL_RATIO_MAX = 0.05;
/** Latency grows without bound at saturation, need does not: no more than this is added at once. */
const SCALE_MAX = 2;

export type Need = {
  /** Cores at the peak, never above its vCPUs nor below what it uses. */
  cores: number;
  usedCores: number;
  latencySeconds: number;
  sloSeconds: number;
  /** It uses all its vCPUs, and its host has cores free: another host would not help it. */
  lacksVcpus: boolean;
};

/** Within how many seconds the VM is to answer, by its label, else by the parameter; null: nobody has said. */
export function sloOf({ labels }: SnapshotVm, { latencySloSeconds }: PlanParameters): number | null {
  return positiveLabel(labels?.[LATENCY_SLO_LABEL]) ?? latencySloSeconds ?? null;
}

/** The 95th percentile of the newest samples; where these are few, that of the summary, else the mean. */
function tailOf({ load }: SnapshotVm, usedCores: number): number {
  const samples = (load.recent?.series["cpu_used_cores"] ?? []).filter((sample) => sample !== null);
  if (samples.length >= TAIL_SAMPLES_MIN) return quantile(samples, TAIL);
  return load.cpuUsedCoresP95 ?? usedCores;
}

/** What each VM needs that answers later than it is to, by index. VMs that say nothing of themselves need what they use. */
export function needsOf(world: World): Map<number, Need> {
  const needs = new Map<number, Need>();
  world.vms.forEach((it, vm) => {
    const { latencySeconds, cpuStealRatio = 0 } = it.load;
    const sloSeconds = sloOf(it, world.parameters);
    const host = world.hostOf[vm] ?? 0;
    if (latencySeconds === undefined || sloSeconds === null || latencySeconds <= sloSeconds) return;
    if (world.cpuKnown[vm] !== 1 || world.unknown[host] !== null || it.state !== "running") return;
    const usedCores = world.demand[vm * RESOURCES + CPU] ?? 0;
    const tail = tailOf(it, usedCores);
    const isFull = tail >= SATURATED_RATIO * it.vcpus;
    const isHostFull = ratioOf(world, host, CPU) > world.parameters.hotRatio || cpuStealRatio > STEAL_RATIO_MAX;
    const scale = isFull || isHostFull ? Math.min(SCALE_MAX, latencySeconds / sloSeconds) : 1;
    needs.set(vm, {
      cores: Math.max(usedCores, Math.min(it.vcpus, tail * scale)),
      usedCores,
      latencySeconds,
      sloSeconds,
      lacksVcpus: isFull && !isHostFull,
    });
  });
  return needs;
}

/** The world in which these VMs take what they need, and their hosts are so much fuller. The given one is left as it was. */
export function withNeeds(world: World, needs: ReadonlyMap<number, Need>): World {
  if (needs.size === 0) return world;
  const [demand, used] = [world.demand.slice(), world.used.slice()];
  for (const [vm, need] of needs) {
    const host = world.hostOf[vm] ?? 0;
    demand[vm * RESOURCES + CPU] = need.cores;
    used[host * RESOURCES + CPU] = (used[host * RESOURCES + CPU] ?? 0) + need.cores - need.usedCores;
  }
  return { ...world, demand, used };
}

/** "web answers in 0.90 s where 0.20 s are allowed, and needs 6 cores where it uses 4". */
export const tellNeed = (name: string, need: Need): string =>
  `${name} answers in ${need.latencySeconds.toFixed(2)} s where ${need.sloSeconds.toFixed(2)} s are allowed, and needs ${cores(need.cores)} cores where it uses ${cores(need.usedCores)}`;
