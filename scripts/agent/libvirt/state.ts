// What libvirt's states and figures mean in Drover's words. Pure: tested on recorded answers.
import type { Progress } from "../../../worker/model/wire/event.ts";
import type { VmState } from "../../../worker/model/wire/inventory.ts";
import type { OutgoingCounters } from "../driver.ts";
import { numberOf, type Stats } from "./raw.ts";
import type { Outgoing } from "./records.ts";

/** `state.state` and `state.reason` of domstats: numbers of virDomainState and its reasons. */
export type DomainState = { state: number; reason: number };

const STATE = { running: 1, blocked: 2, paused: 3, shuttingDown: 4, shutoff: 5, crashed: 6 } as const;
const RUNNING = { postCopy: 10, postCopyFailed: 11 } as const;
const PAUSED = { migrating: 2, startingUp: 11, postCopy: 12, postCopyFailed: 13 } as const;
const SHUTOFF_MIGRATED = 4;

/** Null when domstats gave no state. */
export function toDomainState(stats: Stats): DomainState | null {
  const [state, reason] = [numberOf(stats, "state.state"), numberOf(stats, "state.reason")];
  return state === null ? null : { state, reason: reason ?? 0 };
}

const isPaused = ({ state, reason }: DomainState, ...reasons: number[]): boolean =>
  state === STATE.paused && reasons.includes(reason);

/** Paused as an arriving VM is, but so is one that leaves: only its job tells which. */
export const mayBeArriving = (domain: DomainState): boolean => isPaused(domain, PAUSED.migrating, PAUSED.startingUp);

/** What is left of a VM that was migrated away without its definition: no VM of this host. */
export const hasLeft = (domain: DomainState | null): boolean =>
  domain === null || (domain.state === STATE.shutoff && domain.reason === SHUTOFF_MIGRATED);

/** A VM that runs here with memory that is still on its source. */
export const isInPostCopy = ({ state, reason }: DomainState): boolean =>
  state === STATE.running && reason === RUNNING.postCopy;

/** A source that libvirt knows to have lost its destination in post-copy. */
export const isPostCopyBroken = (domain: DomainState | null): boolean =>
  domain !== null && isPaused(domain, PAUSED.postCopyFailed);

export function toVmState(domain: DomainState, arriving: boolean): VmState {
  switch (domain.state) {
    case STATE.running:
    case STATE.blocked:
    case STATE.shuttingDown:
      return domain.reason === RUNNING.postCopyFailed && domain.state === STATE.running ? "postcopy-paused" : "running";
    case STATE.shutoff:
    case STATE.crashed:
      return "shutoff";
    default:
      if (arriving) return "inmigrate";
      if (isPaused(domain, PAUSED.postCopy)) return "postmigrate";
      return isPaused(domain, PAUSED.postCopyFailed) ? "postcopy-paused" : "paused";
  }
}

/** How `virsh migrate` ended; null: nobody knows, for it was another agent's child or was killed. */
export type Ending = { ok: boolean; complaint: string } | null;

export type View = {
  domain: DomainState | null;
  job: Stats;
  /** `virsh migrate` of this agent is at work. */
  isChildBusy: boolean;
  ending: Ending;
  out: Outgoing;
};

/**
 * How far an outgoing migration is. `settling`: over, but libvirt has not yet said how; ask again within milliseconds.
 * `vanished`: the VM is no longer here, and whoever saw why is gone: only its destination can tell.
 */
export type Course = "active" | "settling" | "stopped" | "completed" | "paused" | "failed" | "cancelled" | "vanished";

/** A bounded or an unbounded job. */
const ACTIVE_JOBS = ["1", "2"];

export const isJobActive = (job: Stats): boolean => ACTIVE_JOBS.includes(job["type"] ?? "");

export function courseOf(view: View): Course {
  const { domain, job, isChildBusy, ending, out } = view;
  if (domain === null || hasLeft(domain)) return goneCourse(view);
  if (isPostCopyBroken(domain)) return "paused";
  if (isPaused(domain, PAUSED.postCopy)) return ending?.ok === false ? "paused" : "stopped";
  if (isChildBusy) return "active";
  if (ending !== null) return endedCourse(ending.ok, isJobActive(job), out);
  // libvirt lets the guest run again a moment after its job has ended.
  if (isPaused(domain, PAUSED.migrating) && !isJobActive(job)) return "settling";
  return endedCourse(false, isJobActive(job), out);
}

function goneCourse({ domain, isChildBusy, ending, out }: View): Course {
  if (isChildBusy) return "settling";
  if (ending !== null) return ending.ok ? "completed" : "failed";
  return out.leftAtMs === null && domain === null ? "vanished" : "completed";
}

function endedCourse(ok: boolean, isActive: boolean, out: Outgoing): Course {
  if (ok) return "completed";
  if (isActive) return "active";
  return out.cancelAsked ? "cancelled" : "failed";
}

function phaseOf(domain: DomainState | null, job: Stats): Progress["phase"] {
  if (domain !== null && isPaused(domain, PAUSED.postCopy, PAUSED.postCopyFailed)) return "post-copy";
  if ((numberOf(job, "memory_total") ?? 0) === 0) return "setup";
  return domain?.state === STATE.paused ? "switchover" : "pre-copy";
}

/** `domjobinfo` as progress, or the finished job's figures. What has not been measured yet, and shows as 0, is absent. */
export function toProgress({ domain, job: running, out }: Pick<View, "domain" | "job" | "out">): Progress {
  const job = isJobActive(running) ? running : (out.counters ?? running);
  const figure = (key: string): number => numberOf(job, key) ?? 0;
  const throttle = numberOf(job, "auto_converge_throttle");
  const iteration = figure("memory_iteration");
  return {
    iteration,
    remainingBytes: figure("memory_remaining"),
    transferredBytes: figure("memory_processed"),
    ...(figure("memory_total") > 0 ? { totalBytes: figure("memory_total") } : {}),
    // The rate is set by the second and later looks at the dirty bitmap.
    ...(iteration > 1 ? { dirtyBytesPerSecond: figure("memory_dirty_rate") * figure("memory_page_size") } : {}),
    ...(figure("memory_bps") > 0 ? { throughputBytesPerSecond: figure("memory_bps") } : {}),
    ...(throttle === null ? {} : { throttleRatio: throttle / 100 }),
    phase: domain === null ? (out.postCopy ? "post-copy" : "switchover") : phaseOf(domain, job),
    elapsedMs: figure("time_elapsed"),
  };
}

/** Figures of the finished job. Null counters: nobody saw libvirt's last word, and older figures would be too low. */
export function toCounters({ counters, postCopy, throttleRatioMax }: Outgoing): OutgoingCounters {
  const figure = (name: keyof OutgoingCounters, key: string): OutgoingCounters => {
    const value = counters === null ? null : numberOf(counters, key);
    return value === null ? {} : { [name]: value };
  };
  return {
    ...figure("transferredBytes", "memory_processed"),
    ...figure("transferredPages", "memory_normal"),
    ...figure("zeroPages", "memory_constant"),
    ...figure("rounds", "memory_iteration"),
    ...(postCopy ? figure("remoteFaults", "memory_postcopy_requests") : {}),
    ...figure("hypervisorDowntimeMs", "downtime"),
    ...(throttleRatioMax > 0 ? { throttleRatioMax } : {}),
  };
}

/**
 * When the guest stopped and when all was sent. libvirt's event tells the stop; the end is its job's begin and duration, since
 * the source's process is ended up to seconds later. Without them: not known, and the moment at which the VM was gone.
 */
export function momentsOf(out: Outgoing, nowMs: number): { stoppedAtMs: number | null; completedAtMs: number } {
  const elapsedMs = out.counters === null ? null : numberOf(out.counters, "time_elapsed");
  const endedAtMs = out.jobBeganAtMs === null || elapsedMs === null ? null : out.jobBeganAtMs + elapsedMs;
  return {
    stoppedAtMs: out.stoppedAtMs,
    completedAtMs: Math.max(out.stoppedAtMs ?? 0, endedAtMs ?? out.leftAtMs ?? nowMs),
  };
}
