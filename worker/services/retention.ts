// Samples that are older than their tier is kept.
import type { Deps } from "../env.ts";
import { hourOf, type Tier } from "../model/telemetry/chunk-id.ts";
import { RETENTION_MS } from "../model/telemetry/retention.ts";

const JOB = "retention";
/** Rows a statement, and statements a run. */
const ROWS = 500;
const STATEMENTS_MAX = 20;

/** Removes what is over, tier by tier; once an hour, or more often while something is left. */
export async function retain(deps: Deps): Promise<void> {
  const now = deps.now();
  const job = await deps.store.jobs.read(JOB);
  if (job !== null && hourOf((job.state as { doneAt: number }).doneAt) === hourOf(now)) return;
  let left = STATEMENTS_MAX;
  for (const [tier, keptMs] of Object.entries(RETENTION_MS) as [Tier, number][]) {
    // An hour goes when its last sample is too old; of the coarsest tier a row is a day.
    const hour = hourOf(now - keptMs) - (tier === "1h" ? 24 : 0);
    while ((await deps.store.chunks.removeBefore(tier, hour, ROWS)) === ROWS) {
      left -= 1;
      if (left <= 0) return;
    }
  }
  await deps.store.jobs.write(JOB, { doneAt: now }, now);
}
