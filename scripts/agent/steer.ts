// While a migration is active on its source: progress, deadline, the switch to post-copy, and cancelling.
import { deadlineAction } from "../../worker/model/migration/in-flight-rules.ts";
import type { Progress } from "../../worker/model/wire/event.ts";
import { messageOf } from "./log.ts";
import type { Parts } from "./parts.ts";
import { permitsPostCopy } from "./policy.ts";
import { sayAlive } from "./proof.ts";
import type { SourceRun } from "./runs.ts";
import { PROGRESS_MS, type Watch } from "./watch.ts";

/** Tells of progress at most once a second. */
export function tellProgress({ outbox, now }: Parts, { command }: SourceRun, progress: Progress, watch: Watch): void {
  if (now() - watch.progressAt < PROGRESS_MS) return;
  watch.progressAt = now();
  outbox.progress(command.migrationId, { type: "progress", fencingToken: command.fencingToken, progress });
}

/** Does what is due. Returns after how many ms something may be due again. */
export async function steer(parts: Parts, run: SourceRun, progress: Progress, watch: Watch): Promise<number> {
  const { driver, now } = parts;
  const { parameters } = run.command;
  tellProgress(parts, run, progress, watch);
  if (now() - watch.aliveAt >= watch.aliveEveryMs) {
    watch.aliveAt = now();
    sayAlive(parts, run, watch);
  }
  const elapsedMs = driver.now() - (run.startedAtMs ?? watch.sinceMs);
  const postCopyDue = parameters.postCopyAfterMs !== null && elapsedMs >= parameters.postCopyAfterMs;
  if (postCopyDue && !watch.postCopyAsked && !run.cancel) await switchToPostCopy(parts, run, watch);
  const isDue = elapsedMs >= parameters.deadlineMs && !watch.deadlineDone;
  const current = isDue && progress.phase !== "post-copy" ? await meetDeadline(parts, run, watch) : run;
  if (current.cancel && !watch.cancelAsked)
    watch.cancelAsked = await attempt(parts, run, "cancel", () => driver.cancelOutgoing(run.command.vm.uuid));
  const dues = [parameters.deadlineMs, parameters.postCopyAfterMs ?? 0].map((due) => due - elapsedMs);
  return Math.min(PROGRESS_MS, watch.aliveEveryMs, ...dues.filter((due) => due > 0).map(Math.ceil));
}

/** Whether it was done; if not, it is tried again at the next look. */
async function attempt({ log }: Parts, run: SourceRun, what: string, action: () => Promise<void>): Promise<boolean> {
  const { migrationId } = run.command;
  try {
    await action();
    log("info", `${what} was asked of the hypervisor`, { migrationId });
    return true;
  } catch (error) {
    log("warn", `the hypervisor refused to ${what}`, { migrationId, error: messageOf(error) });
    return false;
  }
}

/** The policy is read again: it may have changed since the command was judged. */
function mayPostCopy({ policy }: Parts, run: SourceRun): boolean {
  return run.command.limits.postCopyPermitted && permitsPostCopy(policy());
}

async function switchToPostCopy(parts: Parts, run: SourceRun, watch: Watch): Promise<void> {
  if (!mayPostCopy(parts, run)) return;
  watch.postCopyAsked = await attempt(parts, run, "start post-copy", () =>
    parts.driver.startPostCopy(run.command.vm.uuid),
  );
}

/** Does what the command says of its deadline. Returns the run as it is then. */
async function meetDeadline(parts: Parts, run: SourceRun, watch: Watch): Promise<SourceRun> {
  const { vm, parameters } = run.command;
  const action = deadlineAction(parameters, mayPostCopy(parts, run));
  if (action === "force") {
    watch.deadlineDone = await attempt(parts, run, "force the switch-over", () =>
      parts.driver.forceSwitchover(vm.uuid),
    );
    return run;
  }
  if (action === "start-post-copy") {
    if (!watch.postCopyAsked) await switchToPostCopy(parts, run, watch);
    watch.deadlineDone = watch.postCopyAsked;
    return run;
  }
  watch.deadlineDone = true;
  if (run.cancel) return run;
  const detail = `not done after its deadline of ${parameters.deadlineMs} ms`;
  return parts.runs.update(run, { cancel: { reason: "deadline", detail } });
}
