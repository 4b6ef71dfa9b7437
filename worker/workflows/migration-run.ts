// One instance a migration run; the instance id is the migration id. The run's state is in D1: an instance only takes the
// steps that are due and sleeps until something changes, so that a new instance goes on where a lost one was.
import { WorkflowEntrypoint, type WorkflowEvent, type WorkflowStep } from "cloudflare:workers";
import { type Bindings, makeDeps } from "../env.ts";
import { replanAfter } from "../services/replan.ts";
import { advanceRun } from "../services/runs.ts";

/** A step that fails is tried again for about ten minutes; Cron restarts the instance after that. */
const RETRIES = { retries: { limit: 8, delay: "1 second", backoff: "exponential" } } as const;

export class MigrationRun extends WorkflowEntrypoint<Bindings, { migrationId: string }> {
  override async run(event: Readonly<WorkflowEvent<{ migrationId: string }>>, step: WorkflowStep): Promise<void> {
    const { migrationId } = event.payload;
    for (let turn = 1; ; turn++) {
      const { ended, waitMs } = await step.do(`advance ${turn}`, RETRIES, () =>
        advanceRun(makeDeps(this.env), migrationId),
      );
      if (ended) {
        await step.do("replan", RETRIES, () => replanAfter(makeDeps(this.env), migrationId));
        return;
      }
      try {
        await step.waitForEvent(`change ${turn}`, { type: "changed", timeout: Math.min(waitMs, 3_600_000) });
      } catch {
        // The time is up and nothing was heard: look again.
      }
    }
  }
}
