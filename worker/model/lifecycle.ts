// The migration run as one pure table (DESIGN section 7): which state follows which signal, and what to do next.
// A signal that the table does not know in a state moves nothing; the caller stores it and says why.
import { type Sides, goneAt, runsAt, whereabouts } from "./truth.ts";
import type { Mechanism } from "./wire/common.ts";
import type { MigrationEvent } from "./wire/event.ts";
import { HOST_STALE_MS } from "./units.ts";

export const RUN_STATES = [
  "queued",
  "claimed",
  "preparing",
  "prepared",
  "pre-copying",
  "switching",
  "resuming",
  "paused",
  "verifying",
  "lost",
  "completed",
  "failed",
  "cancelled",
] as const;
export type RunState = (typeof RUN_STATES)[number];

const ENDED: readonly RunState[] = ["completed", "failed", "cancelled"];
export const isEnded = (state: RunState): boolean => ENDED.includes(state);

/** Everything that can move a run: what agents report, what Drover does and what it sees. */
export type Signal =
  | "claim"
  | "prepare-sent"
  | "prepared"
  | "accepted"
  | "progress"
  | "source-stopped"
  | "destination-running"
  | "destination-running-post-copy"
  | "link-lost"
  | "link-back"
  | "source-completed"
  | "source-failed"
  | "source-failed-vm-unknown"
  | "destination-failed"
  | "source-cancelled"
  | "destination-refused"
  | "source-refused"
  | "superseded"
  | "cancel-untouched"
  | "silent"
  | "seen-at-destination-only"
  | "seen-at-source-only"
  | "seen-elsewhere"
  | "resolved-at-destination"
  | "resolved-at-source"
  | "resolved-elsewhere"
  | "resolved-nowhere";

type Row = Partial<Record<Signal, RunState>>;

/** Before the source was told to start, nothing has touched the VM: failing and cancelling cost nothing. */
const UNTOUCHED: Row = {
  superseded: "failed",
  "cancel-untouched": "cancelled",
  "destination-refused": "failed",
  "destination-failed": "failed",
};

/** With post-copy active nobody can say from one side alone what is left of the VM. */
const REPORTED_DEAD: Row = {
  "source-failed": "lost",
  "source-failed-vm-unknown": "lost",
  "source-cancelled": "lost",
  "destination-failed": "lost",
};

const TABLE: Record<RunState, Row> = {
  queued: { claim: "claimed", superseded: "failed", "cancel-untouched": "cancelled" },
  claimed: { ...UNTOUCHED, "prepare-sent": "preparing" },
  preparing: { ...UNTOUCHED, prepared: "prepared", silent: "failed" },
  // The start command is out: only the source can say whether it acted on it.
  prepared: {
    accepted: "pre-copying",
    progress: "pre-copying",
    "source-stopped": "switching",
    "destination-running": "verifying",
    "destination-running-post-copy": "resuming",
    "source-completed": "verifying",
    "source-refused": "failed",
    "source-failed": "failed",
    "source-failed-vm-unknown": "lost",
    "source-cancelled": "cancelled",
    silent: "lost",
  },
  "pre-copying": {
    progress: "pre-copying",
    "source-stopped": "switching",
    "destination-running": "verifying",
    "destination-running-post-copy": "resuming",
    "source-completed": "verifying",
    "source-failed": "failed",
    "source-failed-vm-unknown": "lost",
    "source-cancelled": "cancelled",
    silent: "lost",
  },
  switching: {
    "destination-running": "verifying",
    "destination-running-post-copy": "resuming",
    "link-lost": "paused",
    "source-completed": "verifying",
    "source-failed": "failed",
    "source-failed-vm-unknown": "lost",
    "source-cancelled": "cancelled",
    silent: "lost",
  },
  // Past the point of no return: the VM runs at the destination and part of its memory is only at the source.
  resuming: { "link-lost": "paused", "source-completed": "verifying", silent: "lost", ...REPORTED_DEAD },
  paused: { "link-back": "resuming", "source-completed": "verifying", silent: "lost", ...REPORTED_DEAD },
  // The source's report still brings what the run has cost.
  verifying: { "source-completed": "verifying", "seen-at-destination-only": "completed", silent: "lost" },
  // Not an end: what the agents say when they come back counts, and a person may resolve it.
  lost: {
    progress: "pre-copying",
    "source-stopped": "switching",
    "destination-running": "verifying",
    "destination-running-post-copy": "resuming",
    "link-lost": "paused",
    "link-back": "resuming",
    "source-completed": "verifying",
    "source-failed": "failed",
    "source-refused": "failed",
    "source-cancelled": "cancelled",
    "seen-at-destination-only": "completed",
    "seen-at-source-only": "failed",
    "seen-elsewhere": "failed",
    "resolved-at-destination": "completed",
    "resolved-at-source": "failed",
    "resolved-elsewhere": "failed",
    "resolved-nowhere": "failed",
  },
  completed: {},
  failed: {},
  cancelled: {},
};

/**
 * The state that follows, or null: the signal is illegal here (or only worth noting). Once post-copy is active no report
 * of one side ends a run as failed or cancelled.
 */
export function nextState(state: RunState, signal: Signal, postCopyActive: boolean): RunState | null {
  // Nothing copies any more from a source that has given the VM away.
  if (postCopyActive && signal === "progress") return null;
  if (postCopyActive && REPORTED_DEAD[signal] !== undefined && TABLE[state][signal] !== undefined) return "lost";
  return TABLE[state][signal] ?? null;
}

type EventType = MigrationEvent["type"];

const FROM_SOURCE: Partial<Record<EventType, Signal>> = {
  accepted: "accepted",
  progress: "progress",
  switched: "source-stopped",
  paused: "link-lost",
  resumed: "link-back",
  completed: "source-completed",
  refused: "source-refused",
  failed: "source-failed",
  cancelled: "source-cancelled",
};

const FROM_DESTINATION: Partial<Record<EventType, Signal>> = {
  prepared: "prepared",
  switched: "destination-running",
  paused: "link-lost",
  resumed: "link-back",
  refused: "destination-refused",
  failed: "destination-failed",
  cancelled: "destination-failed",
};

/** What an agent's event means for the run, given who sent it; null: nothing. */
export function signalOf(event: MigrationEvent, sender: "source" | "destination"): Signal | null {
  if (sender === "source") {
    if (event.type === "progress") return signalOfProgress(event);
    // Only a VM that is known to be there still makes a failure an end.
    if (event.type === "failed" && event.vmState !== "running" && event.vmState !== "paused")
      return "source-failed-vm-unknown";
    return FROM_SOURCE[event.type] ?? null;
  }
  if (event.type === "switched" && event.postCopy) return "destination-running-post-copy";
  return FROM_DESTINATION[event.type] ?? null;
}

/** Progress says as well how a post-copy stands, for a run that was lost meanwhile. */
function signalOfProgress({ progress, paused }: MigrationEvent & { type: "progress" }): Signal {
  if (paused) return "link-lost";
  return progress.phase === "post-copy" ? "link-back" : "progress";
}

/** Post-copy can no longer be undone once the VM may have run at the destination. */
export function isPastNoReturn(state: RunState, postCopyActive: boolean): boolean {
  if (state === "resuming" || state === "paused") return true;
  return postCopyActive && (state === "switching" || state === "verifying" || state === "lost");
}

export type RunView = Sides & {
  state: RunState;
  mechanism: Mechanism;
  stateAt: number;
  lastEventAt: number | null;
  /** The start command was issued. */
  startSent: boolean;
  /** The source has reported what the migration cost. */
  hasOutcome: boolean;
};

/** How long each state may last without a word before the run counts as silent, ms. */
export const SILENCE_MS = HOST_STALE_MS;
/** How long a command is retried, ms. */
export const COMMAND_TTL_MS = 60_000;

export type Step =
  | { do: "claim" }
  | { do: "prepare" }
  | { do: "start" }
  | { do: "signal"; signal: Signal; why: string }
  /** With a note: what people must know of it meanwhile. */
  | { do: "wait"; untilMs: number; note?: { kind: string; why: string } }
  | { do: "nothing" };

/**
 * What Drover does next of itself. Silence never ends a run that may have touched the VM: it makes it `lost`, and only
 * what both hosts report afterwards, or a person, ends it.
 */
export function nextStep(run: RunView, now: number): Step {
  if (isEnded(run.state)) return { do: "nothing" };
  const heard = Math.max(run.stateAt, run.lastEventAt ?? 0);
  switch (run.state) {
    case "queued":
      return { do: "claim" };
    case "claimed":
      return { do: "prepare" };
    case "preparing":
      return awaitPrepared(run, now);
    case "prepared":
      return run.startSent ? silence(run, heard, now) : { do: "start" };
    case "verifying":
      return verified(run, heard, now);
    case "lost":
      return truth(run);
    default:
      return silence(run, heard, now);
  }
}

function awaitPrepared(run: RunView, now: number): Step {
  const untilMs = run.stateAt + COMMAND_TTL_MS;
  if (now <= untilMs) return { do: "wait", untilMs };
  const why = "The destination's agent did not answer the prepare command before it expired.";
  return { do: "signal", signal: "silent", why };
}

/** How long a verified run waits for the source's account of what it cost, ms. */
const OUTCOME_GRACE_MS = 30_000;

function verified(run: RunView, heard: number, now: number): Step {
  const seen = runsAt(run.destination, run.stateAt) && goneAt(run.source, run.stateAt);
  if (!seen) return silence(run, heard, now);
  if (!run.hasOutcome && now < run.stateAt + OUTCOME_GRACE_MS)
    return { do: "wait", untilMs: run.stateAt + OUTCOME_GRACE_MS };
  return {
    do: "signal",
    signal: "seen-at-destination-only",
    why: "The VM runs at the destination and is gone at the source.",
  };
}

/** A run is silent when no event came for a while and a host that matters is not heard either. */
function silence(run: RunView, heard: number, now: number): Step {
  if (now <= heard + SILENCE_MS) return { do: "wait", untilMs: heard + SILENCE_MS };
  const silent = [
    ["source", run.source],
    ["destination", run.destination],
  ] as const;
  const stale = silent.filter(([, side]) => now > (side.heardAt ?? 0) + HOST_STALE_MS).map(([name]) => name);
  const quiet = `No event for ${Math.round((now - heard) / 1000)} s`;
  if (stale.length > 0)
    return { do: "signal", signal: "silent", why: `${quiet} and the ${stale.join(" and the ")} not heard.` };
  // Both hosts live: a command that nobody acted on, or an agent that has forgotten its run.
  if (now > heard + 2 * SILENCE_MS)
    return { do: "signal", signal: "silent", why: `${quiet} though both hosts are heard.` };
  return { do: "wait", untilMs: heard + 2 * SILENCE_MS };
}

const FOREVER_MS = 365 * 86_400_000;

/** A lost run ends when the hosts, heard after it was lost, agree on where the VM is. */
function truth(run: RunView): Step {
  const { at, why } = whereabouts(run, run.stateAt);
  const untilMs = run.stateAt + FOREVER_MS;
  switch (at) {
    case "destination":
      return { do: "signal", signal: "seen-at-destination-only", why };
    case "source":
      return { do: "signal", signal: "seen-at-source-only", why };
    case "elsewhere":
      return { do: "signal", signal: "seen-elsewhere", why };
    case "two-hosts":
    case "nowhere":
      return { do: "wait", untilMs, note: { kind: `seen-${at}`, why } };
    case "unknown":
      return { do: "wait", untilMs };
  }
}
