// The destination's side of a migration: prepare, hold the lease, let the VM run once the source has proven its stop.
import type { CancelCommand, PrepareCommand } from "../../worker/model/wire/command.ts";
import { announce } from "./continuity.ts";
import { DriverError, objectionsIn, type IncomingState } from "./driver.ts";
import { runAfterArrival } from "./hooks.ts";
import { createMutex } from "./life.ts";
import { messageOf } from "./log.ts";
import { endRun, untilDone, type Parts } from "./parts.ts";
import type { PeerHandlers, PeerMessage, PeerReply, StoppedAnswer, StoppedMessage } from "./peer.ts";
import type { ProbeMessage, ProbeTarget } from "./probe-target.ts";
import { listenAnew } from "./recovery.ts";
import { specOf, type DestinationRun } from "./runs.ts";

const WATCH_MS = 1000;

export type Destination = Omit<PeerHandlers, keyof ProbeTarget> & {
  /** The record of the run; nothing is done yet. */
  take: (command: PrepareCommand) => DestinationRun;
  go: (run: DestinationRun) => void;
  /** After a restart. */
  resume: (run: DestinationRun) => void;
  /** Why it cannot be cancelled, or null: it was, and the event says so. */
  cancel: (run: DestinationRun, command: CancelCommand) => Promise<string | null>;
  /** Does what is left to be done of a VM that has come to run here. */
  settle: (run: DestinationRun) => void;
};

/** What one life of the agent knows of a run besides its file. */
type Live = {
  /** One step at a time: a proof never meets a lease that is just running out. */
  alone: ReturnType<typeof createMutex>;
  leaseUntil: number;
  /** The VM was perhaps let run, and nobody saw what came of it: an earlier life took the proof, or the hypervisor was silent. */
  mayHaveRun: boolean;
};

export function createDestination(parts: Parts): Destination {
  const lives = new Map<string, Live>();
  const liveOf = (run: DestinationRun): Live => {
    const { command } = run;
    const known = lives.get(command.migrationId);
    if (known) return known;
    const leaseUntil = parts.now() + command.leaseMs;
    const live = { alone: createMutex(), leaseUntil, mayHaveRun: run.proof !== undefined };
    lives.set(command.migrationId, live);
    return live;
  };
  const spawn = (run: DestinationRun, task: (live: Live) => Promise<void>) =>
    parts.life.spawn("incoming migration", () =>
      untilDone(
        parts,
        () => task(liveOf(run)),
        () => takeUp(parts, run, liveOf(run)),
      ),
    );
  return {
    take: (command) => parts.runs.save<DestinationRun>({ side: "destination", command }),
    go: (run) => spawn(run, (live) => begin(parts, run, live)),
    resume: (run) => spawn(run, (live) => takeUp(parts, run, live)),
    settle: (run) => settle(parts, run),
    cancel: (run, command) => liveOf(run).alone(() => cancel(parts, present(parts, run), command)),
    stopped: async (message) => {
      const takenAtMs = parts.driver.now();
      const run = find(parts, message);
      if ("status" in run) return run;
      const live = liveOf(run);
      return live.alone(() => takeProof(parts, present(parts, run), live, message, takenAtMs));
    },
    recover: async (message) => {
      const run = find(parts, message);
      return "status" in run ? run : liveOf(run).alone(() => listenAnew(parts, present(parts, run)));
    },
    alive: async (message) => {
      const run = find(parts, message);
      if ("status" in run) return run;
      if (run.endedAt !== undefined && !message.done)
        return { status: 409, body: { detail: `this migration has ended here: ${run.ending}` } };
      liveOf(run).leaseUntil = parts.now() + run.command.leaseMs;
      if (message.done && run.resumed !== undefined) noteArrived(parts, run);
      return { status: 200, body: { leaseMs: run.command.leaseMs } };
    },
  };
}

function present({ runs }: Parts, run: DestinationRun): DestinationRun {
  const stored = runs.get(run.command.migrationId);
  return stored?.side === "destination" ? stored : run;
}

/** The run that a peer's message is about, if it says nothing else than the run's own command. */
function find({ runs }: Parts, message: Exclude<PeerMessage, ProbeMessage>): DestinationRun | PeerReply {
  const run = runs.get(message.migrationId);
  if (run?.side !== "destination")
    return { status: 404, body: { detail: "this host is not preparing that migration" } };
  const { vm, fencingToken, fromHostId } = run.command;
  const same = vm.uuid === message.vmUuid && fencingToken === message.fencingToken && fromHostId === message.fromHostId;
  return same
    ? run
    : { status: 403, body: { detail: "VM, token or host are not those of the migration prepared here" } };
}

async function begin(parts: Parts, run: DestinationRun, live: Live): Promise<void> {
  const { command } = run;
  await live.alone(async () => {
    try {
      const objections = objectionsIn(await parts.driver.preflight(specOf(run)));
      if (objections.length > 0) {
        const detail = objections.join("; ");
        return await endRun(parts, run, { type: "refused", reason: "preflight", detail });
      }
      const { migrationUri } = await parts.driver.prepareIncoming(specOf(run));
      live.leaseUntil = parts.now() + command.leaseMs;
      parts.runs.update(run, { migrationUri });
    } catch (error) {
      const reason = error instanceof DriverError ? error.reason : "driver";
      await abandonUnused(parts, run);
      return endRun(parts, run, { type: "failed", reason, detail: messageOf(error) });
    }
  });
  tellPrepared(parts, present(parts, run));
  return watchOver(parts, run, live);
}

/** Kills what a prepare that did not succeed left behind, and nothing else. */
async function abandonUnused({ driver, log }: Parts, { command }: DestinationRun): Promise<void> {
  try {
    const { state } = await driver.observeIncoming(command.vm.uuid);
    if (state === "listening" || state === "failed") await driver.abandonIncoming(command.vm.uuid);
  } catch (error) {
    log("warn", "an unused incoming side may be left", { migrationId: command.migrationId, error: messageOf(error) });
  }
}

function tellPrepared({ outbox, peerUrl }: Parts, { command, migrationUri, endedAt }: DestinationRun): void {
  if (migrationUri === undefined || endedAt !== undefined) return;
  const { migrationId, id, fencingToken } = command;
  outbox.add(migrationId, { type: "prepared", commandId: id, fencingToken, migrationUri, peerUrl: peerUrl() });
}

/** Where a restarted agent goes on: what the driver sees decides. */
async function takeUp(parts: Parts, run: DestinationRun, live: Live): Promise<void> {
  await live.alone(async () => {
    const now = present(parts, run);
    if (now.endedAt !== undefined || now.resumed !== undefined) return;
    // The stop was proven before: the VM may run, and every moment counts.
    if (now.proof !== undefined) await letRun(parts, now, live);
    else if (now.migrationUri === undefined) {
      await abandonUnused(parts, now);
      const detail = "the agent was restarted while it prepared the incoming side";
      await endRun(parts, now, { type: "failed", reason: "agent-restarted", detail });
    }
  });
  tellPrepared(parts, present(parts, run));
  return watchOver(parts, run, live);
}

async function watchOver(parts: Parts, run: DestinationRun, live: Live): Promise<void> {
  const { life, now } = parts;
  while (!life.isStopping() && present(parts, run).endedAt === undefined) {
    await live.alone(() => watchOnce(parts, present(parts, run), live));
    const leaseMs = live.leaseUntil - now();
    await life.sleep(leaseMs > 0 ? Math.min(WATCH_MS, leaseMs + 1) : WATCH_MS);
  }
}

async function watchOnce(parts: Parts, run: DestinationRun, live: Live): Promise<void> {
  if (run.endedAt !== undefined) return;
  const { vm, migrationId } = run.command;
  let seen: IncomingState;
  try {
    seen = await parts.driver.observeIncoming(vm.uuid);
  } catch (error) {
    return parts.log("warn", "an incoming migration cannot be observed", { migrationId, error: messageOf(error) });
  }
  if (run.resumed !== undefined) return watchRunning(parts, run, seen);
  // Once the stop was proven only the source decides: it asks again until it is answered.
  if (run.proof !== undefined) return;
  const { detail = `the incoming side is ${seen.state}` } = seen;
  switch (seen.state) {
    case "running":
      if (parts.driver.handshake === "hypervisor") return void (await letRun(parts, run, live, seen.postCopy));
      // Nothing that this agent did: somebody continued it by hand.
      return endRun(parts, run, { type: "failed", reason: "running-without-proof", detail }, "running");
    case "failed":
      await parts.driver.abandonIncoming(vm.uuid);
      return endRun(parts, run, { type: "failed", reason: "incoming-failed", detail });
    case "gone":
      return endRun(parts, run, { type: "failed", reason: "incoming-gone", detail });
    case "listening":
      if (parts.now() < live.leaseUntil) return;
      await parts.driver.abandonIncoming(vm.uuid);
      return endRun(parts, run, {
        type: "failed",
        reason: "lease-expired",
        detail: `nothing was heard of the source for ${run.command.leaseMs} ms`,
      });
    case "loaded":
      // The source may have stopped for good; only its proof or its agent's return can tell.
      return;
  }
}

/** Post-copy: the VM runs here and needs its source until that says that it has released its side. */
async function watchRunning(parts: Parts, run: DestinationRun, seen: IncomingState): Promise<void> {
  const { vm, fencingToken } = run.command;
  if (seen.state === "running" && seen.postCopy === false) return noteArrived(parts, run);
  if (seen.state !== "gone" && seen.state !== "failed") return;
  // Moved on since: it had arrived, and the source's word of it was lost.
  if (parts.runs.hasLeft(vm.uuid, fencingToken)) return noteArrived(parts, run);
  const detail = seen.detail ?? `the VM ran here and its process is ${seen.state}`;
  return endRun(parts, run, { type: "failed", reason: "destination-lost", detail });
}

function noteArrived({ runs, now, log }: Parts, run: DestinationRun): void {
  if (run.endedAt !== undefined) return;
  runs.update(run, { endedAt: now(), ending: "completed" });
  log("info", "a VM has arrived", { migrationId: run.command.migrationId, vm: run.command.vm.name });
}

async function cancel(parts: Parts, run: DestinationRun, command: CancelCommand): Promise<string | null> {
  const { vm } = run.command;
  if (run.resumed !== undefined || run.proof !== undefined)
    return "the source has stopped for good; the VM belongs here";
  if (run.endedAt === undefined) {
    const { state } = await parts.driver.observeIncoming(vm.uuid);
    if (state === "loaded" || state === "running")
      return `the incoming side is ${state}: the source may have stopped for good`;
    if (state !== "gone") await parts.driver.abandonIncoming(vm.uuid);
  }
  await endRun(parts, run, { type: "cancelled", reason: "command", detail: command.reason, commandId: command.id });
  return null;
}

function noRun(processGone: boolean, mayHaveRun: boolean, detail: string): PeerReply {
  return { status: 409, body: { processGone, mayHaveRun, detail } satisfies StoppedAnswer };
}

/** Runs alone: nothing else happens to this migration meanwhile. */
async function takeProof(
  parts: Parts,
  run: DestinationRun,
  live: Live,
  message: StoppedMessage,
  takenAtMs: number,
): Promise<PeerReply> {
  const { driver, runs } = parts;
  let current = run;
  if (current.resumed === undefined) {
    if (current.endedAt !== undefined) {
      const { state } = await driver.observeIncoming(current.command.vm.uuid);
      const isOwn = driver.handshake === "hypervisor";
      // The hypervisors went on after this agent had given it up.
      if (isOwn && state === "running")
        return { status: 200, body: { resumedAtMs: null, takenAtMs, at: driver.now() } satisfies StoppedAnswer };
      const detail = `this migration has ended here: ${current.ending}`;
      return noRun(state === "gone", live.mayHaveRun || isOwn, detail);
    }
    if (current.proof === undefined) current = runs.update(current, { proof: message });
    const refused = await letRun(parts, current, live);
    if (refused !== null) return refused;
  }
  const resumedAtMs = present(parts, current).resumed?.atMs ?? null;
  return { status: 200, body: { resumedAtMs, takenAtMs, at: driver.now() } satisfies StoppedAnswer };
}

/** Failures of `continueIncoming` after which it is certain that the VM did not run. */
const NEVER_RAN = ["hypervisor-refused", "incoming-failed", "no-incoming", "not-incoming", "not-loaded", "unknown-vm"];

/** Lets the VM run. Null: it runs; else why not, for the source. */
async function letRun(
  parts: Parts,
  run: DestinationRun,
  live: Live,
  postCopy = run.proof?.postCopy ?? false,
): Promise<PeerReply | null> {
  const { driver, log } = parts;
  const { vm, migrationId } = run.command;
  try {
    const { resumedAtMs } = await driver.continueIncoming(vm.uuid);
    // A second `continueIncoming` cannot tell when the first one's came true; a hypervisor's own handshake is not ours to repeat.
    const isTold = driver.handshake === "hypervisor" || !live.mayHaveRun;
    noteRunning(parts, run, isTold ? resumedAtMs : null, postCopy);
    return null;
  } catch (error) {
    const detail = messageOf(error);
    log("error", "the VM could not be continued", { migrationId, error: detail });
    live.mayHaveRun ||= !(error instanceof DriverError && NEVER_RAN.includes(error.reason));
    const { state } = await driver.observeIncoming(vm.uuid);
    if (state === "running") {
      noteRunning(parts, run, null, postCopy);
      return null;
    }
    if (state !== "failed" && state !== "gone") return noRun(false, false, detail);
    // What has failed cannot run; once it is proven dead, the source may go on.
    if (state === "failed") await driver.abandonIncoming(vm.uuid);
    await endRun(parts, run, { type: "failed", reason: "incoming-gone", detail });
    return noRun(true, live.mayHaveRun, detail);
  }
}

function noteRunning(parts: Parts, run: DestinationRun, atMs: number | null, postCopy: boolean): void {
  const { migrationId, fencingToken } = run.command;
  const resumed = parts.runs.update(run, { resumed: { atMs }, arrivalOwed: true });
  parts.outbox.add(migrationId, { type: "switched", side: "destination", fencingToken, postCopy });
  if (!postCopy) noteArrived(parts, resumed);
  parts.refresh();
  settle(parts, resumed);
}

/** What is done once the VM runs here, beside everything else. */
function settle(parts: Parts, run: DestinationRun): void {
  parts.life.spawn("after an arrival", async () => {
    await announce(parts, run);
    await runAfterArrival(parts, run);
    parts.runs.update<DestinationRun>(run, { arrivalOwed: false });
  });
}
