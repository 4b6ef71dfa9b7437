// The ledger of outcomes: what each run was predicted to cost, and what it did cost, side by side and flat enough to be
// exported.
import { z } from "zod";
import { type MechanismEstimate, quantity } from "./migration/types.ts";
import { continuity, type MigrationRun } from "./run.ts";
import { driverName, hypervisor, mechanism } from "./wire/common.ts";
import { outcome } from "./wire/event.ts";

const predicted = z.strictObject({
  preparationMs: quantity,
  /** Null where the median course ends in a cancel: the VM never stops. */
  downtimeMs: quantity.nullable(),
  resumeMs: quantity,
  totalMs: quantity,
  transferredBytes: quantity,
  transferredPages: quantity,
  remoteFaults: quantity,
  /** Of the median course. */
  rounds: z.int(),
  convergenceProbability: z.number().min(0).max(1),
});

export const outcomeRecord = z
  .strictObject({
    migrationId: z.string(),
    cluster: z.string(),
    planId: z.string(),
    moveNumber: z.int(),
    vmUuid: z.string(),
    vmName: z.string(),
    fromHostId: z.string(),
    toHostId: z.string(),
    /** What drove the source when it ended; null: no longer known. */
    hypervisor: hypervisor.nullable(),
    driver: driverName.nullable(),
    mechanism,
    state: z.enum(["completed", "failed", "cancelled"]),
    /** Of a run that was not completed. */
    reason: z.string().nullable(),
    createdAt: z.int(),
    endedAt: z.int(),
    /** The estimate made last before the VM was touched. */
    predicted,
    /** What the agents measured; a figure that nobody measured is absent. Null: nothing was measured. */
    measured: outcome.nullable(),
    continuity: continuity.nullable(),
    /** Whether the models learn from it. */
    learned: z.boolean(),
  })
  .meta({ id: "OutcomeRecord" });
export type OutcomeRecord = z.infer<typeof outcomeRecord>;

const predictedOf = (estimate: MechanismEstimate): OutcomeRecord["predicted"] => ({
  preparationMs: estimate.preparationMs,
  downtimeMs: estimate.downtimeMs,
  resumeMs: estimate.resumeMs,
  totalMs: estimate.totalMs,
  transferredBytes: estimate.transferredBytes,
  transferredPages: estimate.transferredPages,
  remoteFaults: estimate.remoteFaults,
  rounds: estimate.rounds.length,
  convergenceProbability: estimate.convergenceProbability,
});

export type OutcomeFacts = Pick<OutcomeRecord, "hypervisor" | "driver" | "learned">;

/** Null: the run has not ended. */
export function outcomeRecordOf(run: MigrationRun, facts: OutcomeFacts): OutcomeRecord | null {
  const { state, endedAt } = run;
  if (endedAt === null || (state !== "completed" && state !== "failed" && state !== "cancelled")) return null;
  return {
    migrationId: run.migrationId,
    cluster: run.cluster,
    planId: run.planId,
    moveNumber: run.moveNumber,
    vmUuid: run.vmUuid,
    vmName: run.vmName,
    fromHostId: run.fromHostId,
    toHostId: run.toHostId,
    ...facts,
    mechanism: run.mechanism,
    state,
    reason: run.failure?.reason ?? null,
    createdAt: run.createdAt,
    endedAt,
    predicted: predictedOf(run.predicted),
    measured: run.measured,
    continuity: run.continuity,
  };
}

type Cell = string | number | boolean | null | undefined;

const PLAIN = [
  "migrationId",
  "cluster",
  "planId",
  "moveNumber",
  "vmUuid",
  "vmName",
  "fromHostId",
  "toHostId",
  "hypervisor",
  "driver",
  "mechanism",
  "state",
  "reason",
  "createdAt",
  "endedAt",
] as const satisfies readonly (keyof OutcomeRecord)[];

const PREDICTED = [
  "preparationMs",
  "downtimeMs",
  "resumeMs",
  "totalMs",
  "transferredBytes",
  "transferredPages",
  "remoteFaults",
] as const;
const QUANTILES = ["p10", "p50", "p90"] as const;

const MEASURED = [
  "preparationMs",
  "downtimeMs",
  "resumeMs",
  "totalMs",
  "transferredBytes",
  "transferredPages",
  "zeroPages",
  "rounds",
  "throttleRatioMax",
  "remoteFaults",
  "hypervisorDowntimeMs",
  "steered",
] as const satisfies readonly (keyof typeof outcome.shape)[];

/** The columns of the ledger as a table. Times are ms since 1970; what is not known is an empty cell, never 0. */
export const OUTCOME_COLUMNS: readonly { name: string; of: (record: OutcomeRecord) => Cell }[] = [
  ...PLAIN.map((name) => ({ name, of: (record: OutcomeRecord): Cell => record[name] })),
  ...PREDICTED.flatMap((name) =>
    QUANTILES.map((at) => ({
      name: `predicted.${name}.${at}`,
      of: (record: OutcomeRecord): Cell => record.predicted[name]?.[at],
    })),
  ),
  { name: "predicted.rounds", of: ({ predicted: { rounds } }) => rounds },
  { name: "predicted.convergenceProbability", of: (record) => record.predicted.convergenceProbability },
  ...MEASURED.map((name) => ({
    name: `measured.${name}`,
    of: (record: OutcomeRecord): Cell => record.measured?.[name],
  })),
  { name: "announced", of: (record) => record.continuity?.announced },
  { name: "reachable", of: (record) => reachable(record.continuity) },
  { name: "learned", of: (record) => record.learned },
];

/** Whether every address that was asked for after the move answered; null: none was asked for. */
export function reachable(known: OutcomeRecord["continuity"]): boolean | null {
  const answers = Object.values(known?.addresses ?? {});
  return answers.length === 0 ? null : answers.every(({ answered }) => answered);
}
