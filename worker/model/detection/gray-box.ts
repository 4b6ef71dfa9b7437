// What services in VMs say of themselves: one that is too slow makes its host hot, whatever the host's CPU says.
import type { SnapshotHost, SnapshotVm } from "../cluster.ts";
import { cores } from "../placement/format.ts";
import { judge, type Verdict } from "./judge.ts";
import { neededCores } from "./needs.ts";
import { defined, freshOf, LATENCY_SLO_LABEL, positiveLabel, seriesOf, type Signal } from "./signals.ts";
import type { DetectionParameters } from "./types.ts";

/** Of every running VM that has an SLO: whether its service keeps it. */
export function judgeServices(host: SnapshotHost, at: number, parameters: DetectionParameters): [Signal, Verdict][] {
  return host.vms.flatMap((vm): [Signal, Verdict][] => {
    const sloSeconds = positiveLabel(vm.labels?.[LATENCY_SLO_LABEL]) ?? parameters.latencySloSeconds;
    if (sloSeconds === undefined || vm.state !== "running") return [];
    const { recent, load } = freshOf(vm.load, at, parameters.staleMs);
    const signal: Signal = {
      metric: "latency_seconds",
      name: `${vm.name}'s latency`,
      kind: "gray-box",
      threshold: sloSeconds,
      show: "seconds",
      vmUuid: vm.uuid,
      ...seriesOf(recent, ["latency_seconds"], 1),
      ...defined("average", load?.latencySeconds),
    };
    return [[signal, withNeed(vm, sloSeconds, judge(signal, parameters), parameters, at)]];
  });
}

/** The cores that would make the service fast enough, where its use of CPU is known. */
function withNeed(
  vm: SnapshotVm,
  sloSeconds: number,
  verdict: Verdict,
  { staleMs }: DetectionParameters,
  at: number,
): Verdict {
  if (verdict.cause === undefined) return verdict;
  const { recent, load } = freshOf(vm.load, at, staleMs);
  const known = (seriesOf(recent, ["cpu_used_cores"], 1).samples ?? []).filter((value) => value !== null);
  const usedCores = known.length > 0 ? known : load?.cpuUsedCores === undefined ? [] : [load.cpuUsedCores];
  if (usedCores.length === 0) return verdict;
  const latencySeconds = Math.max(verdict.cause.value, verdict.cause.forecast ?? 0);
  const needed = neededCores({ usedCores, vcpus: vm.vcpus, latencySeconds, sloSeconds });
  const sentence = `${verdict.cause.sentence} More vCPUs alone would have to be about ${cores(needed)}, of which it has ${vm.vcpus}.`;
  return { level: verdict.level, cause: { ...verdict.cause, neededCores: needed, sentence } };
}
