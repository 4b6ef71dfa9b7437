// While a migration copies on its source: progress, what the shared rule does about it by itself, by the same hands also what people direct.
import { follow } from "../../worker/model/migration/in-flight-seen.ts";
import { steeringOf, type Steered, type Steering } from "../../worker/model/migration/steering.ts";
import type { MigrationLimits } from "../../worker/model/wire/command.ts";
import type { Progress } from "../../worker/model/wire/event.ts";
import { messageOf } from "./log.ts";
import type { Parts } from "./parts.ts";
import type { PolicyState } from "./policy.ts";
import { sayAlive } from "./proof.ts";
import { presentSource, steeringSoFar, type SourceRun } from "./runs.ts";
import { PROGRESS_MS, type Watch } from "./watch.ts";

/** Tells of progress at most once a second, or as seldom as `everyMs`. */
export function tellProgress(
  { outbox, now }: Parts,
  { command }: SourceRun,
  progress: Progress,
  watch: Watch,
  paused?: { everyMs: number },
): void {
  if (now() - watch.progressAt < (paused?.everyMs ?? PROGRESS_MS)) return;
  watch.progressAt = now();
  const { migrationId, fencingToken } = command;
  outbox.progress(migrationId, { type: "progress", fencingToken, progress, ...(paused ? { paused: true } : {}) });
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
  watch.flight = follow(watch.flight, progress);
  await watch.alone(() => stepByRule(parts, presentSource(parts.runs, run), watch));
  if (presentSource(parts.runs, run).cancel && !watch.cancelAsked)
    watch.cancelAsked =
      (await attempt(parts, run, "cancel", () => driver.cancelOutgoing(run.command.vm.uuid))) === null;
  const elapsedMs = elapsedOf(parts, run, watch);
  const dues = [parameters.deadlineMs, parameters.postCopyAfterMs ?? 0].map((due) => due - elapsedMs);
  return Math.min(PROGRESS_MS, watch.aliveEveryMs, ...dues.filter((due) => due > 0).map(Math.ceil));
}

export const elapsedOf = ({ driver }: Parts, run: SourceRun, watch: Watch): number =>
  driver.now() - (run.startedAtMs ?? watch.sinceMs);

/** Null: it was done; else why not, and it is tried again at the next look. */
async function attempt(
  { log }: Parts,
  { command: { migrationId } }: SourceRun,
  what: string,
  action: () => Promise<void>,
): Promise<string | null> {
  try {
    await action();
    log("info", `${what} was asked of the hypervisor`, { migrationId });
    return null;
  } catch (error) {
    log("warn", `the hypervisor refused to ${what}`, { migrationId, error: messageOf(error) });
    return messageOf(error);
  }
}

/** What the command and the local policy permit together. The policy is read again: it may have changed since the command came. */
function within(limits: MigrationLimits, policy: PolicyState, done: Steered): MigrationLimits {
  if (policy.kind === "unreadable")
    return {
      downtimeMsMax: done.downtimeLimitMs,
      bandwidthBytesPerSecondMax: done.bandwidthBytesPerSecond,
      postCopyPermitted: false,
    };
  const { downtimeMsMax = Infinity, bandwidthBytesPerSecondMax = Infinity, postCopy } = policy.policy;
  return {
    downtimeMsMax: Math.min(limits.downtimeMsMax, downtimeMsMax),
    bandwidthBytesPerSecondMax: Math.min(limits.bandwidthBytesPerSecondMax, bandwidthBytesPerSecondMax),
    postCopyPermitted: limits.postCopyPermitted && postCopy,
  };
}

function doneSoFar(run: SourceRun, watch: Watch): Steered {
  const { ending, postCopyRefusals } = watch;
  const { directive: _, ...steering } = steeringSoFar(run);
  return { ...steering, ending: run.cancel ? "cancel" : ending, postCopyRefusals };
}

async function stepByRule(parts: Parts, run: SourceRun, watch: Watch): Promise<void> {
  if (watch.flight === null) return;
  const { mechanism, parameters, limits } = run.command;
  const done = doneSoFar(run, watch);
  const terms = { mechanism, parameters, limits: within(limits, parts.policy(), done) };
  const nowMs = elapsedOf(parts, run, watch);
  const steering = steeringOf({ flight: watch.flight, terms, done, nowMs });
  if (steering.action !== "wait") await act(parts, run, watch, steering, { by: "agent", nowMs });
}

export type Asked = { by: "agent" | "command"; nowMs: number; commandId?: string };

/** Does it and tells of it. Null, or why the hypervisor would not. */
export async function act(
  parts: Parts,
  run: SourceRun,
  watch: Watch,
  steering: Steering,
  asked: Asked,
): Promise<string | null> {
  switch (steering.action) {
    case "set-downtime":
    case "set-bandwidth":
      return change(parts, run, steering, asked);
    case "start-post-copy":
    case "force-switchover":
      return end(parts, run, watch, { ...steering, action: steering.action }, asked);
    case "cancel": {
      const isLate = asked.nowMs >= run.command.parameters.deadlineMs;
      const why = isLate
        ? { reason: "deadline", detail: `not done after its deadline of ${run.command.parameters.deadlineMs} ms` }
        : { reason: "will-not-converge", detail: steering.reason };
      parts.runs.update(run, { cancel: why });
      tellSteered(parts, run, { what: "cancel", why: steering.reason }, asked);
      return null;
    }
    case "wait":
      return null;
  }
}

type Change = Extract<Steering, { action: "set-downtime" | "set-bandwidth" }>;

async function change(parts: Parts, run: SourceRun, steering: Change, asked: Asked): Promise<string | null> {
  const { driver, runs } = parts;
  const { uuid } = run.command.vm;
  const before = steeringSoFar(run);
  if (steering.action === "set-downtime") {
    const { downtimeLimitMs: to } = steering;
    const problem = await attempt(parts, run, "set downtime-limit", () => driver.setDowntimeLimit(uuid, to));
    // One that was refused is not asked for again before its time either.
    const downtimeLimitMs = problem === null ? to : before.downtimeLimitMs;
    runs.update(run, { steering: { ...before, downtimeLimitMs, raisedAtMs: asked.nowMs } });
    if (problem !== null) return problem;
    tellSteered(parts, run, { what: "downtime-limit", from: before.downtimeLimitMs, to, why: steering.reason }, asked);
    return null;
  }
  const { bytesPerSecond: to } = steering;
  const problem = await attempt(parts, run, "set max-bandwidth", () => driver.setBandwidth(uuid, to));
  const bandwidthBytesPerSecond = problem === null ? to : before.bandwidthBytesPerSecond;
  runs.update(run, { steering: { ...before, bandwidthBytesPerSecond, spedUpAtMs: asked.nowMs } });
  if (problem !== null) return problem;
  const from = before.bandwidthBytesPerSecond;
  tellSteered(parts, run, { what: "max-bandwidth", from, to, why: steering.reason }, asked);
  return null;
}

async function end(
  parts: Parts,
  run: SourceRun,
  watch: Watch,
  { action, reason }: { action: "start-post-copy" | "force-switchover"; reason: string },
  asked: Asked,
): Promise<string | null> {
  const { uuid } = run.command.vm;
  const isPostCopy = action === "start-post-copy";
  const problem = isPostCopy
    ? await attempt(parts, run, "start post-copy", () => parts.driver.startPostCopy(uuid))
    : await attempt(parts, run, "force the switch-over", () => parts.driver.forceSwitchover(uuid));
  if (problem !== null) {
    if (isPostCopy) watch.postCopyRefusals++;
    return problem;
  }
  watch.ending = isPostCopy ? "post-copy" : "switch-over";
  tellSteered(parts, run, { what: watch.ending, why: reason }, asked);
  return null;
}

type Told = {
  what: "downtime-limit" | "max-bandwidth" | "post-copy" | "switch-over" | "cancel" | "recover";
  why: string;
};

export function tellSteered(
  { outbox, log }: Parts,
  { command: { migrationId, fencingToken } }: SourceRun,
  told: Told & { from?: number; to?: number },
  { by, commandId }: Pick<Asked, "by" | "commandId">,
): void {
  const why = told.why.slice(0, 1000);
  const answers = commandId === undefined ? {} : { commandId };
  outbox.add(migrationId, { type: "steered", fencingToken, ...answers, by, ...told, why });
  log("info", "a migration was steered", { migrationId, by, ...told });
}
