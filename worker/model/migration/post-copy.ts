// Post-copy: the VM stops at once, runs at the destination on pages that are fetched when touched and pushed meanwhile.
import { stallOf, stallOnDemand } from "./faults.ts";
import type { Arrival, Stall } from "./faults.ts";
import * as prior from "./priors.ts";
import type { Course, Scenario } from "./scenario.ts";

/** What is missing at the destination when the VM starts there. */
export type Missing = {
  normalBytes: number;
  zeroBytes: number;
  /** Share of the memory that was never sent: of what the guest only reads, so much is missing too. */
  unsentRatio: number;
};

/** The resume phase, in which two hosts and the link must survive. */
export type Resume = {
  durationMs: number;
  wireBytes: number;
  pages: number;
  zeroPages: number;
  remoteFaults: number;
  /** How far the guest is behind when all is there. */
  stallMs: number;
  /** Share of the working set that faulted. */
  faultRatio: number;
  lostVcpuSeconds: number;
};

const SLICE_MS = prior.RATE_SLICE_SECONDS * 1000;

/** Every missing page goes over once; what the guest loses meanwhile depends on the order and on the rate. */
export function resumePhase(scenario: Scenario, missing: Missing): Resume {
  const { normalBytes, zeroBytes } = missing;
  const wireBytes = normalBytes * scenario.wirePerNormalByte + zeroBytes * scenario.wirePerZeroByte;
  const pushMs = pushMsOf(scenario, missing, wireBytes);
  const set = workingSet(scenario, missing);
  const arrival = arrivalOf(scenario, missing, set, pushMs);
  // Nothing is pushed until the guest has asked for all that it uses.
  const askedMs = Math.max(prior.WORKING_SET_WINDOW_MS, pushMs);
  const onDemand = scenario.paging === "demand-paging";
  const stall = onDemand ? stallOnDemand(arrival, askedMs) : stallOf(arrival);
  return {
    durationMs: onDemand ? askedMs + stall.lostMs + pushMs : pushMs,
    wireBytes,
    pages: normalBytes / scenario.pageBytes,
    zeroPages: zeroBytes / scenario.pageBytes,
    remoteFaults: stall.remoteFaults,
    stallMs: stall.lostMs,
    faultRatio: set.bytes > 0 ? (stall.remoteFaults * scenario.pageBytes) / set.bytes : 0,
    lostVcpuSeconds: lostVcpuSeconds(scenario, stall),
  };
}

/**
 * QEMU spends `max-postcopy-bandwidth` slice by slice, the first two budgets all but at once, until what is left is under
 * rate × downtime-limit; from the next slice on the rest goes at line rate. Zero pages cost nothing but count as left.
 */
function pushMsOf(scenario: Scenario, { normalBytes, zeroBytes }: Missing, wireBytes: number): number {
  const { rates, postCopyBytesPerSecond: rate, parameters } = scenario;
  const scanMs = (1000 * zeroBytes) / prior.ZERO_SCAN_BYTES_PER_SECOND + scenario.rttMs;
  const atLineRate = (bytes: number) => (1000 * bytes) / rates.lineBytesPerSecond;
  if (rate >= rates.lineBytesPerSecond || normalBytes <= 0) return atLineRate(wireBytes) + scanMs;
  const budget = rate * prior.RATE_SLICE_SECONDS;
  const normalRatio = normalBytes / (normalBytes + zeroBytes);
  const counted = Math.min(1, normalRatio / prior.ZERO_PAGES_LEFT_RATIO);
  const threshold = counted * rate * (parameters.downtimeLimitMs / 1000);
  const atOnce = Math.min(wireBytes, prior.FIRST_BUDGETS * budget);
  const paced = Math.max(0, wireBytes - atOnce - threshold);
  const rest = wireBytes - atOnce - paced;
  // A slice is begun as a whole, and the end of the last one is waited for: half a slice and one.
  const waited = wireBytes > budget ? 1 : 0;
  const slices = paced > 0 ? paced / budget + 0.5 : 0;
  return Math.max(atLineRate(wireBytes) + scanMs, SLICE_MS * (slices + waited) + atLineRate(rest) + scenario.rttMs);
}

/** What the guest uses, and how much of it is missing. */
function workingSet(scenario: Scenario, { normalBytes, unsentRatio }: Missing) {
  const idle = scenario.cpuUsedCores <= 0;
  const baseBytes = idle ? 0 : Math.min(normalBytes, prior.GUEST_BASE_BYTES * unsentRatio);
  const bytes = scenario.dirtied(prior.WORKING_SET_WINDOW_MS) + baseBytes;
  return { baseBytes, bytes, missingRatio: bytes > 0 ? Math.min(1, normalBytes / bytes) : 0 };
}

function arrivalOf(
  scenario: Scenario,
  { normalBytes }: Missing,
  { baseBytes, bytes, missingRatio }: ReturnType<typeof workingSet>,
  pushMs: number,
): Arrival {
  const { rates, postCopyBytesPerSecond: rate, dirtied } = scenario;
  const perMs = rate / 1000;
  const linePerMs = rates.lineBytesPerSecond / 1000;
  const paced = 1 - Math.min(1, rate / rates.lineBytesPerSecond);
  const atOnce = paced > 0 ? prior.FIRST_BUDGETS * rate * prior.RATE_SLICE_SECONDS : 0;
  const used = Math.min(normalBytes, bytes);
  const astray = scenario.paging === "pre-paging" ? prior.PRE_PAGING_ASTRAY_RATIO : 1;
  return {
    touched: (ms) => Math.min(bytes, dirtied(ms) - baseBytes * Math.expm1(-ms / prior.WORKING_SET_WINDOW_MS)),
    missingRatio,
    pushUntilBytes: used + astray * (normalBytes - used),
    pushed: (ms) => Math.min(linePerMs * ms, atOnce + perMs * ms),
    endMs: pushMs,
    pageBytes: scenario.pageBytes,
    // A request that comes when the slice's budget is spent waits for its end: as probable as it is long, half of it on average.
    faultMs: scenario.faultMs + (scenario.paging === "demand-paging" ? 0 : (SLICE_MS / 2) * paced ** 2),
    threads: Math.max(1, scenario.cpuUsedCores),
  };
}

/**
 * A guest that waits answers nobody, however idle it is: one vCPU's time at least. One that is not busy makes good afterwards
 * what has queued up.
 */
function lostVcpuSeconds(scenario: Scenario, { lostMs }: Stall): number {
  const busy = Math.min(1, scenario.cpuUsedCores / scenario.vcpus);
  const spare = busy > 0 ? Math.min(1, (1 - busy) / busy) : 1;
  const seconds = Math.max(0, lostMs / 1000 - prior.CATCH_UP_SECONDS * spare);
  return seconds * Math.max(1, scenario.cpuUsedCores);
}

/** Memory that the guest gives back before is not sent: the zero pages first, which are what it never used. */
export function ballooned(scenario: Scenario): Scenario {
  if (scenario.freeBytes <= 0) return scenario;
  const memoryBytes = Math.max(scenario.pageBytes, scenario.memoryBytes - scenario.freeBytes);
  return { ...scenario, memoryBytes, nonzeroBytes: Math.min(scenario.nonzeroBytes, memoryBytes) };
}

/** Post-copy from the start. The deadline does not apply: the point of no return is passed as soon as it starts. */
export function postCopy(before: Scenario): Course {
  const scenario = ballooned(before);
  const { nonzeroBytes: normalBytes, memoryBytes, setupMs: setup, disksMs } = scenario;
  const resume = resumePhase(scenario, { normalBytes, zeroBytes: memoryBytes - normalBytes, unsentRatio: 1 });
  const switchover = scenario.switchoverMs + prior.POST_COPY_START_MS;
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
    remoteFaultRatio: resume.faultRatio,
    stallMs: resume.stallMs,
    lostVcpuSeconds: resume.lostVcpuSeconds,
    rounds: [],
  };
}
