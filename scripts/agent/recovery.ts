// A post-copy that has lost its link: the VM's memory is on two hosts, and it only goes on once the destination listens anew and the
// source connects again. The source's agent tries by itself, ever more seldom and for as long as it takes.
import { DriverError } from "./driver.ts";
import { messageOf } from "./log.ts";
import type { Parts } from "./parts.ts";
import { recoverAnswer, tellPeer, type PeerReply } from "./peer.ts";
import { headOf } from "./proof.ts";
import type { DestinationRun, SourceRun } from "./runs.ts";
import type { Watch } from "./watch.ts";

const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 30_000;

/** Wall ms until the attempt after that many that failed. */
export function recoveryDelayMs(failures: number): number {
  return Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures, 16));
}

/** Source: one attempt, if it is time for one. */
export async function recoverWhenDue(parts: Parts, run: SourceRun, watch: Watch): Promise<void> {
  if (parts.now() < watch.recoverAt || parts.life.isStopping()) return;
  const { migrationId } = run.command;
  const problem = await recoverOnce(parts, run);
  if (problem === null) {
    parts.log("info", "post-copy goes on", { migrationId, failures: watch.recoveryFailures });
    watch.recoveryFailures = 0;
  } else {
    const retryMs = recoveryDelayMs(watch.recoveryFailures++);
    parts.log("warn", "post-copy cannot go on yet", { migrationId, error: problem, retryMs });
  }
  watch.recoverAt = parts.now() + recoveryDelayMs(watch.recoveryFailures);
}

/** Null, or why it did not come about. */
async function recoverOnce(parts: Parts, run: SourceRun): Promise<string | null> {
  const { driver, life, settings } = parts;
  const { destination, vm } = run.command;
  try {
    const message = headOf(parts, run);
    const { status, body } = await tellPeer(life, settings.peerSecret, destination.peerUrl, "/peer/recover", message);
    const answer = recoverAnswer.safeParse(body);
    if (status !== 200 || !answer.success) return `the destination's agent answered ${status} ${JSON.stringify(body)}`;
    await driver.recoverOutgoing(vm.uuid, answer.data.migrationUri);
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

/** Destination: listens anew. To be run alone. */
export async function listenAnew({ driver, log }: Parts, run: DestinationRun): Promise<PeerReply> {
  const { vm, migrationId } = run.command;
  if (run.endedAt !== undefined)
    return { status: 409, body: { detail: `this migration has ended here: ${run.ending}` } };
  try {
    const { migrationUri } = await driver.recoverIncoming(vm.uuid);
    log("info", "the destination listens anew for its source", { migrationId });
    return { status: 200, body: { migrationUri } };
  } catch (error) {
    log("warn", "the destination cannot listen anew", { migrationId, error: messageOf(error) });
    return { status: error instanceof DriverError ? 409 : 500, body: { detail: messageOf(error) } };
  }
}
