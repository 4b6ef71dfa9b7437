// Pre-copy, by the stop rule of the hypervisor.
import { atDeadline, switchOver, untilDeadlineMs } from "./endings.ts";
import { forcedRounds, fewRounds } from "./full-pass.ts";
import { qemuRounds } from "./rounds.ts";
import type { Course, Scenario } from "./scenario.ts";

export function preCopy(scenario: Scenario): Course {
  switch (scenario.hypervisor) {
    case "kvm":
      return qemuPreCopy(scenario);
    case "xen": {
      const { end, stopRule } = fewRounds(scenario);
      return switchOver(scenario, end, stopRule, stopRule === "dirty-pages");
    }
    case "vmware": {
      const { end, stopRule } = forcedRounds(scenario);
      return switchOver(scenario, end, stopRule);
    }
  }
}

function qemuPreCopy(scenario: Scenario): Course {
  const end = qemuRounds(scenario, { rounds: Number.POSITIVE_INFINITY, untilMs: untilDeadlineMs(scenario) });
  return end.stop === "threshold" ? switchOver(scenario, end, "downtime-limit") : atDeadline(scenario, end);
}

/**
 * The closed form for a constant dirty rate (Clark et al. 2005, Liu et al. 2011): λ = D/R, n = ⌈log_λ(threshold / memory)⌉
 * rounds after the first, memory × (1 − λ^(n+1)) / (1 − λ) sent. Null for λ ≥ 1: it does not converge. A yardstick for the
 * loops, not used in estimates.
 */
export function geometricPreCopy(of: {
  memoryBytes: number;
  bytesPerSecond: number;
  dirtyBytesPerSecond: number;
  thresholdBytes: number;
}): { rounds: number; bytes: number; totalMs: number; lastRoundMs: number } | null {
  const ratio = of.dirtyBytesPerSecond / of.bytesPerSecond;
  if (ratio >= 1) return null;
  const rounds =
    ratio === 0 ? 0 : Math.max(0, Math.ceil(Math.log(of.thresholdBytes / of.memoryBytes) / Math.log(ratio)));
  const bytes = (of.memoryBytes * (1 - ratio ** (rounds + 1))) / (1 - ratio);
  const lastRoundMs = ((of.memoryBytes * ratio ** rounds) / of.bytesPerSecond) * 1000;
  return { rounds, bytes, totalMs: (bytes / of.bytesPerSecond) * 1000, lastRoundMs };
}
