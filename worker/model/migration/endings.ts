// How a course that began with rounds ends: switched over, finished by post-copy, forced or cancelled.
import { type Resume, resumePhase } from "./post-copy.ts";
import { POST_COPY_START_MS } from "./priors.ts";
import { diskTraffic } from "./storage.ts";
import type { RoundsEnd } from "./rounds.ts";
import type { Course, Scenario } from "./scenario.ts";
import type { StopRule } from "./types.ts";

/** The rest goes at line rate while the VM stands still: QEMU lifts `max-bandwidth` for it. */
export function switchOver(scenario: Scenario, end: RoundsEnd, stopRule: StopRule, converged = true): Course {
  const wireBytes = rest(scenario, end);
  const downtimeMs = scenario.switchoverMs + burstMs(scenario, end, wireBytes);
  return course(scenario, end, stopRule, converged, downtimeMs, wireBytes, null);
}

/** The VM is stopped above the threshold: capped rounds go on until what is left is under it, then line rate. */
function forced(scenario: Scenario, end: RoundsEnd): Course {
  const rate = scenario.rates.roundsBytesPerSecond;
  const wireBytes = rest(scenario, end);
  const capped = Math.max(0, wireBytes - (rate * scenario.parameters.downtimeLimitMs) / 1000);
  const downtimeMs = scenario.switchoverMs + (capped / rate) * 1000 + burstMs(scenario, end, wireBytes - capped);
  return course(scenario, end, "deadline-force", false, downtimeMs, wireBytes, null);
}

/** The rest is fetched and pushed with the VM running at the destination. */
export function postCopyFrom(scenario: Scenario, end: RoundsEnd, stopRule: StopRule, converged: boolean): Course {
  const { normalBytes, zeroBytes } = end;
  const unsentRatio = Math.min(1, end.unsentBytes / Math.max(1, scenario.nonzeroBytes));
  const resume = resumePhase(scenario, { normalBytes, zeroBytes, unsentRatio });
  const downtimeMs = scenario.switchoverMs + POST_COPY_START_MS + scenario.discardMsPerByte * end.normalBytes;
  return course(scenario, end, stopRule, converged, downtimeMs, resume.wireBytes, resume);
}

/** The VM never stopped; what was sent was for nothing. */
function cancelled(scenario: Scenario, end: RoundsEnd): Course {
  const all = course(scenario, end, "deadline-cancel", false, null, 0, null);
  return { ...all, pages: end.pages, zeroPages: end.zeroPages };
}

/** The deadline strikes while the disks are copied: there is nothing to switch over to, whatever `onDeadline` says. */
function withoutDisks({ setupMs: setup, disksMs: disks }: Scenario): Course {
  return {
    converged: false,
    stopRule: "deadline-cancel",
    preparationMs: setup + disks,
    downtimeMs: null,
    resumeMs: 0,
    phaseMs: { setup, disks, rounds: 0, switchover: 0, "post-copy": 0 },
    wireBytes: 0,
    pages: 0,
    zeroPages: 0,
    remoteFaults: 0,
    remoteFaultRatio: 0,
    stallMs: 0,
    lostVcpuSeconds: 0,
    rounds: [],
  };
}

/** A mechanism's course with the disks: it does not happen without them, and ends when those copied after it are there. */
export function withDisks(scenario: Scenario, run: (scenario: Scenario) => Course): Course {
  if (!scenario.disksReady) return withoutDisks(scenario);
  const course = run(scenario);
  const { afterMs } = scenario.disks;
  if (afterMs === 0 || course.downtimeMs === null) return course;
  const { phaseMs, resumeMs } = course;
  return {
    ...course,
    resumeMs: resumeMs + afterMs,
    phaseMs: { ...phaseMs, "post-copy": phaseMs["post-copy"] + afterMs },
  };
}

/** What was sent of the disks in that course. */
export function disksSent({ disks, disksMs, disksReady }: Scenario, { downtimeMs, phaseMs }: Course) {
  const nothing = disks.afterMs > 0 && downtimeMs === null;
  return diskTraffic(disks, nothing ? 0 : disksReady ? null : disksMs, phaseMs.rounds);
}

/** What `onDeadline` says. */
export function atDeadline(scenario: Scenario, end: RoundsEnd): Course {
  switch (scenario.parameters.onDeadline) {
    case "cancel":
      return cancelled(scenario, end);
    case "force":
      return forced(scenario, end);
    case "post-copy":
      return postCopyFrom(scenario, end, "deadline-post-copy", false);
  }
}

/** Time that the deadline leaves for rounds. */
export function untilDeadlineMs(scenario: Scenario): number {
  return Math.max(0, scenario.parameters.deadlineMs - scenario.setupMs - scenario.disksMs);
}

/** Pages that were never sent take longer: the destination has no memory for them yet. */
function burstMs(scenario: Scenario, end: RoundsEnd, wireBytes: number): number {
  const sendMs =
    scenario.burstMsPerByte * wireBytes + scenario.firstTouchMsPerByte * Math.min(end.unsentBytes, wireBytes);
  return Math.max(sendMs, (1000 * end.normalBytes) / scenario.compressBytesPerSecond);
}

function rest(scenario: Scenario, end: RoundsEnd): number {
  return end.normalBytes * scenario.wirePerNormalByte + end.zeroBytes * scenario.wirePerZeroByte;
}

/** Every property once and by name: there are thousands of courses in a plan, and spreading them was a tenth of its time. */
function course(
  scenario: Scenario,
  end: RoundsEnd,
  stopRule: StopRule,
  converged: boolean,
  downtimeMs: number | null,
  restBytes: number,
  resume: Resume | null,
): Course {
  const { setupMs, disksMs } = scenario;
  const resumeMs = resume?.durationMs ?? 0;
  return {
    converged,
    stopRule,
    preparationMs: setupMs + disksMs + end.elapsedMs,
    downtimeMs,
    resumeMs,
    phaseMs: {
      setup: setupMs,
      disks: disksMs,
      rounds: end.elapsedMs,
      switchover: downtimeMs ?? 0,
      "post-copy": resumeMs,
    },
    wireBytes: end.wireBytes + restBytes,
    pages: end.pages + end.normalBytes / scenario.pageBytes,
    zeroPages: end.zeroPages + end.zeroBytes / scenario.pageBytes,
    remoteFaults: resume?.remoteFaults ?? 0,
    remoteFaultRatio: resume?.faultRatio ?? 0,
    stallMs: resume?.stallMs ?? 0,
    lostVcpuSeconds: end.lostVcpuSeconds + (resume?.lostVcpuSeconds ?? 0),
    rounds: end.rounds,
  };
}
