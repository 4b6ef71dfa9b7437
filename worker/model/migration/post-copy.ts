// Post-copy: the VM stops at once, runs at the destination on pages that are fetched when touched and pushed meanwhile.
import { FAULT_RATIO, POST_COPY_START_MS, ZERO_SCAN_BYTES_PER_SECOND } from "./priors.ts";
import type { Course, Scenario } from "./scenario.ts";

/** The resume phase, in which two hosts and the link must survive. */
export type Resume = {
  durationMs: number;
  wireBytes: number;
  pages: number;
  zeroPages: number;
  remoteFaults: number;
  lostVcpuSeconds: number;
};

/** Half of the touched pages arrive before they are touched: the push goes evenly over the phase. */
const MISSING_WHEN_TOUCHED = 0.5;

/**
 * Active push of what is missing, every page once, and the faults of the guest on it: dirtied pages × those still missing ×
 * the share left by pushing on from each fault (2.4 of the cost models: within 21 % of the working set). A fault holds one vCPU.
 */
export function resumePhase(scenario: Scenario, normalBytes: number, zeroBytes: number): Resume {
  const wireBytes = normalBytes * scenario.wirePerNormalByte + zeroBytes * scenario.wirePerZeroByte;
  const seconds = wireBytes / scenario.rates.lineBytesPerSecond + zeroBytes / ZERO_SCAN_BYTES_PER_SECOND;
  const durationMs = seconds * 1000 + scenario.rttMs;
  const touchedBytes = Math.min(normalBytes, scenario.dirtied(durationMs));
  const remoteFaults = (FAULT_RATIO * MISSING_WHEN_TOUCHED * touchedBytes) / scenario.pageBytes;
  const stalledSeconds = Math.min(remoteFaults * scenario.faultMs, durationMs * scenario.vcpus) / 1000;
  return {
    durationMs,
    wireBytes,
    pages: normalBytes / scenario.pageBytes,
    zeroPages: zeroBytes / scenario.pageBytes,
    remoteFaults,
    lostVcpuSeconds: stalledSeconds,
  };
}

/** Post-copy from the start. The deadline does not apply: the point of no return is passed as soon as it starts. */
export function postCopy(scenario: Scenario): Course {
  const resume = resumePhase(scenario, scenario.nonzeroBytes, scenario.memoryBytes - scenario.nonzeroBytes);
  const { setupMs: setup, disksMs } = scenario;
  const switchover = scenario.switchoverMs + POST_COPY_START_MS;
  return {
    converged: true,
    stopRule: "post-copy-start",
    preparationMs: setup + disksMs,
    downtimeMs: switchover,
    resumeMs: resume.durationMs,
    phaseMs: { setup, disks: disksMs, rounds: 0, switchover, "post-copy": resume.durationMs },
    wireBytes: resume.wireBytes,
    pages: resume.pages,
    zeroPages: resume.zeroPages,
    remoteFaults: resume.remoteFaults,
    lostVcpuSeconds: resume.lostVcpuSeconds,
    rounds: [],
  };
}
