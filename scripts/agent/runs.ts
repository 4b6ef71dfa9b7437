// What this agent does of each migration, one file a migration, so that a restarted agent takes up where it was.
import path from "node:path";
import { z } from "zod";
import { DAY_MS } from "../../worker/model/units.ts";
import { prepareCommand, startCommand } from "../../worker/model/wire/command.ts";
import { outcome } from "../../worker/model/wire/event.ts";
import type { MigrationSpec } from "./driver.ts";
import { ensureFolder, fileNameFor, listFiles, readJson, removeFile, writeFileAtomically } from "./files.ts";
import { messageOf, type Log } from "./log.ts";
import { stoppedMessage } from "./peer.ts";

const KEEP_MS = 7 * DAY_MS;
const CHECK_LATE_MS = 60_000;

/** How a run ended here. `refused`: it never began. */
const ending = z.enum(["completed", "failed", "cancelled", "refused"]);
export type Ending = z.infer<typeof ending>;

const ended = { endedAt: z.number().optional(), ending: ending.optional() };
/** Who asked for the end: a command, or the deadline. */
const cancelRequest = z.strictObject({ commandId: z.string().optional(), reason: z.string(), detail: z.string() });

/** What was steered so far, so that a restarted agent goes on from there. Moments in ms since the start of the migration. */
const steering = z.strictObject({
  downtimeLimitMs: z.number(),
  bandwidthBytesPerSecond: z.number(),
  raisedAtMs: z.number().nullable(),
  spedUpAtMs: z.number().nullable(),
  /** Number of the newest directive that was taken. */
  directive: z.int().min(0),
});

export const sourceRun = z.strictObject({
  side: z.literal("source"),
  command: startCommand,
  /** On the driver's clock, like every moment whose name ends in Ms. Absent: the hypervisor is not known to have taken it. */
  startedAtMs: z.number().optional(),
  stoppedAtMs: z.number().optional(),
  /** The destination runs the VM, since then on this host's clock (null: since an unknown moment). */
  resumed: z.strictObject({ atMs: z.number().nullable() }).optional(),
  cancel: cancelRequest.optional(),
  steering: steering.optional(),
  /** Hooks whose `before` was begun, and whose `after` is owed where the VM stays here. */
  hooksBegun: z.array(z.string()).optional(),
  /** Whether the network has followed the VM was looked at. */
  checked: z.boolean().optional(),
  outcome: outcome.optional(),
  ...ended,
});
export type SourceRun = z.infer<typeof sourceRun>;

/** As commanded, where nothing was steered yet. */
export function steeringSoFar({ steering: soFar, command }: SourceRun): z.infer<typeof steering> {
  const { downtimeLimitMs, maxBandwidthBytesPerSecond } = command.parameters;
  const untouched = { downtimeLimitMs, bandwidthBytesPerSecond: maxBandwidthBytesPerSecond };
  return soFar ?? { ...untouched, raisedAtMs: null, spedUpAtMs: null, directive: 0 };
}

/** Whether it ends with other parameters than it was commanded with. */
export function isSteered(run: SourceRun): boolean {
  const { downtimeLimitMs, bandwidthBytesPerSecond } = steeringSoFar(run);
  const { parameters } = run.command;
  return (
    downtimeLimitMs !== parameters.downtimeLimitMs || bandwidthBytesPerSecond !== parameters.maxBandwidthBytesPerSecond
  );
}

export const destinationRun = z.strictObject({
  side: z.literal("destination"),
  command: prepareCommand,
  migrationUri: z.string().optional(),
  /** The source's proof that it has stopped for good. Once here, the incoming side is never killed for its lease. */
  proof: stoppedMessage.optional(),
  resumed: z.strictObject({ atMs: z.number().nullable() }).optional(),
  /** What is done once the VM runs here (announced, hooks) is still to be done. */
  arrivalOwed: z.boolean().optional(),
  ...ended,
});
export type DestinationRun = z.infer<typeof destinationRun>;

export const run = z.discriminatedUnion("side", [sourceRun, destinationRun]);
export type Run = z.infer<typeof run>;

export type Runs = {
  get: (migrationId: string) => Run | null;
  open: () => Run[];
  /** Of which something is left to be done around the move, though it has ended or the VM runs here. */
  owing: (nowMs: number) => Run[];
  /** The migration of this VM that is not over here, other than `except`. A destination whose VM runs is over as far as the VM goes. */
  busyWith: (vmUuid: string, except: string) => string | null;
  isMigrating: (vmUuid: string) => boolean;
  /** Whether the VM was moved away from here by a later migration than the one with this token. */
  hasLeft: (vmUuid: string, fencingToken: number) => boolean;
  /** Durable when it returns. */
  save: <R extends Run>(run: R) => R;
  /** Lays the changes over what is stored now. */
  update: <R extends Run>(run: R, changes: Partial<R>) => R;
  /** Forgets a run that never began. */
  discard: (run: Run) => void;
};

/** The run as it is stored now. */
export function presentSource(runs: Runs, run: SourceRun): SourceRun {
  const stored = runs.get(run.command.migrationId);
  return stored?.side === "source" ? stored : run;
}

export function specOf({ command }: Run): MigrationSpec {
  const { migrationId, vm, mechanism, parameters } = command;
  return { migrationId, vm, mechanism, parameters };
}

const isOver = (one: Run): boolean =>
  one.endedAt !== undefined || (one.side === "destination" && one.resumed !== undefined);

function owes(one: Run, nowMs: number): boolean {
  if (one.side === "destination") return one.arrivalOwed === true;
  if (one.endedAt === undefined) return false;
  // What is long over no longer says anything about the move.
  const isFresh = one.ending === "completed" && nowMs - one.endedAt < CHECK_LATE_MS;
  return (one.hooksBegun ?? []).length > 0 || (isFresh && one.checked !== true);
}

export function openRuns(stateDir: string, log: Log, nowMs: number): Runs {
  const folder = path.join(stateDir, "runs");
  ensureFolder(folder);
  const runs = new Map<string, Run>();
  for (const name of listFiles(folder, ".json")) {
    const file = path.join(folder, name);
    try {
      const stored = readJson(file, run);
      if (stored === null) continue;
      if (stored.endedAt !== undefined && nowMs - stored.endedAt > KEEP_MS) removeFile(file);
      else runs.set(stored.command.migrationId, stored);
    } catch (error) {
      log("error", "a run cannot be read; look where its VM is, then remove the file", {
        file,
        error: messageOf(error),
      });
    }
  }

  const save = <R extends Run>(changed: R): R => {
    const { migrationId } = changed.command;
    writeFileAtomically(path.join(folder, fileNameFor(migrationId)), JSON.stringify(changed), true);
    runs.set(migrationId, changed);
    return changed;
  };

  return {
    get: (migrationId) => runs.get(migrationId) ?? null,
    open: () => [...runs.values()].filter((one) => one.endedAt === undefined),
    owing: (now) => [...runs.values()].filter((one) => owes(one, now)),
    busyWith: (vmUuid, except) => {
      const same = (one: Run) => one.command.vm.uuid === vmUuid && one.command.migrationId !== except && !isOver(one);
      return [...runs.values()].find(same)?.command.migrationId ?? null;
    },
    hasLeft: (vmUuid, fencingToken) =>
      [...runs.values()].some(
        ({ side, ending: end, command }) =>
          side === "source" && end === "completed" && command.vm.uuid === vmUuid && command.fencingToken > fencingToken,
      ),
    isMigrating: (vmUuid) =>
      [...runs.values()].some((one) => one.command.vm.uuid === vmUuid && one.endedAt === undefined),
    save,
    update: (one, changes) => {
      // `get` is keyed by migration, and a migration has one side on a host.
      const present = (runs.get(one.command.migrationId) ?? one) as typeof one;
      return save({ ...present, ...changes });
    },
    discard: ({ command: { migrationId } }) => {
      runs.delete(migrationId);
      removeFile(path.join(folder, fileNameFor(migrationId)));
    },
  };
}
