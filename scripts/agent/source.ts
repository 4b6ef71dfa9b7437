// The source's side of a migration: start it, watch it, prove the stop to the destination, release.
import type { CancelCommand, RecoverCommand, StartCommand, SteerCommand } from "../../worker/model/wire/command.ts";
import type { EventDraft } from "./outbox.ts";
import { obey, type Problem } from "./directives.ts";
import { checkAddresses } from "./continuity.ts";
import { DriverError, type OutgoingState } from "./driver.ts";
import { runAfterAtSource, runBefore } from "./hooks.ts";
import { messageOf } from "./log.ts";
import { outcomeOf } from "./outcome.ts";
import { endRun, localState, untilDone, type Parts } from "./parts.ts";
import { greet, prove, sayDone } from "./proof.ts";
import { recoverWhenDue } from "./recovery.ts";
import { isSteered, presentSource, specOf, type SourceRun } from "./runs.ts";
import { steer, tellProgress, tellSteered } from "./steer.ts";
import { newWatch, PROGRESS_MS, type Watch } from "./watch.ts";

const RETRY_MS = 500;
const RETRY_MS_MAX = 30_000;
const PROOF_RETRY_MS_MIN = 50;
const PROOF_RETRY_MS_MAX = 1000;
/** How often a paused post-copy says that it still waits. */
const PAUSED_PROGRESS_MS = 10_000;
/** Then a person is told where the VM stands. */
const CONTINUE_ATTEMPTS_MAX = 20;

export type Source = {
  /** The record of the run; nothing is done yet. */
  take: (command: StartCommand) => SourceRun;
  go: (run: SourceRun) => void;
  /** After a restart. */
  resume: (run: SourceRun) => void;
  /** Why it cannot be cancelled, or null: it will be, and the event says so. */
  cancel: (run: SourceRun, command: Pick<CancelCommand, "id" | "reason">) => Promise<string | null>;
  /** Does what was judged to be within the limits. Why it cannot be done, or null: it was, and an event says so. */
  steer: (run: SourceRun, command: SteerCommand) => Promise<Problem | null>;
  recover: (run: SourceRun, command: RecoverCommand) => Promise<Problem | null>;
  /** Does what is left to be done of a migration that has ended. */
  settle: (run: SourceRun) => void;
};

const PAST_RETURN = "the VM has stopped here for the switch-over or is gone; only the destination can have it now";

export function createSource(parts: Parts): Source {
  const watches = new Map<string, Watch>();
  const track = (run: SourceRun, task: (watch: Watch) => Promise<void>) => {
    const watch = newWatch(parts);
    watches.set(run.command.migrationId, watch);
    parts.life.spawn("outgoing migration", async () => {
      await untilDone(
        parts,
        () => task(watch),
        () => takeUp(parts, present(parts, run), watch),
      );
      await aroundEnd(parts, run);
    });
  };
  const cancel: Source["cancel"] = async (run, command) => {
    const now = present(parts, run);
    const isStopped = now.stoppedAtMs !== undefined || watches.get(run.command.migrationId)?.stopSeen;
    if (now.ending === "completed" || isStopped) return PAST_RETURN;
    const cancelled = { commandId: command.id, reason: "command", detail: command.reason };
    if (now.endedAt === undefined) parts.runs.update(now, { cancel: cancelled });
    else await endRun(parts, now, { type: "cancelled", ...cancelled });
    return null;
  };
  return {
    take: (command) => parts.runs.save<SourceRun>({ side: "source", command }),
    go: (run) => track(run, (watch) => begin(parts, run, watch)),
    resume: (run) => track(run, (watch) => takeUp(parts, run, watch)),
    cancel,
    settle: (run) => parts.life.spawn("after a migration", () => aroundEnd(parts, run)),
    steer: async (run, command) => {
      const { directive, id, reason } = command;
      const pastReturn = { reason: "point-of-no-return", detail: PAST_RETURN };
      if (directive.set === "cancel") return (await cancel(run, { id, reason })) === null ? null : pastReturn;
      const watch = watches.get(run.command.migrationId);
      const now = present(parts, run);
      if (now.stoppedAtMs !== undefined || watch?.stopSeen) return pastReturn;
      if (watch === undefined || now.endedAt !== undefined || now.cancel)
        return { reason: "ended", detail: "the migration has ended here, or is being cancelled" };
      return obey(parts, now, watch, { id, reason }, directive);
    },
    recover: async (run, { id, reason }) => {
      const watch = watches.get(run.command.migrationId);
      if (!watch?.paused) return { reason: "not-paused", detail: "no post-copy that has lost its link waits here" };
      watch.recoverAt = 0;
      tellSteered(parts, run, { what: "recover", why: reason }, { by: "command", commandId: id });
      return null;
    },
  };
}

/** Hooks are ended where the VM stays; where it has gone, whether the network has followed is looked at. */
async function aroundEnd(parts: Parts, run: SourceRun): Promise<void> {
  const { endedAt, ending, checked } = present(parts, run);
  if (endedAt === undefined) return;
  await runAfterAtSource(parts, run);
  if (ending !== "completed" || checked) return;
  if (await checkAddresses(parts, run)) parts.runs.update<SourceRun>(run, { checked: true });
}

const present = ({ runs }: Parts, run: SourceRun): SourceRun => presentSource(runs, run);

function tell({ outbox }: Parts, { command }: SourceRun, event: EventDraft): void {
  outbox.add(command.migrationId, event);
}

async function begin(parts: Parts, run: SourceRun, watch: Watch): Promise<void> {
  const { command } = run;
  await parts.settle(command.vm.uuid);
  // A destination that cannot be reached, or has another secret, is found out while the VM still runs.
  const unreachable = await greet(parts, run, watch);
  if (unreachable !== null)
    return endRun(parts, run, { type: "failed", reason: "peer-unreachable", detail: unreachable });
  const why = await runBefore(parts, run);
  if (why !== null) return endRun(parts, run, { type: "refused", reason: "hook", detail: why });
  const { cancel } = present(parts, run);
  if (cancel) return endRun(parts, run, { type: "cancelled", ...cancel });
  try {
    const { startedAtMs } = await parts.driver.startOutgoing(specOf(run), command.destination.migrationUri);
    parts.runs.update(run, { startedAtMs });
  } catch (error) {
    // What was asked for and not answered may have begun all the same.
    const state = await parts.driver.observeOutgoing(command.vm.uuid, null, 0).catch(() => null);
    const untouched = state?.state !== "active" && state?.state !== "stopped";
    if (error instanceof DriverError && untouched)
      return endRun(parts, run, { type: "failed", reason: error.reason, detail: error.message });
    parts.log("error", "the hypervisor did not say whether it took a migration", {
      migrationId: command.migrationId,
      error: messageOf(error),
    });
  }
  tell(parts, run, { type: "accepted", commandId: command.id, fencingToken: command.fencingToken });
  return follow(parts, run, watch);
}

/** Where a restarted agent goes on: what the driver sees decides. */
async function takeUp(parts: Parts, run: SourceRun, watch: Watch): Promise<void> {
  const { command } = run;
  if (run.outcome !== undefined) return release(parts, run);
  if (run.startedAtMs === undefined) {
    let state: OutgoingState | null = null;
    while (state === null && !parts.life.isStopping()) state = await look(parts, run, null, 0);
    if (state === null) return;
    const vmState = await localState(parts, command.vm.uuid);
    if (state.state !== "active" && vmState === "running") {
      const detail = "the agent was restarted before the hypervisor took the migration";
      return endRun(parts, run, { type: "failed", reason: "agent-restarted", detail }, vmState);
    }
    tell(parts, run, { type: "accepted", commandId: command.id, fencingToken: command.fencingToken });
  }
  return follow(parts, run, watch);
}

/** The driver's answer, or null after a while if there is none worth anything. */
async function look(
  { driver, life, log }: Parts,
  { command: { migrationId, vm } }: SourceRun,
  since: OutgoingState["state"] | null,
  waitMs: number,
): Promise<OutgoingState | null> {
  try {
    return await driver.observeOutgoing(vm.uuid, since, waitMs);
  } catch (error) {
    log("warn", "a migration cannot be observed", { migrationId, error: messageOf(error) });
    const states = await driver.vmStates().catch(() => null);
    const vmState = states === null ? undefined : (states[vm.uuid] ?? "shutoff");
    const isTold = error instanceof DriverError && error.reason === "no-migration";
    if (vmState !== undefined && (isTold || vmState === "shutoff"))
      return { state: "failed", detail: messageOf(error), vmState };
    await life.sleep(RETRY_MS);
    return null;
  }
}

/** When to look again, or that there is nothing more to see. */
type Next = { since: OutgoingState["state"] | null; waitMs: number } | "done";

async function follow(parts: Parts, run: SourceRun, watch: Watch): Promise<void> {
  let next: Next = { since: null, waitMs: 0 };
  while (next !== "done") {
    const isDark = watch.stopSeen && present(parts, run).resumed === undefined;
    // A stop of the agent must not lengthen a blackout; a VM that runs can wait for the next agent.
    if (parts.life.isStopping() && !isDark) return;
    const state: OutgoingState | null = await look(parts, run, next.since, next.waitMs);
    if (state === null && parts.life.isStopping()) return;
    if (state !== null) next = await react(parts, present(parts, run), state, watch);
  }
}

async function react(parts: Parts, run: SourceRun, state: OutgoingState, watch: Watch): Promise<Next> {
  const { fencingToken } = run.command;
  switch (state.state) {
    case "active":
      return { since: "active", waitMs: await steer(parts, run, state.progress, watch) };
    case "paused":
      if (!watch.paused) {
        tell(parts, run, { type: "paused", fencingToken, detail: state.detail.slice(0, 2000) });
        watch.progressAt = 0;
        watch.recoverAt = 0;
      }
      watch.paused = true;
      tellProgress(parts, run, state.progress, watch, { everyMs: PAUSED_PROGRESS_MS });
      await recoverWhenDue(parts, run, watch);
      return { since: "paused", waitMs: PROGRESS_MS };
    case "stopped":
    case "completed":
      if (watch.paused) tell(parts, run, { type: "resumed", fencingToken });
      watch.paused = false;
      return afterStop(parts, run, state, watch);
    case "failed":
    case "cancelled":
      return afterFailure(parts, run, state, watch);
  }
}

type Failure = Extract<OutgoingState, { state: "failed" | "cancelled" }>;

async function afterFailure(parts: Parts, run: SourceRun, state: Failure, watch: Watch): Promise<Next> {
  const why = state.state === "cancelled" ? run.cancel : undefined;
  const { commandId, reason = "hypervisor", detail = state.detail } = why ?? {};
  // Stopped for a switch-over that did not come, and never proven to the destination: only this side can run it.
  const isHeld = state.vmState === "paused" && !watch.stopSeen && run.stoppedAtMs === undefined;
  if (isHeld && !(await letRunHere(parts, run))) return "done";
  await endRun(parts, run, { type: state.state, reason, detail, commandId }, isHeld ? undefined : state.vmState);
  return "done";
}

type AfterStop = Extract<OutgoingState, { state: "stopped" | "completed" }>;

async function afterStop(parts: Parts, run: SourceRun, state: AfterStop, watch: Watch): Promise<Next> {
  watch.stopSeen = true;
  if (run.resumed === undefined) {
    const verdict = await prove(parts, run, state, watch);
    if (verdict === "back") return goBack(parts, run);
    if (verdict === "lost") return "done";
    if (verdict === "again") {
      if (parts.life.isStopping()) return "done";
      await parts.life.sleep(Math.min(PROOF_RETRY_MS_MIN * 2 ** watch.proofs++, PROOF_RETRY_MS_MAX));
      return { since: null, waitMs: 0 };
    }
  }
  const { resumed, startedAtMs } = present(parts, run);
  if (state.state === "stopped") {
    tellProgress(parts, run, state.progress, watch);
    return { since: "stopped", waitMs: PROGRESS_MS };
  }
  const { stoppedAtMs, completedAtMs, counters } = state;
  const moments = { startedAtMs, stoppedAtMs, completedAtMs, resumedAtMs: resumed?.atMs ?? null };
  const outcome = { ...outcomeOf(moments, counters), ...(isSteered(run) ? { steered: true as const } : {}) };
  await release(parts, parts.runs.update(run, { outcome }));
  return "done";
}

/** The destination's process is proven dead and never ran the VM: it runs on here. */
async function goBack(parts: Parts, run: SourceRun): Promise<Next> {
  const detail = "the destination's process died before the VM ran there";
  if (await letRunHere(parts, run)) await endRun(parts, run, { type: "failed", reason: "destination-gone", detail });
  return "done";
}

/** False: the agent is being stopped first, and the next one goes on. */
async function letRunHere({ driver, life, log }: Parts, { command }: SourceRun): Promise<boolean> {
  for (let attempt = 0; attempt < CONTINUE_ATTEMPTS_MAX; attempt++) {
    try {
      await driver.continueSource(command.vm.uuid);
      return true;
    } catch (error) {
      const { migrationId } = command;
      log("error", "the VM cannot be continued on its source", { migrationId, error: messageOf(error) });
      if (life.isStopping()) return false;
      await life.sleep(RETRY_MS);
    }
  }
  return true;
}

/** Ends what is left here of a VM that runs at the destination, however long that takes, and says so. */
async function release(parts: Parts, run: SourceRun): Promise<void> {
  const { driver, life, log } = parts;
  const { vm, migrationId, id, fencingToken } = run.command;
  for (let waitMs = RETRY_MS; ; waitMs = Math.min(waitMs * 2, RETRY_MS_MAX)) {
    try {
      await driver.releaseSource(vm.uuid);
      break;
    } catch (error) {
      log("error", "the source cannot be released", { migrationId, error: messageOf(error) });
      const states = await driver.vmStates().catch(() => null);
      if (states !== null && (states[vm.uuid] ?? "shutoff") === "shutoff") break;
      if (life.isStopping()) return;
      await life.sleep(waitMs);
    }
  }
  tell(parts, run, { type: "completed", commandId: id, fencingToken, outcome: run.outcome ?? {} });
  parts.runs.update(run, { endedAt: parts.now(), ending: "completed" });
  log("info", "migration completed", { migrationId, outcome: run.outcome });
  parts.refresh();
  await sayDone(parts, run);
}
