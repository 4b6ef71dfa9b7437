// The migration run: Drover's own steps. Everything is read from D1, decided by model/lifecycle.ts and written back under
// the run's version, so that a step that is repeated, or done by two at once, happens once.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type Signal, hasEffect, isEnded, nextState } from "../model/lifecycle.ts";
import { type RunView, nextStep } from "../model/next-step.ts";
import { contextOf, hopAfter, isTurnOf, runOf } from "../model/plan-order.ts";
import { revalidate } from "../model/revalidation.ts";
import type { MigrationRun, RunChange, RunFailure } from "../model/run.ts";
import type { PlanParameters } from "../model/placement/types.ts";
import type { DriverName, Hypervisor } from "../model/wire/common.ts";
import { type Outcome } from "../model/wire/event.ts";
import { heldAtStart } from "./approval-guards.ts";
import { learn } from "./calibration.ts";
import { clearFor, prepareFor, startFor } from "./run-commands.ts";
import { dispatch } from "./commands.ts";
import { readSnapshot } from "./snapshots.ts";
import { sightingElsewhere } from "./whereabouts.ts";

/** A queued run looks again after this time, ms, if nothing wakes it before. */
const QUEUE_POLL_MS = 15_000;
/** Several writers at a run at once are settled within this many tries. */
const TRIES_MAX = 5;

export type Advance = { ended: boolean; waitMs: number };

export async function readRun(deps: Deps, migrationId: string): Promise<MigrationRun> {
  const run = await deps.store.migrations.byId(migrationId);
  if (!run) throw new AppError({ code: "not_found", what: "migration", id: migrationId });
  return run;
}

/** Takes every step that can be taken now. Returns how long there is nothing to do unless something changes. */
export async function advanceRun(deps: Deps, migrationId: string): Promise<Advance> {
  for (;;) {
    const run = await readRun(deps, migrationId);
    if (isEnded(run.state)) {
      await settlePlan(deps, run.planId);
      return { ended: true, waitMs: 0 };
    }
    const now = deps.now();
    const step = nextStep(await viewOf(deps, run), now);
    switch (step.do) {
      case "nothing":
        return { ended: true, waitMs: 0 };
      case "wait":
        if (step.note) await deps.store.migrations.addNote(run, step.note.kind, step.note.why, now);
        return { ended: false, waitMs: Math.max(1000, step.untilMs - now) };
      case "claim": {
        const waiting = await claim(deps, run);
        if (waiting) return { ended: false, waitMs: QUEUE_POLL_MS };
        break;
      }
      case "prepare": {
        const command = await prepareFor(deps, run);
        if (await deps.store.migrations.step(run, { state: "preparing", at: now }, command))
          await dispatch(deps, command);
        break;
      }
      case "start": {
        const command = await startFor(deps, run);
        if (await deps.store.migrations.step(run, { state: "prepared", at: now }, command))
          await dispatch(deps, command);
        break;
      }
      case "signal":
        await applySignal(deps, migrationId, step.signal, { failure: { reason: step.signal, detail: step.why } });
        break;
    }
  }
}

async function viewOf(deps: Deps, run: MigrationRun): Promise<RunView> {
  const [source, destination, start, elsewhere] = await Promise.all([
    deps.store.hosts.liveness(run.fromHostId),
    deps.store.hosts.liveness(run.toHostId),
    run.state === "prepared" ? deps.store.commands.byId(`${run.migrationId}-start`) : null,
    run.state === "lost" ? sightingElsewhere(deps, run) : null,
  ]);
  const side = (view: typeof source) => ({
    heardAt: view?.heardAt ?? null,
    vmState: view?.vmStates?.[run.vmUuid] ?? null,
    vmStatesAt: view?.vmStatesAt ?? null,
  });
  return {
    state: run.state,
    mechanism: run.mechanism,
    stateAt: run.stateAt,
    lastEventAt: run.lastEventAt,
    startSent: start !== null,
    hasOutcome: run.measured !== null,
    source: side(source),
    destination: side(destination),
    elsewhere,
  };
}

/** True: it is not this run's turn. */
async function claim(deps: Deps, run: MigrationRun): Promise<boolean> {
  const plan = await deps.store.plans.byId(run.planId);
  if (!plan) throw new AppError({ code: "not_found", what: "plan", id: run.planId });
  if (plan.state === "cancelled") {
    const detail = "The plan was cancelled before the move began.";
    await applySignal(deps, run.migrationId, "cancel-untouched", { failure: { reason: "plan-cancelled", detail } });
    return false;
  }
  const { parameters, cluster } = plan.content;
  const siblings = (await deps.store.migrations.ofPlan(run.planId)).filter(
    (other) => other.migrationId !== run.migrationId,
  );
  if (!isTurnOf(run, plan, siblings)) return true;
  const running = siblings.filter((other) => other.state !== "queued" && !isEnded(other.state)).length;
  const now = deps.now();
  const snapshot = await readSnapshot(deps, cluster);
  const held = await heldAtStart(deps, plan, run, snapshot);
  if (held) {
    await applySignal(deps, run.migrationId, "cancel-untouched", { failure: held });
    return false;
  }
  const verdict = revalidate(snapshot, run, parameters, {
    ...contextOf(run.moveNumber, plan),
    othersRunning: running,
  });
  if (verdict.verdict === "wait") return true;
  if (verdict.verdict === "superseded") {
    await applySignal(deps, run.migrationId, "superseded", { failure: verdict.failure });
    return false;
  }
  const need = { cpuCores: verdict.cpuCores, predicted: verdict.estimate };
  const result = await deps.store.migrations.claim(run, need, claimLimits(parameters), now);
  if (result === "no-memory" && running === 0) {
    const detail = `${run.toHostId} has no room left for ${run.vmName}: other VMs were placed there since the snapshot.`;
    await applySignal(deps, run.migrationId, "superseded", { failure: { reason: "memory", detail } });
    return false;
  }
  if (result === "claimed") {
    await deps.store.plans.advance(run.planId, ["approved"], "executing", now, false);
    // The next in order may begin beside this one.
    await wakeQueued(deps, siblings);
  }
  return result === "no-memory" || result === "concurrency";
}

const claimLimits = (parameters: PlanParameters) => ({
  memoryReserveRatio: parameters.memoryReserveRatio,
  perHost: parameters.concurrencyPerHost,
  perCluster: parameters.concurrencyPerCluster,
});

async function wakeQueued(deps: Deps, runs: MigrationRun[]): Promise<void> {
  const next = runs.filter((run) => run.state === "queued").toSorted((a, b) => a.moveNumber - b.moveNumber)[0];
  if (next) await deps.runs.notify(next.migrationId);
}

export type SignalExtra = {
  failure?: RunFailure;
  destination?: { migrationUri: string; peerUrl: string };
  measured?: Outcome;
  postCopyActive?: boolean;
  lastEventAt?: number;
};

/** Moves the run by a signal, as the table says. Returns the new state, or null: the signal moves nothing here. */
export async function applySignal(
  deps: Deps,
  migrationId: string,
  signal: Signal,
  extra: SignalExtra,
): Promise<MigrationRun["state"] | null> {
  const moved = await move(deps, migrationId, signal, extra);
  if (moved === null) return null;
  if (isEnded(moved.state)) {
    await settlePlan(deps, moved.run.planId);
    await learn(deps, moved.run.cluster);
  }
  return moved.state;
}

/** Moves the run and nothing else; `run` is as it was. */
async function move(
  deps: Deps,
  migrationId: string,
  signal: Signal,
  extra: SignalExtra,
): Promise<{ run: MigrationRun; state: MigrationRun["state"] } | null> {
  for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
    const run = await readRun(deps, migrationId);
    const state = nextState(run.state, signal, run.postCopyActive);
    if (state === null) return null;
    const keepsFailure = isEnded(state) ? state !== "completed" : state === "lost";
    const { failure, ...rest } = extra;
    // What no agent has reported is explained by an entry of the edge's own.
    const entry = failure && failure.hostId === undefined ? { entry: { type: signal, why: failure.detail } } : {};
    const change = { state, at: deps.now(), ...rest, ...entry, ...(failure && keepsFailure ? { failure } : {}) };
    const done = isEnded(state) ? await endRun(deps, run, change) : await deps.store.migrations.step(run, change);
    if (done) return { run, state };
  }
  throw new AppError({
    code: "busy",
    detail: `Migration ${migrationId} is being changed by several at once.`,
    retryAfterSeconds: 1,
  });
}

/** False: the run has changed meanwhile. */
async function endRun(deps: Deps, run: MigrationRun, change: RunChange): Promise<boolean> {
  const { state } = change;
  const next = hasEffect(state, "next-hop") ? await nextHop(deps, run) : null;
  // Before the claim nobody was told anything.
  const clear =
    hasEffect(state, "clear-destination") && run.fencingToken !== null
      ? clearFor(deps, run, `The run has ended: ${state}.`)
      : null;
  if (!(await deps.store.migrations.end(run, change, await factsOf(deps, run), { next, clear }))) return false;
  if (clear !== null) await dispatch(deps, clear);
  // Cron makes an instance that could not be made now.
  if (next !== null) await Promise.allSettled([deps.runs.start(next.migrationId)]);
  return true;
}

/** The run that takes a parked VM on. */
async function nextHop(deps: Deps, ended: MigrationRun) {
  const plan = await deps.store.plans.byId(ended.planId);
  const move = plan && hopAfter(ended, plan, await deps.store.migrations.ofPlan(ended.planId));
  return plan && move ? runOf(plan, move, deps.newId("mig"), deps.now()) : null;
}

/** What drove the run's source. */
export async function factsOf(deps: Deps, run: MigrationRun): Promise<{ hypervisor: Hypervisor; driver: DriverName }> {
  const source = await deps.store.hosts.byId(run.fromHostId);
  return { hypervisor: source?.inventory.hypervisor ?? "kvm", driver: source?.inventory.driver.name ?? "qmp" };
}

/**
 * What the runs of a plan that have ended mean for the rest of it: a failed one stops what has not begun, else the next in
 * order is woken, and the plan is closed with its last run. Doing it again does nothing more: Cron does what was cut off.
 */
export async function settlePlan(deps: Deps, planId: string): Promise<void> {
  let runs = await deps.store.migrations.ofPlan(planId);
  const failed = runs.find(({ state }) => hasEffect(state, "stop-rest"));
  const queued = runs.filter(({ state }) => state === "queued");
  if (failed !== undefined && queued.length > 0) {
    const detail = `Move ${failed.moveNumber} of the plan (${failed.vmName}) has failed.`;
    for (const { migrationId } of queued)
      await move(deps, migrationId, "cancel-untouched", { failure: { reason: "plan-stopped", detail } });
    runs = await deps.store.migrations.ofPlan(planId);
  }
  if (!runs.every((run) => isEnded(run.state))) return wakeQueued(deps, runs);
  if (runs.length > 0)
    await deps.store.plans.advance(planId, ["approved", "executing"], outcomeOf(runs), deps.now(), true);
}

function outcomeOf(runs: readonly MigrationRun[]): "failed" | "done" | "cancelled" {
  if (runs.some((run) => run.state === "failed")) return "failed";
  return runs.some((run) => run.state === "completed") ? "done" : "cancelled";
}

/** Ends the run of one move that has not begun. */
export async function cancelQueued(deps: Deps, planId: string, n: number, failure: RunFailure): Promise<void> {
  const run = (await deps.store.migrations.ofPlan(planId)).find((candidate) => candidate.moveNumber === n);
  if (run?.state !== "queued")
    throw new AppError({
      code: "illegal_state",
      what: "Move",
      id: `${planId}/${n}`,
      state: run?.state ?? "skipped",
      allowed: ["queued"],
    });
  await applySignal(deps, run.migrationId, "cancel-untouched", { failure });
  await deps.runs.notify(run.migrationId);
}
