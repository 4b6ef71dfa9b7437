// What Drover does next of a migration run by itself, from what is known of the run and its two hosts.
import { type RunState, type Signal, isEnded } from "./lifecycle.ts";
import { type Sides, goneAt, runsAt, whereabouts } from "./truth.ts";
import { HOST_STALE_MS } from "./units.ts";
import type { Mechanism } from "./wire/common.ts";

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
