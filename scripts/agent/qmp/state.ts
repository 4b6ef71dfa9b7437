// What QEMU's run states and migration states mean in Drover's words. Pure: tested on captured answers.
import type { Progress } from "../../../worker/model/wire/event.ts";
import type { VmState } from "../../../worker/model/wire/inventory.ts";
import type { OutgoingCounters } from "../driver.ts";
import type { MigrateAnswer } from "./answers.ts";
import type { Outgoing } from "./descriptor.ts";

/**
 * What QEMU says of a VM. They are two questions, and a whole switch-over fits between them: `migration` was read first, so
 * that a guest which runs after `completed` was continued here and not merely seen before it stopped.
 */
export type Truth = { runState: string; running: boolean; migration: MigrateAnswer };

/**
 * `query-status` as a VM state. A guest that arrived and was never let run is `inmigrate` whatever QEMU calls it, and a
 * source whose memory is being pulled by the destination is `postmigrate`: neither may be taken for the VM's place.
 */
export function toVmState(truth: Truth, neverRan: boolean): VmState {
  const migration = truth.migration.status ?? "none";
  const leaving = truth.runState === "finish-migrate" || truth.runState === "postmigrate";
  if (leaving) return truth.runState === "postmigrate" || isPostCopy(migration) ? "postmigrate" : "paused";
  if (truth.runState === "shutdown") return "shutoff";
  if (truth.runState === "inmigrate" || neverRan) return "inmigrate";
  if (isPostCopy(migration) && migration !== "postcopy-active") return "postcopy-paused";
  return truth.running ? "running" : "paused";
}

const isPostCopy = (status: string): boolean => status.startsWith("postcopy-");

/** `migrate-start-postcopy` is due when QEMU begins this pass; never, but for the hybrid mechanism. */
export const passesBeforePostCopy = (out: Pick<Outgoing, "mechanism" | "preCopyRounds">): number =>
  out.mechanism === "hybrid" ? out.preCopyRounds + 1 : Number.POSITIVE_INFINITY;

/**
 * How far an outgoing migration is. `settling`: over, but QEMU has not yet set all that it will (7.2 says `completed` before
 * `total-time`, and before the run state); ask again within milliseconds.
 */
export type Course = "none" | "active" | "settling" | "stopped" | "completed" | "paused" | "failed" | "cancelled";

export function courseOf(truth: Truth, out: Outgoing): Course {
  switch (truth.migration.status) {
    case undefined:
    case "none":
      return "none";
    case "postcopy-active":
      return truth.running ? "settling" : "stopped";
    case "postcopy-paused":
    case "postcopy-recover":
      return "paused";
    case "completed":
      return completedCourse(truth);
    case "failed":
    case "cancelled":
      // Past post-copy's start the guest's newest memory is at the destination: that is no failure to go back from.
      if (isPastReturn(truth, out)) return "paused";
      return truth.runState === "finish-migrate" ? "settling" : truth.migration.status;
    default:
      return "active";
  }
}

function completedCourse({ runState, running, migration }: Truth): Course {
  const whole = (migration["total-time"] ?? 0) > 0;
  // Running again after it completed: the guest was continued here, and this is the answer of an older migration.
  if (running && whole) return "failed";
  return whole && runState === "postmigrate" ? "completed" : "settling";
}

/** True when the guest's memory may be at the destination only: nothing may bring it back to life here. */
export const isPastReturn = (truth: Truth, out: Outgoing | undefined): boolean =>
  isPostCopy(truth.migration.status ?? "none") ||
  (out?.postCopy ?? false) ||
  (truth.migration.ram?.["postcopy-bytes"] ?? 0) > 0;

const SETUP = new Set(["none", "setup", "wait-unplug"]);

function phaseOf(truth: Truth): Progress["phase"] {
  const status = truth.migration.status ?? "none";
  if (SETUP.has(status)) return "setup";
  if (isPostCopy(status)) return "post-copy";
  return truth.running ? "pre-copy" : "switchover";
}

function ramProgress(ram: NonNullable<MigrateAnswer["ram"]>): Partial<Progress> {
  const measured = ram["dirty-sync-count"] > 1;
  return {
    ...(ram.total > 0 ? { totalBytes: ram.total } : {}),
    iteration: ram["dirty-sync-count"],
    remainingBytes: ram.remaining,
    transferredBytes: ram.transferred,
    // The rate is set by the second and later looks at the dirty bitmap.
    ...(measured ? { dirtyBytesPerSecond: ram["dirty-pages-rate"] * ram["page-size"] } : {}),
    // `mbps` is 10^6 bits a second of the last 100 ms.
    ...(ram.mbps > 0 ? { throughputBytesPerSecond: (ram.mbps * 1e6) / 8 } : {}),
  };
}

/** `query-migrate` as progress. What QEMU has not measured yet, and shows as 0, is absent. */
export function toProgress(truth: Truth): Progress {
  const { migration } = truth;
  const throttle = migration["cpu-throttle-percentage"];
  return {
    iteration: 0,
    remainingBytes: 0,
    transferredBytes: 0,
    ...(migration.ram === undefined ? {} : ramProgress(migration.ram)),
    ...(throttle === undefined ? {} : { throttleRatio: throttle / 100 }),
    phase: phaseOf(truth),
    elapsedMs: migration["total-time"] ?? 0,
  };
}

/** QEMU's counters once it has settled. `downtime` is kept as its own figure only: it is not the blackout. */
export function toCounters(migration: MigrateAnswer, out: Outgoing): OutgoingCounters {
  const ram = migration.ram;
  const throttle = Math.max(out.throttleRatioMax, (migration["cpu-throttle-percentage"] ?? 0) / 100);
  return {
    ...(ram === undefined
      ? {}
      : {
          transferredBytes: ram.transferred,
          transferredPages: ram.normal,
          zeroPages: ram.duplicate,
          rounds: ram["dirty-sync-count"],
          ...(out.postCopy ? { remoteFaults: ram["postcopy-requests"] ?? 0 } : {}),
        }),
    ...(throttle > 0 ? { throttleRatioMax: throttle } : {}),
    ...(migration.downtime === undefined ? {} : { hypervisorDowntimeMs: migration.downtime }),
  };
}

/**
 * When the guest stopped and when the migration ended, on QEMU's clock. Its events say so; where they were missed because the
 * agent was down, from its own durations: it stops `downtime` before the end of `total-time`.
 */
export function momentsOf(
  migration: MigrateAnswer,
  out: Outgoing,
  nowMs: number,
): { stoppedAtMs: number; completedAtMs: number } {
  const settled = migration.status === "completed" && migration["total-time"] !== undefined;
  const end = settled ? out.startedAtMs + (migration["total-time"] ?? 0) : nowMs;
  const completedAtMs = out.completedAtMs ?? end;
  return { completedAtMs, stoppedAtMs: out.stoppedAtMs ?? completedAtMs - (migration.downtime ?? 0) };
}
