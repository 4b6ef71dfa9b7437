// What the source's side keeps in mind while it watches a migration.
import type { Flight } from "../../worker/model/migration/in-flight-seen.ts";
import type { Steered } from "../../worker/model/migration/steering.ts";
import { createMutex } from "./life.ts";
import type { Parts } from "./parts.ts";

/** Progress is told at most this often. */
export const PROGRESS_MS = 1000;

/** What one life of the agent remembers of a migration that it watches; all of it can be found out again. */
export type Watch = {
  /** When it began to watch, on the driver's clock: the start, where that is not known. */
  sinceMs: number;
  /** When progress was last told, wall time. */
  progressAt: number;
  aliveAt: number;
  /** How often the destination wants to hear of the source. */
  aliveEveryMs: number;
  /** One change at a time: the rule's own and those that are directed. */
  alone: ReturnType<typeof createMutex>;
  /** What progress has shown; null: nothing yet. */
  flight: Flight | null;
  cancelAsked: boolean;
  /** The end that the hypervisor has taken. */
  ending: Steered["ending"];
  postCopyRefusals: number;
  /** The VM was seen stopped for good here. */
  stopSeen: boolean;
  /** The stop is on the disk and on its way to Drover. */
  stopNoted: boolean;
  proofs: number;
  paused: boolean;
  /** When the next attempt to go on with a paused post-copy is due, wall time. */
  recoverAt: number;
  recoveryFailures: number;
};

export function newWatch({ driver }: Parts): Watch {
  return {
    sinceMs: driver.now(),
    progressAt: 0,
    aliveAt: 0,
    aliveEveryMs: PROGRESS_MS,
    alone: createMutex(),
    flight: null,
    cancelAsked: false,
    ending: null,
    postCopyRefusals: 0,
    stopSeen: false,
    stopNoted: false,
    proofs: 0,
    paused: false,
    recoverAt: 0,
    recoveryFailures: 0,
  };
}
