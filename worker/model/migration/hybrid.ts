// Hybrid: some rounds of pre-copy, so that few pages are missing, then post-copy, so that it ends.
import { atDeadline, postCopyFrom, switchOver, untilDeadlineMs } from "./endings.ts";
import { ballooned } from "./post-copy.ts";
import { RATE_SLICE_SECONDS } from "./priors.ts";
import { qemuRounds } from "./rounds.ts";
import type { RoundsEnd } from "./rounds.ts";
import type { Course, Scenario } from "./scenario.ts";

/**
 * `preCopyRounds` rounds or `postCopyAfterMs`, whichever ends first, then post-copy. A VM that fits the downtime limit by
 * then is switched over as in pre-copy: QEMU prefers that.
 */
export function hybrid(before: Scenario): Course {
  const scenario = ballooned(before);
  const { preCopyRounds, postCopyAfterMs } = scenario.parameters;
  const deadlineMs = untilDeadlineMs(scenario);
  const startMs = Math.max(0, (postCopyAfterMs ?? Number.POSITIVE_INFINITY) - scenario.setupMs - scenario.disksMs);
  const end = qemuRounds(scenario, { rounds: preCopyRounds, untilMs: Math.min(deadlineMs, startMs) });
  if (end.stop === "threshold") return switchOver(scenario, end, "downtime-limit");
  if (end.stop === "time" && deadlineMs < startMs) return atDeadline(scenario, end);
  const noticed = end.stop === "rounds" ? untilNoticed(scenario, end) : end;
  return postCopyFrom(scenario, noticed, "post-copy-start", true);
}

/**
 * QEMU takes up `migrate-start-postcopy` when the slice in which it came is over: 0 to 80 ms after the round's end were
 * measured. What is sent meanwhile is not missing afterwards.
 */
function untilNoticed(scenario: Scenario, end: RoundsEnd): RoundsEnd {
  const rate = scenario.rates.roundsBytesPerSecond;
  if (rate >= scenario.rates.lineBytesPerSecond) return end;
  const seconds = RATE_SLICE_SECONDS * scenario.lateness;
  const sentBytes = Math.min(end.normalBytes, rate * seconds);
  return {
    ...end,
    elapsedMs: end.elapsedMs + 1000 * seconds,
    normalBytes: end.normalBytes - sentBytes,
    unsentBytes: Math.max(0, end.unsentBytes - sentBytes),
    wireBytes: end.wireBytes + sentBytes * scenario.wirePerNormalByte,
    pages: end.pages + sentBytes / scenario.pageBytes,
    lostVcpuSeconds: end.lostVcpuSeconds + scenario.cpuUsedCores * scenario.brownoutRatio * seconds,
  };
}
