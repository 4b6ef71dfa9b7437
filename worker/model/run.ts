// A migration run, its events and its commands as the services and the API see them.
import { z } from "zod";
import { migrationLimits, migrationParameters } from "./wire/command.ts";
import { mechanism } from "./wire/common.ts";
import { type MigrationEvent, type Outcome, outcome, progress } from "./wire/event.ts";
import { mechanismEstimate } from "./migration/types.ts";
import { RUN_STATES, type RunState } from "./lifecycle.ts";

export const runFailure = z.strictObject({ reason: z.string(), detail: z.string(), hostId: z.string().optional() });
export type RunFailure = z.infer<typeof runFailure>;

export const destination = z.strictObject({ migrationUri: z.string(), peerUrl: z.string() });
export type Destination = z.infer<typeof destination>;

/** How the network has followed a VM that was moved. What nobody looked at is absent. */
export const continuity = z.strictObject({
  /** Whether the VM's new place was announced; `by-hypervisor`: it does so by itself whenever a VM arrives. */
  announced: z.enum(["sent", "by-hypervisor", "failed"]).optional(),
  /** By name of the check: whether the VM's address answered, and how long after the end of the migration that was known, ms. */
  addresses: z.record(z.string(), z.strictObject({ answered: z.boolean(), elapsedMs: z.number().min(0) })).optional(),
});
export type Continuity = z.infer<typeof continuity>;

/** What an event says of it; null: nothing. */
export function continuityOf(event: MigrationEvent): Continuity | null {
  if (event.type === "announced") return { announced: event.how };
  if (event.type !== "address-checked") return null;
  const { name, answered, elapsedMs } = event;
  return { addresses: { [name]: { answered, elapsedMs } } };
}

export const migrationRun = z
  .strictObject({
    migrationId: z.string(),
    cluster: z.string(),
    planId: z.string(),
    moveNumber: z.int(),
    vmUuid: z.string(),
    vmName: z.string(),
    fromHostId: z.string(),
    toHostId: z.string(),
    mechanism,
    state: z.enum(RUN_STATES),
    version: z.int(),
    fencingToken: z.int().nullable(),
    parameters: migrationParameters,
    limits: migrationLimits,
    /** The estimate made last before the VM was touched. */
    predicted: mechanismEstimate,
    destination: destination.nullable(),
    progress: progress.nullable(),
    /** What it really cost; null until it has ended. */
    measured: outcome.nullable(),
    failure: runFailure.nullable(),
    /** Null: nothing is known of it. */
    continuity: continuity.nullable(),
    postCopyActive: z.boolean(),
    createdAt: z.int(),
    stateAt: z.int(),
    lastEventAt: z.int().nullable(),
    endedAt: z.int().nullable(),
  })
  .meta({ id: "Migration" });
export type MigrationRun = z.infer<typeof migrationRun>;

/** What became of a run that was to be stopped. */
export const stoppedRun = migrationRun
  .pick({
    migrationId: true,
    planId: true,
    vmUuid: true,
    vmName: true,
    fromHostId: true,
    toHostId: true,
    state: true,
  })
  .extend({
    /** `cancelled`: at once. `asked`: its source was asked to cancel. `runs-on`: it may not be stopped. `ended`: it had ended. */
    effect: z.enum(["cancelled", "asked", "runs-on", "ended"]),
    detail: z.string(),
  })
  .meta({ id: "StoppedMigration" });
export type StoppedRun = z.infer<typeof stoppedRun>;

/** How a run stands, as those who watch it live are told. */
export type LiveRun = Pick<MigrationRun, "state" | "version" | "progress" | "endedAt">;

/** One entry of a run's timeline, as received. */
export type TimelineEntry = {
  /** From 1, in the order in which Drover stored them. */
  number: number;
  hostId: string;
  bootId: string;
  sequence: number;
  type: string;
  at: number;
  receivedAt: number;
  verdict: string;
  body: unknown;
};

export type CommandRecord = {
  id: string;
  migrationId: string;
  hostId: string;
  type: string;
  /** JSON text: what is signed. */
  body: string;
  issuedAt: number;
  expiresAt: number;
};

/** A run as it is made: queued, with the limits that were approved. */
export type NewRun = Pick<
  MigrationRun,
  | "migrationId"
  | "cluster"
  | "planId"
  | "moveNumber"
  | "vmUuid"
  | "vmName"
  | "fromHostId"
  | "toHostId"
  | "mechanism"
  | "parameters"
  | "limits"
  | "predicted"
  | "createdAt"
>;

/** What changes with a step of a run. */
export type RunChange = {
  state: RunState;
  at: number;
  failure?: RunFailure;
  destination?: { migrationUri: string; peerUrl: string };
  measured?: Outcome;
  postCopyActive?: boolean;
  lastEventAt?: number;
  /** Why the edge itself moves the run: an entry of its own in the timeline. */
  entry?: { type: string; why: string };
};
