// The source's side of a migration.
import { setTimeout as wait } from "node:timers/promises";
import { DriverError, type MigrationSpec, type OutgoingState } from "../driver.ts";
import { QmpError } from "./client.ts";
import type { QmpSettings } from "./config.ts";
import type { Outgoing } from "./descriptor.ts";
import { killAndProve, logTail, waitForDeath } from "./process.ts";
import { configure } from "./settings.ts";
import {
  courseOf,
  isPastReturn,
  momentsOf,
  passesBeforePostCopy,
  toCounters,
  toProgress,
  toVmState,
  type Course,
  type Truth,
} from "./state.ts";
import type { Vm } from "./vm.ts";

const ACCEPT_TIMEOUT_MS = 30_000;
const CANCEL_TIMEOUT_MS = 30_000;
const RECOVER_TIMEOUT_MS = 10_000;
const QUIT_TIMEOUT_MS = 5000;
const KILL_TIMEOUT_MS = 10_000;
/** QEMU's events wake the driver; this is for what has none. */
const POLL_MS = 250;
const SETTLE_POLL_MS = 2;

type View = { truth: Truth; out: Outgoing; course: Course };

const refusePastReturn = (): never => {
  throw new DriverError(
    "past-point-of-no-return",
    "the guest's newest memory is at the destination: it can only be completed or recovered",
  );
};

/**
 * Brings the guest back after QEMU gave the migration up, where it was the driver that had stopped it; QEMU does so itself
 * where it had. `stopped` was never reported of such a migration, so that the destination has no leave to run the guest.
 */
async function letRunAgain(vm: Vm, out: Outgoing): Promise<void> {
  if (!out.stoppedByDriver) return;
  await vm.command("cont");
  vm.updateOutgoing((now) => ({ ...now, stoppedByDriver: false }));
}

async function view(vm: Vm): Promise<View | null> {
  const truth = await vm.truth();
  const out = vm.descriptor().outgoing;
  return out === undefined ? null : { truth, out, course: courseOf(truth, out) };
}

/** Resolves with the first view whose course is over, or null when no migration was ever taken up. */
function settled(vm: Vm, timeoutMs: number): Promise<View> {
  return vm.until("the end of the migration", timeoutMs, SETTLE_POLL_MS, async () => {
    const seen = await view(vm);
    return seen !== null && ["none", "completed", "failed", "cancelled", "paused"].includes(seen.course) ? seen : null;
  });
}

async function startPostCopyAtOnce(vm: Vm): Promise<void> {
  await vm.until("start of post-copy", ACCEPT_TIMEOUT_MS, SETTLE_POLL_MS, async () => {
    try {
      await vm.command("migrate-start-postcopy");
      return true;
    } catch (error) {
      const status = (await vm.truth()).migration.status;
      if (status === "failed" || status === "cancelled") throw error;
      return null;
    }
  });
}

async function migrate(vm: Vm, spec: MigrationSpec, uri: string): Promise<void> {
  if (spec.mechanism === "stop-and-copy") await vm.command("stop");
  await vm.command("migrate", { uri });
  if (spec.mechanism === "post-copy") await startPostCopyAtOnce(vm);
  await vm.until("a connection to the destination", ACCEPT_TIMEOUT_MS, POLL_MS, async () => {
    const { status, "error-desc": why } = (await vm.truth()).migration;
    if (status === "failed" || status === "cancelled")
      throw new DriverError("hypervisor-refused", `QEMU could not migrate to ${uri}: ${why ?? "it gave no reason"}`);
    return status === "setup" || status === "none" || status === undefined ? null : true;
  });
}

/** Gives up a migration that did not come about. The guest runs afterwards, or this throws what went wrong besides. */
async function undo(vm: Vm): Promise<void> {
  const seen = await view(vm);
  if (seen === null) return;
  if (isPastReturn(seen.truth, seen.out)) return;
  if (seen.course === "active") await vm.command("migrate_cancel");
  const end = seen.course === "none" ? seen : await settled(vm, CANCEL_TIMEOUT_MS);
  if (end.course !== "completed") await letRunAgain(vm, end.out);
}

export async function startOutgoing(
  vm: Vm,
  spec: MigrationSpec,
  uri: string,
  settings: QmpSettings,
): Promise<{ startedAtMs: number }> {
  const before = await vm.truth();
  if (toVmState(before, false) !== "running")
    throw new DriverError("not-running", `the guest is ${before.runState}: only a running guest is migrated`);
  await configure(vm, spec, settings, "client");
  const startedAtMs = Date.now();
  vm.setOutgoing({
    migrationId: spec.migrationId,
    mechanism: spec.mechanism,
    preCopyRounds: spec.parameters.preCopyRounds,
    startedAtMs,
    stoppedAtMs: null,
    completedAtMs: null,
    stoppedByDriver: spec.mechanism === "stop-and-copy",
    postCopy: false,
    throttleRatioMax: 0,
  });
  try {
    await migrate(vm, spec, uri);
  } catch (error) {
    await undo(vm);
    throw error;
  }
  return { startedAtMs };
}

/** What only this look knows and a later one needs. */
function remember(vm: Vm, { truth, out, course }: View): Outgoing {
  const throttle = (truth.migration["cpu-throttle-percentage"] ?? 0) / 100;
  const now = {
    ...out,
    throttleRatioMax: Math.max(out.throttleRatioMax, throttle),
    postCopy: isPastReturn(truth, out),
    ...(course === "completed" ? momentsOf(truth.migration, out, Date.now()) : {}),
  };
  if (JSON.stringify(now) !== JSON.stringify(out)) vm.updateOutgoing(() => now);
  return now;
}

async function driveHybrid(vm: Vm, { truth, out, course }: View): Promise<void> {
  const passes = truth.migration.ram?.["dirty-sync-count"] ?? 0;
  if (course !== "active" || passes < passesBeforePostCopy(out)) return;
  // Refused only when QEMU went on to switch over by itself meanwhile, which ends the migration as well.
  await vm.command("migrate-start-postcopy").catch(() => undefined);
}

function toState(seen: View, out: Outgoing, since: OutgoingState["state"] | null): OutgoingState | null {
  const { truth, course } = seen;
  const progress = toProgress(truth);
  const failure = truth.migration["error-desc"] ?? `QEMU's migration is ${truth.migration.status ?? "none"}`;
  const moments = momentsOf(truth.migration, out, Date.now());
  switch (course) {
    case "settling":
      return null;
    case "active":
      return { state: "active", progress };
    case "paused":
      return { state: "paused", detail: failure, progress };
    case "none":
      return { state: "failed", detail: "QEMU has taken up no migration of this VM", vmState: toVmState(truth, false) };
    case "failed":
    case "cancelled":
      return { state: course, detail: failure, vmState: toVmState(truth, false) };
    case "stopped":
      return { state: "stopped", postCopy: true, stoppedAtMs: moments.stoppedAtMs, progress };
    case "completed": {
      const { postCopy } = out;
      // Nobody may miss that it stopped: that is what lets the destination run.
      if (since !== "stopped" && since !== "completed")
        return { state: "stopped", postCopy, stoppedAtMs: moments.stoppedAtMs, progress };
      return { state: "completed", postCopy, ...moments, progress, counters: toCounters(truth.migration, out) };
    }
  }
}

async function lookOnce(vm: Vm, since: OutgoingState["state"] | null): Promise<OutgoingState | null> {
  const known = vm.descriptor();
  const dead = async (): Promise<OutgoingState> => ({
    state: "failed",
    detail: `the QEMU process has ended: ${await logTail(known.logFile)}`,
    vmState: "shutoff",
  });
  if ((await vm.process()) === null) return dead();
  try {
    const seen = await view(vm);
    if (seen === null)
      return {
        state: "failed",
        detail: "no migration of this VM was started here",
        vmState: (await vm.state()) ?? "shutoff",
      };
    await driveHybrid(vm, seen);
    const out = remember(vm, seen);
    const givenUp = seen.course === "failed" || seen.course === "cancelled";
    if (givenUp && out.stoppedByDriver) {
      await letRunAgain(vm, out);
      return null;
    }
    return toState(seen, out, since);
  } catch (error) {
    if ((await vm.process()) === null) return dead();
    throw error;
  }
}

export async function observeOutgoing(
  vm: Vm,
  since: OutgoingState["state"] | null,
  timeoutMs: number,
): Promise<OutgoingState> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const seen = vm.client.eventsSeen;
    const state = await lookOnce(vm, since);
    if (state !== null && (state.state !== since || Date.now() >= deadline)) return state;
    if (state === null) await wait(SETTLE_POLL_MS);
    else await vm.client.waitForEvent(seen, Math.max(1, Math.min(POLL_MS, deadline - Date.now())));
  }
}

export async function cancelOutgoing(vm: Vm): Promise<void> {
  const seen = await view(vm);
  if (seen === null) throw new DriverError("no-migration", "no migration of this VM was started here");
  if (isPastReturn(seen.truth, seen.out)) refusePastReturn();
  if (seen.course === "active") await vm.command("migrate_cancel");
  const end = await settled(vm, CANCEL_TIMEOUT_MS);
  if (end.course === "completed" || end.course === "paused") refusePastReturn();
  await letRunAgain(vm, end.out);
}

/** Connects a paused post-copy to where its destination listens anew. Throws while it stays paused. */
export async function recoverOutgoing(vm: Vm, uri: string): Promise<void> {
  const before = (await vm.truth()).migration;
  if (before.status !== "postcopy-paused")
    throw new DriverError("not-paused", `the migration is ${before.status ?? "none"}: there is nothing to recover`);
  await vm.command("migrate", { uri, resume: true });
  await vm.until("post-copy going on", RECOVER_TIMEOUT_MS, POLL_MS, async () => {
    const { status, "error-desc": why } = (await vm.truth()).migration;
    if (status === "postcopy-active" || status === "completed") return true;
    // It stays paused until it is connected; a new reason says that it will not be.
    if (status === "postcopy-paused" && why !== undefined && why !== before["error-desc"])
      throw new DriverError("hypervisor-refused", `QEMU could not connect to ${uri}: ${why}`);
    return null;
  });
}

export async function forceSwitchover(vm: Vm): Promise<void> {
  const seen = await view(vm);
  if (seen?.course !== "active") throw new DriverError("no-migration", "there is no migration to end");
  vm.updateOutgoing((out) => ({ ...out, stoppedByDriver: true }));
  await vm.command("stop");
}

export async function setBandwidth(vm: Vm, bytesPerSecond: number): Promise<void> {
  const value = Math.round(bytesPerSecond);
  const inPostCopy = (await vm.truth()).migration.status?.startsWith("postcopy-") ?? false;
  await vm.command("migrate-set-parameters", { [inPostCopy ? "max-postcopy-bandwidth" : "max-bandwidth"]: value });
}

/** Lets the guest run here again. The caller vouches that the destination's process is dead and never ran the guest. */
export async function continueSource(vm: Vm): Promise<void> {
  const truth = await vm.truth();
  if (truth.running) return;
  const out = vm.descriptor().outgoing;
  if (isPastReturn(truth, out)) refusePastReturn();
  const course = out === undefined ? "none" : courseOf(truth, out);
  if (course === "active" || course === "settling")
    throw new DriverError("migration-active", "the migration is still under way: cancel it first");
  await vm.command("cont");
  await vm.until("the guest running again", ACCEPT_TIMEOUT_MS, POLL_MS, async () =>
    (await vm.truth()).running ? true : null,
  );
  vm.updateOutgoing((now) => ({ ...now, stoppedByDriver: false }));
}

/** Ends the source's process. Refused unless the migration completed, which is on disk once it was observed. */
export async function releaseSource(vm: Vm): Promise<void> {
  const id = await vm.process();
  if (id !== null) {
    const seen = await view(vm);
    if (seen?.course !== "completed")
      throw new DriverError(
        "not-completed",
        `the migration is ${seen?.course ?? "unknown"}: the VM is still needed here`,
      );
    remember(vm, seen);
    await vm.client.execute("quit").catch((error: unknown) => {
      if (!(error instanceof QmpError)) throw error;
    });
    if (!(await waitForDeath(id, QUIT_TIMEOUT_MS))) await killAndProve(id, KILL_TIMEOUT_MS);
  } else if (vm.descriptor().outgoing?.completedAtMs == null) {
    throw new DriverError(
      "not-completed",
      "the VM's process has ended without a completed migration: it was not released",
    );
  }
}
