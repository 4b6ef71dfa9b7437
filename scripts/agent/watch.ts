// What the source's side keeps in mind while it watches a migration.
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
  cancelAsked: boolean;
  deadlineDone: boolean;
  postCopyAsked: boolean;
  /** The VM was seen stopped for good here. */
  stopSeen: boolean;
  /** The stop is on the disk and on its way to Drover. */
  stopNoted: boolean;
  proofs: number;
  paused: boolean;
};

export function newWatch({ driver }: Parts): Watch {
  return {
    sinceMs: driver.now(),
    progressAt: 0,
    aliveAt: 0,
    aliveEveryMs: PROGRESS_MS,
    cancelAsked: false,
    deadlineDone: false,
    postCopyAsked: false,
    stopSeen: false,
    stopNoted: false,
    proofs: 0,
    paused: false,
  };
}
