// The source's words to the destination's agent. The blackout lasts from the stop until `prove` was answered, so nothing
// stands before its first request.
import type { OutgoingState } from "./driver.ts";
import { messageOf } from "./log.ts";
import { clockOffsetMs } from "./outcome.ts";
import { endRun, type Parts } from "./parts.ts";
import { aliveAnswer, stoppedAnswer, tellPeer, type AliveMessage, type StoppedAnswer } from "./peer.ts";
import type { SourceRun } from "./runs.ts";
import type { Watch } from "./watch.ts";

const GREETINGS_MAX = 3;
const GREETING_RETRY_MS = 300;
/** Recording the stop waits this long for the first answer, so that writing to the disk does not slow it down. */
const RECORD_AFTER_MS = 100;

/** What every message to the destination's agent begins with. */
export function headOf({ driver }: Parts, { command }: SourceRun) {
  const { migrationId, vm, fencingToken, fromHostId } = command;
  return { migrationId, vmUuid: vm.uuid, fencingToken, fromHostId, sentAt: driver.now() };
}

function tellAlive(parts: Parts, run: SourceRun, done: boolean) {
  const message: AliveMessage = { ...headOf(parts, run), done };
  return tellPeer(parts.life, parts.settings.peerSecret, run.command.destination.peerUrl, "/peer/alive", message);
}

/** One word to the destination's agent, which says how long it waits for the next. Null, or why it did not take it. */
async function sayOnce(parts: Parts, run: SourceRun, watch: Watch): Promise<string | null> {
  try {
    const { status, body } = await tellAlive(parts, run, false);
    const answer = aliveAnswer.safeParse(body);
    if (status !== 200 || !answer.success) return `the destination's agent answered ${status} ${JSON.stringify(body)}`;
    watch.aliveEveryMs = answer.data.leaseMs / 4;
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** Whether the destination's agent knows this migration and shares the secret: null, or why not. */
export async function greet(parts: Parts, run: SourceRun, watch: Watch): Promise<string | null> {
  let problem: string | null = null;
  for (let attempt = 0; attempt < GREETINGS_MAX; attempt++) {
    if (attempt > 0) await parts.life.sleep(GREETING_RETRY_MS);
    problem = await sayOnce(parts, run, watch);
    if (problem === null) return null;
  }
  return `${run.command.destination.peerUrl}: ${problem}`;
}

/** Renews the destination's lease, in the background. */
export function sayAlive(parts: Parts, run: SourceRun, watch: Watch): void {
  parts.life.spawn("alive", async () => {
    const problem = await sayOnce(parts, run, watch);
    const { migrationId } = run.command;
    if (problem !== null) parts.log("warn", "the destination's agent does not answer", { migrationId, error: problem });
  });
}

/** Lets a destination in post-copy know that it has everything. It finds out by itself if it does not hear this. */
export async function sayDone(parts: Parts, run: SourceRun): Promise<void> {
  for (let attempt = 0; attempt < GREETINGS_MAX && !parts.life.isStopping(); attempt++) {
    try {
      await tellAlive(parts, run, true);
      return;
    } catch {
      await parts.life.sleep(GREETING_RETRY_MS);
    }
  }
}

/** `again`: no answer that settles it. `back`: the VM may run here. `lost`: told as failed, a person must look. */
export type Verdict = "resumed" | "again" | "back" | "lost";

type Stopped = Extract<OutgoingState, { state: "stopped" | "completed" }>;

/** One attempt to prove the stop to the destination. */
export async function prove(parts: Parts, run: SourceRun, state: Stopped, watch: Watch): Promise<Verdict> {
  const { driver, life, log, settings } = parts;
  const { migrationId, destination } = run.command;
  const head = headOf(parts, run);
  const message = { ...head, postCopy: state.postCopy, stoppedAtMs: state.stoppedAtMs ?? head.sentAt };
  const asked = tellPeer(life, settings.peerSecret, destination.peerUrl, "/peer/stopped", message).then(
    (reply) => ({ reply, receivedAtMs: driver.now() }),
    (error: unknown) => ({ problem: messageOf(error) }),
  );
  if (!watch.stopNoted) {
    await Promise.race([asked, life.sleep(RECORD_AFTER_MS)]);
    noteStop(parts, run, message);
    watch.stopNoted = true;
  }
  const result = await asked;
  if ("problem" in result) {
    log("warn", "the proof of the stop was not answered", { migrationId, error: result.problem });
    return "again";
  }
  const answer = stoppedAnswer.safeParse(result.reply.body);
  if (!answer.success) {
    log("error", "the destination does not take the proof of the stop", { migrationId, ...result.reply });
    return "again";
  }
  return settle(parts, run, answer.data, message, result.receivedAtMs);
}

function noteStop(
  { runs, outbox }: Parts,
  run: SourceRun,
  { stoppedAtMs, postCopy }: { stoppedAtMs: number; postCopy: boolean },
): void {
  const { migrationId, fencingToken } = run.command;
  runs.update(run, { stoppedAtMs });
  outbox.add(migrationId, { type: "switched", side: "source", fencingToken, postCopy });
}

async function settle(
  parts: Parts,
  run: SourceRun,
  answer: StoppedAnswer,
  sent: { sentAt: number; stoppedAtMs: number },
  receivedAtMs: number,
): Promise<Verdict> {
  if ("resumedAtMs" in answer) {
    const offsetMs = clockOffsetMs({
      sentAtMs: sent.sentAt,
      takenAtMs: answer.takenAtMs,
      answeredAtMs: answer.at,
      receivedAtMs,
    });
    // It cannot have run before the stop, nor after its answer was here.
    const inBounds = (atMs: number) =>
      Math.min(Math.max(atMs, sent.stoppedAtMs), Math.max(receivedAtMs, sent.stoppedAtMs));
    const atMs = answer.resumedAtMs === null ? null : inBounds(answer.resumedAtMs - offsetMs);
    parts.runs.update(run, { resumed: { atMs } });
    parts.refresh();
    return "resumed";
  }
  if (!answer.processGone) {
    parts.log("warn", "the destination does not run the VM yet", {
      migrationId: run.command.migrationId,
      detail: answer.detail,
    });
    return "again";
  }
  if (!answer.mayHaveRun) return "back";
  const detail = `${answer.detail}; the VM is stopped on both sides: look at its disks, then start it on one`;
  await endRun(parts, run, { type: "failed", reason: "destination-lost", detail });
  return "lost";
}
