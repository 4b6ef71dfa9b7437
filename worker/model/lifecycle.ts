// The migration run as one pure table (DESIGN section 7): which state follows which signal, and what goes with an end.
// A signal that the table does not know in a state moves nothing; the caller stores it and says why.
import type { MigrationEvent } from "./wire/event.ts";

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

/** What is done in the same breath as the end of a run. */
export type Effect =
  /** The claim and the room reserved at the destination are given back. */
  | "free-claim"
  | "record-outcome"
  /** The VM is registered where it runs now. */
  | "place-at-destination"
  /** The move that takes a parked VM on gets its run. */
  | "next-hop"
  /** The destination is told to end what it has prepared. */
  | "clear-destination"
  /** What the plan has not begun yet is not begun. */
  | "stop-rest";

/** Nothing but an end has effects on anything but the run; claiming takes the claim. */
export const EFFECTS: Record<RunState, readonly Effect[]> = {
  queued: [],
  claimed: [],
  preparing: [],
  prepared: [],
  "pre-copying": [],
  switching: [],
  resuming: [],
  paused: [],
  verifying: [],
  lost: [],
  completed: ["free-claim", "record-outcome", "place-at-destination", "next-hop"],
  failed: ["free-claim", "record-outcome", "clear-destination", "stop-rest"],
  cancelled: ["free-claim", "record-outcome", "clear-destination"],
};

export const hasEffect = (state: RunState, effect: Effect): boolean => EFFECTS[state].includes(effect);

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
