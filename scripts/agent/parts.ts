// What both sides of a migration work with.
import type { VmState } from "../../worker/model/wire/inventory.ts";
import type { Settings } from "./config.ts";
import type { Driver } from "./driver.ts";
import type { Life } from "./life.ts";
import { messageOf, type Log } from "./log.ts";
import type { Outbox } from "./outbox.ts";
import type { PolicyState } from "./policy.ts";
import type { Ending, Run, Runs } from "./runs.ts";

const RETRY_MS = 1000;

export type Parts = {
  settings: Settings;
  driver: Driver;
  runs: Runs;
  outbox: Outbox;
  life: Life;
  log: Log;
  /** Wall time, ms. The driver has its own clock. */
  now: () => number;
  policy: () => PolicyState;
  /** Resolves when no dirty curve of the VM is being measured. */
  settle: (vmUuid: string) => Promise<void>;
  /** Heartbeat and inventory at once, so that the edge sees where the VM is. */
  refresh: () => void;
  /** Where this agent's own peer listener can be called. */
  peerUrl: () => string;
};

/** An end that is not a good one. `commandId`: whose answer it is, if not the run's own command's. */
export type BadEnd = {
  type: Exclude<Ending, "completed">;
  reason: string;
  detail: string;
  commandId?: string | undefined;
};

/** How this host's hypervisor sees the VM; undefined: not here, or not to be found out now. */
export async function localState(parts: Parts, vmUuid: string): Promise<VmState | undefined> {
  const states = await parts.driver.vmStates().catch(() => ({}) as Record<string, VmState>);
  return states[vmUuid];
}

/** Ends a run: first the event, so that a crash in between tells it again and not never. */
export async function endRun(parts: Parts, run: Run, end: BadEnd, vmState?: VmState): Promise<void> {
  const { migrationId, id, fencingToken, vm } = run.command;
  const state = vmState ?? (await localState(parts, vm.uuid));
  parts.outbox.add(migrationId, {
    type: end.type,
    commandId: end.commandId ?? id,
    fencingToken,
    reason: end.reason.slice(0, 64),
    detail: end.detail.slice(0, 2000),
    ...(state === undefined ? {} : { vmState: state }),
  });
  parts.runs.update(run, { endedAt: parts.now(), ending: end.type });
  parts.log("warn", `migration ${end.type}`, { migrationId, reason: end.reason, detail: end.detail });
  parts.refresh();
}

/** Runs a task to its end; after something unforeseen (a full disk) it goes on with `again`, as after a restart. */
export async function untilDone(
  { life, log }: Parts,
  task: () => Promise<void>,
  again: () => Promise<void>,
): Promise<void> {
  for (let next = task; ; next = again) {
    try {
      return await next();
    } catch (error) {
      log("error", "a run was interrupted and goes on", { error: messageOf(error) });
      if (life.isStopping()) return;
      await life.sleep(RETRY_MS);
    }
  }
}
