// What agents report of runs, and what people decide of them.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { isEnded, signalOf } from "../model/lifecycle.ts";
import type { Principal } from "../model/principal.ts";
import { type MigrationRun, continuityOf } from "../model/run.ts";
import type { CommandEnvelope } from "../model/wire/command.ts";
import type { MigrationEvent } from "../model/wire/event.ts";
import { pendingEnvelopes } from "./commands.ts";
import { isWorthKeeping } from "./forecasts.ts";
import { isAside } from "./run-commands.ts";
import { learn } from "./calibration.ts";
import { type SignalExtra, applySignal, factsOf, readRun } from "./runs.ts";

/** `commands`: with progress, what waits for this host, so that a directive is not held up by anything. */
export type EventAnswer = {
  duplicate: boolean;
  applied: boolean;
  state: MigrationRun["state"];
  commands: CommandEnvelope[];
};

/**
 * `POST /v1/migrations/{id}/events`. Every event is kept, of progress some (`isWorthKeeping`); only one that the table knows
 * moves the run.
 */
export async function receiveEvent(
  deps: Deps,
  principal: Principal,
  migrationId: string,
  event: MigrationEvent,
): Promise<EventAnswer> {
  const run = await deps.store.migrations.byId(migrationId);
  // Who has no part in a run cannot tell it from one that does not exist.
  if (!run || principal.hostId === null || ![run.fromHostId, run.toHostId].includes(principal.hostId))
    throw new AppError({ code: "not_found", what: "migration", id: migrationId });
  if (event.hostId !== principal.hostId) throw new AppError({ code: "foreign_host", hostId: event.hostId });
  if (event.type !== "progress" && (await deps.store.migrations.hasEvent(migrationId, event)))
    return { duplicate: true, applied: false, state: run.state, commands: [] };
  if (event.fencingToken !== run.fencingToken) {
    await deps.store.migrations.addEvent(migrationId, event, "stale-token", deps.now());
    const detail = `The event's fencing token is ${event.fencingToken}, the run's ${run.fencingToken ?? "not given yet"}.`;
    throw new AppError({ code: "event_refused", migrationId, detail });
  }
  if (event.type === "progress") return progressed(deps, run, event);
  return moved(deps, run, event);
}

/** Progress is answered here and never becomes a step, unless the run was waiting for a sign of life. */
async function progressed(deps: Deps, run: MigrationRun, event: MigrationEvent & { type: "progress" }) {
  if (isWorthKeeping(run.progress, event.progress))
    await deps.store.migrations.addEvent(run.migrationId, event, "noted: progress", deps.now());
  await deps.store.migrations.setProgress(run.migrationId, event.progress, deps.now());
  const commands = await pendingEnvelopes(deps, event.hostId);
  const signal = signalOf(event, event.hostId === run.fromHostId ? "source" : "destination");
  if (signal === null || (run.state !== "lost" && run.state !== "prepared"))
    return { duplicate: false, applied: false, state: run.state, commands };
  const state = await applySignal(deps, run.migrationId, signal, { lastEventAt: deps.now() });
  return { duplicate: false, applied: state !== null, state: state ?? run.state, commands };
}

async function moved(deps: Deps, run: MigrationRun, event: Exclude<MigrationEvent, { type: "progress" }>) {
  const { migrationId } = run;
  const sender = event.hostId === run.fromHostId ? "source" : "destination";
  const isNoAnswer = event.type === "refused" && isAside(migrationId, event.commandId);
  const signal = isNoAnswer ? null : signalOf(event, sender);
  const state = signal === null ? null : await applySignal(deps, migrationId, signal, extraOf(event, deps.now()));
  if (event.type === "completed" && state === null) {
    await deps.store.migrations.lateOutcome(run, event.outcome, deps.now(), await factsOf(deps, run));
    await learn(deps, run.cluster);
  }
  if (event.commandId !== undefined)
    await deps.store.commands.settle(
      event.commandId,
      event.hostId,
      event.type === "refused" ? "refused" : "acknowledged",
    );
  const present = state ?? (await readRun(deps, migrationId)).state;
  const verdict =
    state === null ? `noted: ${event.type} of the ${sender} moves nothing in ${present}` : `applied: ${state}`;
  const continuity = continuityOf(event);
  if (continuity === null) await deps.store.migrations.addEvent(migrationId, event, verdict, deps.now());
  else await deps.store.migrations.addContinuity(run, event, verdict, continuity, deps.now());
  // Also where it moved nothing: it may have moved the run before, and been cut off.
  if (state !== null || !isEnded(present)) await deps.runs.notify(migrationId);
  return { duplicate: false, applied: state !== null, state: present, commands: [] };
}

function extraOf(event: Exclude<MigrationEvent, { type: "progress" }>, now: number): SignalExtra {
  const heard = { lastEventAt: now };
  switch (event.type) {
    case "prepared":
      return { ...heard, destination: { migrationUri: event.migrationUri, peerUrl: event.peerUrl } };
    case "switched":
      return event.postCopy ? { ...heard, postCopyActive: true } : heard;
    case "completed":
      return { ...heard, measured: event.outcome };
    case "failed":
    case "cancelled":
    case "refused":
      return { ...heard, failure: { reason: event.reason, detail: event.detail, hostId: event.hostId } };
    // The others are kept, and say nothing more of the run than that it lives.
    default:
      return heard;
  }
}

const RESOLVED = {
  source: "resolved-at-source",
  destination: "resolved-at-destination",
  elsewhere: "resolved-elsewhere",
  nowhere: "resolved-nowhere",
} as const;

/** `POST /v1/migrations/{id}/resolve`: a person says where the VM of a lost run is. */
export async function resolveRun(
  deps: Deps,
  principal: Principal,
  migrationId: string,
  input: { vmRunsAt: "source" | "destination" | "elsewhere" | "nowhere"; reason: string },
): Promise<MigrationRun> {
  const run = await readRun(deps, migrationId);
  if (run.state !== "lost")
    throw new AppError({
      code: "illegal_state",
      what: "Migration",
      id: migrationId,
      state: run.state,
      allowed: ["lost"],
    });
  await deps.store.audit.record(
    {
      actor: principal.id,
      action: "migration.resolved",
      subject: migrationId,
      reason: input.reason,
      detail: { vmRunsAt: input.vmRunsAt },
    },
    deps.now(),
  );
  await applySignal(deps, migrationId, RESOLVED[input.vmRunsAt], {
    failure: { reason: "resolved", detail: `${principal.name}: ${input.reason}` },
  });
  await deps.runs.notify(migrationId);
  return readRun(deps, migrationId);
}
