// Whether an approved move may still be executed, judged by a fresh snapshot: the world may have changed since the plan.
import type { Snapshot, SnapshotHost, SnapshotVm } from "./cluster.ts";
import { estimateMigration } from "./migration/index.ts";
import type { MechanismEstimate } from "./migration/types.ts";
import { rejectionsFor } from "./placement/constraints.ts";
import { estimateInputFor, learnedIn } from "./placement/cost.ts";
import type { PlanParameters, Rejection } from "./placement/types.ts";
import type { MigrationRun, RunFailure } from "./run.ts";
import { HOST_FRESH_MS } from "./units.ts";

export type Verdict =
  | { verdict: "go"; estimate: MechanismEstimate; cpuCores: number }
  /** Room that another running move is about to free. */
  | { verdict: "wait"; why: string }
  | { verdict: "superseded"; failure: RunFailure };

const superseded = (reason: string, detail: string): Verdict => ({
  verdict: "superseded",
  failure: { reason, detail },
});

/** What running migrations may give back: worth waiting for while some of the same plan still run. */
const FREED_BY_OTHERS: readonly Rejection["constraint"][] = [
  "memory",
  "cpu",
  "cpu-unknown",
  "cpu-peak",
  "network-peak",
  "hugepages",
  "anti-affinity",
];

/** What else of the same plan bears on a move. */
export type PlanContext = {
  /** Migrations of the plan that run now. */
  othersRunning: number;
  /** The VM was moved by an earlier move of the plan, to make room: no cooldown holds it there. */
  isSecondHop: boolean;
  /** Other VMs move with it, and are on their way: that it leaves them behind is but for a time. */
  hasMates: boolean;
};

/** Ceilings of the approval are `run.limits`. */
export function revalidate(
  snapshot: Snapshot,
  run: MigrationRun,
  stated: PlanParameters,
  { othersRunning, isSecondHop, hasMates }: PlanContext,
): Verdict {
  const parameters = isSecondHop ? { ...stated, cooldownMs: 0 } : stated;
  const from = snapshot.hosts.find((host) => host.hostId === run.fromHostId);
  const to = snapshot.hosts.find((host) => host.hostId === run.toHostId);
  if (!from || !to) return superseded("host-unknown", `${from ? run.toHostId : run.fromHostId} is not known any more.`);
  for (const host of [from, to]) {
    const silentMs = snapshot.at - (host.heardAt ?? 0);
    if (silentMs > HOST_FRESH_MS)
      return superseded(
        "host-not-heard",
        `${host.hostId} was last heard ${Math.round(silentMs / 1000)} s ago, over ${HOST_FRESH_MS / 1000} s.`,
      );
  }
  const vm = from.vms.find((candidate) => candidate.uuid === run.vmUuid);
  if (vm?.state !== "running")
    return superseded(
      "vm-not-there",
      `${run.vmName} does not run on ${run.fromHostId} any more (${vm ? vm.state : "not seen there"}).`,
    );
  const rejections = rejectionsFor(snapshot, vm, to, parameters).filter(
    ({ constraint }) => !(hasMates && constraint === "affinity"),
  );
  const [worst] = rejections.filter((rejection) => !FREED_BY_OTHERS.includes(rejection.constraint));
  if (worst) return superseded(worst.constraint, worst.detail);
  if (rejections[0]) {
    if (othersRunning > 0) return { verdict: "wait", why: rejections[0].detail };
    return superseded(rejections[0].constraint, rejections[0].detail);
  }
  return withinLimits(snapshot, run, vm, from, to, parameters);
}

function withinLimits(
  snapshot: Snapshot,
  run: MigrationRun,
  vm: SnapshotVm,
  from: SnapshotHost,
  to: SnapshotHost,
  parameters: PlanParameters,
): Verdict {
  const ends = [from.hostId, to.hostId];
  const beside = snapshot.reservations.filter((r) => ends.includes(r.fromHostId) || ends.includes(r.toHostId)).length;
  const input = estimateInputFor(snapshot, vm, from, to, parameters, beside);
  const { estimates } = estimateMigration(
    { ...input, parameters: run.parameters, mechanisms: [run.mechanism] },
    learnedIn(snapshot),
  );
  const [estimate] = estimates;
  if (!estimate) return superseded("no-estimate", `${run.mechanism} cannot be estimated for ${run.vmName}.`);
  if (estimate.rejected) return superseded(estimate.rejected.reason, estimate.rejected.detail);
  const downtimeMs = estimate.downtimeMs?.p90;
  if (downtimeMs === undefined || downtimeMs > run.limits.downtimeMsMax) {
    const now =
      downtimeMs === undefined ? "would not converge" : `would stand still for ${Math.round(downtimeMs)} ms at p90`;
    return superseded("outside-limits", `${run.vmName} ${now}; approved were ${run.limits.downtimeMsMax} ms.`);
  }
  return { verdict: "go", estimate, cpuCores: vm.load.cpuUsedCores ?? vm.vcpus };
}
