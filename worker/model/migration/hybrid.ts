// Hybrid: some rounds of pre-copy, so that few pages are missing, then post-copy, so that it ends.
import { atDeadline, postCopyFrom, switchOver, untilDeadlineMs } from "./endings.ts";
import { qemuRounds } from "./rounds.ts";
import type { Course, Scenario } from "./scenario.ts";

/**
 * `preCopyRounds` rounds or `postCopyAfterMs`, whichever ends first, then post-copy. A VM that fits the downtime limit by
 * then is switched over as in pre-copy: QEMU prefers that.
 */
export function hybrid(scenario: Scenario): Course {
  const { preCopyRounds, postCopyAfterMs } = scenario.parameters;
  const deadlineMs = untilDeadlineMs(scenario);
  const startMs = Math.max(0, (postCopyAfterMs ?? Number.POSITIVE_INFINITY) - scenario.setupMs - scenario.disksMs);
  const end = qemuRounds(scenario, { rounds: preCopyRounds, untilMs: Math.min(deadlineMs, startMs) });
  if (end.stop === "threshold") return switchOver(scenario, end, "downtime-limit");
  if (end.stop === "time" && deadlineMs < startMs) return atDeadline(scenario, end);
  return postCopyFrom(scenario, end, "post-copy-start", true);
}
