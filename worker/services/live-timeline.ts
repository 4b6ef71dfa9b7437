// A run's timeline as it grows, for whoever watches: D1 is asked again and again, a bounded number of times.
import type { Deps } from "../env.ts";
import { type RunState, isEnded } from "../model/lifecycle.ts";
import type { LiveRun, TimelineEntry } from "../model/run.ts";
import { SECOND_MS } from "../model/units.ts";

/** What watchers are told: entries by their numbers, and how the run stands, once and whenever that changes. */
export type LiveMessage =
  | { event: "entry"; id: number; data: TimelineEntry }
  | { event: "run"; data: LiveRun }
  /** The run has ended and what was told of it is all; nothing follows. */
  | { event: "end"; data: LiveRun }
  /** Nothing has happened for a while. */
  | { event: "alive" };

const POLL_MS = SECOND_MS;
/** Nothing happens quickly to a run that waits or is lost. */
const POLL_WAITING_MS = 5 * SECOND_MS;
const WAITING: readonly RunState[] = ["queued", "lost"];
/** Two statements each: D1 takes a thousand in one request. Who wants to see more asks again from where this ended. */
const POLLS_MAX = 240;
const ENTRIES_AT_ONCE = 100;
const ALIVE_EVERY_MS = 15 * SECOND_MS;
/** What agents tell last is often stored a moment after the end of the run. */
const SETTLE_MS = 3 * SECOND_MS;

const isSettled = ({ state, endedAt }: LiveRun, now: number): boolean =>
  isEnded(state) && now >= (endedAt ?? 0) + SETTLE_MS;

/** Whether the run has ended and has no entry after that number: there is nothing to wait for. */
export async function isOver(deps: Deps, migrationId: string, after: number): Promise<boolean> {
  const seen = await deps.store.migrations.look(migrationId, after, 1);
  return seen !== null && isSettled(seen.run, deps.now()) && seen.entries.length === 0;
}

/**
 * Tells every entry after that number and each change of state or progress, until the run has ended or nobody watches any
 * more. One that ends without `end` goes on where it is asked for again.
 */
export async function* watchRun(
  deps: Deps,
  migrationId: string,
  after: number,
  isGone: () => boolean,
): AsyncGenerator<LiveMessage> {
  let [last, told, toldAt] = [after, "", deps.now()];
  for (let poll = 0; poll < POLLS_MAX && !isGone(); poll++) {
    const seen = await deps.store.migrations.look(migrationId, last, ENTRIES_AT_ONCE);
    if (seen === null) return;
    const { run, entries } = seen;
    for (const data of entries) yield { event: "entry", id: (last = data.number), data };
    const text = JSON.stringify(run);
    if (text !== told) yield { event: "run", data: run };
    const now = deps.now();
    if (text !== told || entries.length > 0) [told, toldAt] = [text, now];
    if (entries.length === ENTRIES_AT_ONCE) continue;
    if (isSettled(run, now)) return yield { event: "end", data: run };
    if (now - toldAt >= ALIVE_EVERY_MS) {
      toldAt = now;
      yield { event: "alive" };
    }
    await deps.sleep(WAITING.includes(run.state) ? POLL_WAITING_MS : POLL_MS);
  }
}
