// The row of a run that has just been made.
import type { NewRun } from "../model/run.ts";
import type { migrations } from "./schema.ts";

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
