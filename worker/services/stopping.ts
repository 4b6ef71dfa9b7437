// Ending runs before their time: what has not touched its VM at once, what copies by asking its source, and nothing else.
import type { Deps } from "../env.ts";
import { AppError } from "../errors.ts";
import { type RunState, isEnded, isPastNoReturn } from "../model/lifecycle.ts";
import type { Principal } from "../model/principal.ts";
import type { MigrationRun, RunFailure, StoppedRun } from "../model/run.ts";
import { dispatch } from "./commands.ts";
import { cancelFor } from "./run-commands.ts";
import { applySignal, readRun } from "./runs.ts";

const told = (run: MigrationRun, effect: StoppedRun["effect"], detail: string): StoppedRun => ({
  migrationId: run.migrationId,
  planId: run.planId,
  vmUuid: run.vmUuid,
  vmName: run.vmName,
  fromHostId: run.fromHostId,
  toHostId: run.toHostId,
  state: run.state,
  effect,
  detail,
});

/** Why a run that is not stopped goes on, and how it ends. */
function whyItRunsOn({ state, postCopyActive, vmName, fromHostId, toHostId }: MigrationRun): string {
  if (isPastNoReturn(state, postCopyActive))
    return `${vmName} runs on ${toHostId} already and part of its memory is on ${fromHostId} still: stopping either side would lose it. It ends when the rest has come; if the link is lost, recover it.`;
  if (state === "lost")
    return `Where ${vmName} runs is not known: nothing is sent to either host. It ends when both report, or when a person resolves it.`;
  return `${vmName} has stopped on ${fromHostId} for the switch-over, which takes less time than a cancel: it ends on ${toHostId}.`;
}

/** Ends a run as far as it can be ended now. Never throws because of the run's state. */
export async function stopRun(deps: Deps, migrationId: string, failure: RunFailure): Promise<StoppedRun> {
  if ((await applySignal(deps, migrationId, "cancel-untouched", { failure })) !== null) {
    await deps.runs.notify(migrationId);
    return told(await readRun(deps, migrationId), "cancelled", "Nothing of it had touched the VM.");
  }
  const run = await readRun(deps, migrationId);
  if (run.state === "cancelled") return told(run, "cancelled", "It was being cancelled at the same time.");
  if (isEnded(run.state)) return told(run, "ended", "It had ended before.");
  if (isPastNoReturn(run.state, run.postCopyActive) || !MAY_BE_ASKED.includes(run.state))
    return told(run, "runs-on", whyItRunsOn(run));
  await askToCancel(deps, run, failure.detail.slice(0, 500));
  return told(run, "asked", `${run.fromHostId} was asked to cancel; the VM goes on there.`);
}

/** Asks the source: once more by the command that is on its way, by a new one where an earlier one was answered or has expired. */
async function askToCancel(deps: Deps, run: MigrationRun, reason: string): Promise<void> {
  const { commands } = deps.store;
  const onItsWay = await commands.pendingOf(run.migrationId, "cancel-source", deps.now());
  if (onItsWay !== null) return dispatch(deps, onItsWay);
  const number = (await commands.countOf(run.migrationId, "cancel-source")) + 1;
  const command = cancelFor(deps, run, number, reason);
  // Else somebody else has asked at this moment.
  if (await commands.insertNew(command)) await dispatch(deps, command);
}

const MAY_BE_ASKED: readonly RunState[] = ["prepared", "pre-copying"];

/** `POST /v1/migrations/{id}/cancel`: never past the point of no return. */
export async function cancelRun(
  deps: Deps,
  principal: Principal,
  migrationId: string,
  reason: string,
): Promise<MigrationRun> {
  const run = await readRun(deps, migrationId);
  if (isPastNoReturn(run.state, run.postCopyActive))
    throw new AppError({ code: "point_of_no_return", migrationId, state: run.state });
  await deps.store.audit.record(
    { actor: principal.id, action: "migration.cancel", subject: migrationId, reason },
    deps.now(),
  );
  const { effect, state } = await stopRun(deps, migrationId, {
    reason: "cancelled",
    detail: `${principal.name}: ${reason}`,
  });
  if (effect === "ended" || effect === "runs-on")
    throw new AppError({
      code: "illegal_state",
      what: "Migration",
      id: migrationId,
      state,
      allowed: ["queued", "claimed", "preparing", ...MAY_BE_ASKED],
    });
  return readRun(deps, migrationId);
}
