// Between a run and its row.
import { z } from "zod";
import { RUN_STATES } from "../model/lifecycle.ts";
import { mechanismEstimate } from "../model/migration/types.ts";
import { type MigrationRun, type NewRun, continuity, destination, runFailure } from "../model/run.ts";
import { migrationLimits, migrationParameters } from "../model/wire/command.ts";
import { mechanism } from "../model/wire/common.ts";
import { outcome, progress } from "../model/wire/event.ts";
import type { migrations } from "./schema.ts";

/** JSON of a column that may be NULL, through its schema. */
export const parsed = <T>(schema: z.ZodType<T>, text: string | null): T | null =>
  text === null ? null : schema.parse(JSON.parse(text));

/** A run as it is stored. */
export const toRun = (row: typeof migrations.$inferSelect): MigrationRun => ({
  migrationId: row.id,
  cluster: row.cluster,
  planId: row.planId,
  moveNumber: row.moveNumber,
  vmUuid: row.vmUuid,
  vmName: row.vmName,
  fromHostId: row.fromHostId,
  toHostId: row.toHostId,
  mechanism: mechanism.parse(row.mechanism),
  state: z.enum(RUN_STATES).parse(row.state),
  version: row.version,
  fencingToken: row.fencingToken,
  parameters: migrationParameters.parse(JSON.parse(row.parameters)),
  limits: migrationLimits.parse(JSON.parse(row.limits)),
  predicted: mechanismEstimate.parse(JSON.parse(row.predicted)),
  destination: parsed(destination, row.destination),
  progress: parsed(progress, row.progress),
  measured: parsed(outcome, row.measured),
  failure: parsed(runFailure, row.failure),
  continuity: parsed(continuity, row.continuity),
  postCopyActive: row.postCopyActive,
  createdAt: row.createdAt,
  stateAt: row.stateAt,
  lastEventAt: row.lastEventAt,
  endedAt: row.endedAt,
});

/** The row of a run that has just been made. */
export const runRow = (run: NewRun): typeof migrations.$inferInsert => ({
  id: run.migrationId,
  cluster: run.cluster,
  planId: run.planId,
  moveNumber: run.moveNumber,
  vmUuid: run.vmUuid,
  vmName: run.vmName,
  fromHostId: run.fromHostId,
  toHostId: run.toHostId,
  mechanism: run.mechanism,
  state: "queued",
  version: 1,
  parameters: JSON.stringify(run.parameters),
  limits: JSON.stringify(run.limits),
  predicted: JSON.stringify(run.predicted),
  createdAt: run.createdAt,
  stateAt: run.createdAt,
});
