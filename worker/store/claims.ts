// The two steps of a run that touch more than the run: its claim with the reservation, and its end.
import { and, eq, isNull, sql } from "drizzle-orm";
import { outcomeOf } from "../model/calibration/outcome.ts";
import { hasEffect } from "../model/lifecycle.ts";
import type { MechanismEstimate } from "../model/migration/types.ts";
import type { CommandRecord, MigrationRun, NewRun, RunChange } from "../model/run.ts";
import type { DriverName, Hypervisor } from "../model/wire/common.ts";
import type { Outcome } from "../model/wire/event.ts";
import { pendingStatement } from "./commands.ts";
import { runEvents } from "../model/webhooks/drafts.ts";
import { type Db, failedGuard } from "./db.ts";
import { placeStatements } from "./hosts.ts";
import { eventStatements } from "./outbox.ts";
import { runRow } from "./run-rows.ts";
import { commands, migrationEvents, migrations, outcomes, reservations, vms } from "./schema.ts";

/** A run changes only from the version that was read; where it did not, the column turns NULL and the batch rolls back. */
const guarded = (version: number) =>
  sql<number>`CASE WHEN ${migrations.version} = ${version} THEN ${migrations.version} + 1 END`;

/** The host of timeline entries that are the edge's own; no host can be called that. */
export const EDGE = "drover:edge";

/** The next place in a run's timeline. */
export const nextNumber = (migrationId: string) =>
  sql<number>`(SELECT coalesce(max(number), 0) + 1 FROM migration_events WHERE migration_id = ${migrationId})`;

/** Written with the step that it explains; notes are of their kind and once for each version of the run. */
export const entryStatement = (
  db: Db,
  run: MigrationRun,
  entry: { bootId: string; type: string; why: string; verdict: string; sequence: number; at: number },
) => {
  const { migrationId, state } = run;
  const { bootId, type, sequence, at, verdict, why } = entry;
  const body = JSON.stringify({ type, why, state });
  const number = nextNumber(migrationId);
  return db
    .insert(migrationEvents)
    .values({ migrationId, hostId: EDGE, bootId, sequence, type, at, receivedAt: at, verdict, body, number })
    .onConflictDoNothing();
};

export const entryStatements = (db: Db, run: MigrationRun, { entry, state, at }: RunChange) =>
  entry === undefined
    ? []
    : [
        entryStatement(db, run, {
          ...entry,
          bootId: "step",
          sequence: run.version + 1,
          at,
          verdict: `applied: ${state}. ${entry.why}`,
        }),
      ];

/** The columns that a step of a run writes, under the run's version. */
export const columnsOf = (run: MigrationRun, change: RunChange) => ({
  state: change.state,
  version: guarded(run.version),
  ...(change.state === run.state ? {} : { stateAt: change.at }),
  ...(change.failure ? { failure: JSON.stringify(change.failure) } : {}),
  ...(change.destination ? { destination: JSON.stringify(change.destination) } : {}),
  ...(change.measured ? { measured: JSON.stringify(change.measured) } : {}),
  ...(change.postCopyActive === undefined ? {} : { postCopyActive: change.postCopyActive }),
  ...(change.lastEventAt === undefined ? {} : { lastEventAt: change.lastEventAt }),
});

export type ClaimLimits = { memoryReserveRatio: number; perHost: number; perCluster: number };
export type ClaimResult = "claimed" | "changed" | "no-memory" | "concurrency";

const ACTIVE_CLAIMS = sql`ended_at IS NULL AND state <> 'queued'`;

/**
 * Claim and reservation in one batch: the VM's fencing token rises, the run takes it, and the destination's room is
 * reserved only if it is there. Each guard is an expression that turns NULL, so that all of it happens or nothing.
 */
export async function claim(
  db: Db,
  run: MigrationRun,
  need: { cpuCores: number; predicted: MechanismEstimate },
  limits: ClaimLimits,
  now: number,
): Promise<ClaimResult> {
  const { cluster, vmUuid, fromHostId, toHostId } = run;
  const busyOn = (hostId: string) =>
    sql`(SELECT count(*) FROM migrations WHERE ${ACTIVE_CLAIMS} AND (from_host_id = ${hostId} OR to_host_id = ${hostId}))`;
  const busyInCluster = sql`(SELECT count(*) FROM migrations WHERE ${ACTIVE_CLAIMS} AND cluster = ${cluster})`;
  const free = sql`(SELECT h.memory_bytes * (1 - ${limits.memoryReserveRatio})
      - (SELECT coalesce(sum(v.committed_bytes), 0) FROM vms v WHERE v.cluster = ${cluster} AND v.host_id = ${toHostId})
      - (SELECT coalesce(sum(r.memory_bytes), 0) FROM reservations r WHERE r.host_id = ${toHostId})
    FROM hosts h WHERE h.id = ${toHostId})`;
  try {
    await db.batch([
      db
        .update(vms)
        .set({ fencingToken: sql`${vms.fencingToken} + 1` })
        .where(and(eq(vms.cluster, cluster), eq(vms.uuid, vmUuid))),
      db.insert(reservations).select(sql`SELECT ${run.migrationId}, ${cluster}, ${toHostId}, ${vmUuid},
          CASE WHEN v.committed_bytes <= ${free} THEN v.committed_bytes END,
          CASE WHEN ${busyOn(fromHostId)} < ${limits.perHost} AND ${busyOn(toHostId)} < ${limits.perHost} AND ${busyInCluster} < ${limits.perCluster}
            THEN ${Math.ceil(need.cpuCores)} END
        FROM vms v WHERE v.cluster = ${cluster} AND v.uuid = ${vmUuid}`),
      db
        .update(migrations)
        .set({
          state: "claimed",
          version: guarded(run.version),
          stateAt: now,
          predicted: JSON.stringify(need.predicted),
          fencingToken: sql`(SELECT fencing_token FROM vms WHERE cluster = ${cluster} AND uuid = ${vmUuid})`,
        })
        .where(eq(migrations.id, run.migrationId)),
      ...eventStatements(db, runEvents(run, { state: "claimed", at: now, predicted: need.predicted }), now),
    ]);
    return "claimed";
  } catch (error) {
    const guard = failedGuard(error);
    if (guard === "reservations.memory_bytes") return "no-memory";
    if (guard === "reservations.cpu_cores") return "concurrency";
    if (guard === "migrations.version") return "changed";
    throw error;
  }
}

/** What goes with the end of a run: the run that takes the VM on, and the command that clears the destination. */
export type Follows = { next: NewRun | null; clear: CommandRecord | null };

/**
 * Ends a run: state, reservation, outcome, the VM's place and what follows in one batch. False: the run has changed
 * meanwhile.
 */
export async function end(
  db: Db,
  run: MigrationRun,
  change: RunChange,
  facts: RunFacts,
  { next, clear }: Follows,
): Promise<boolean> {
  const measured = change.measured ?? run.measured;
  try {
    await db.batch([
      db
        .update(migrations)
        .set({
          ...columnsOf(run, { ...change, ...(measured ? { measured } : {}) }),
          endedAt: change.at,
        })
        .where(eq(migrations.id, run.migrationId)),
      db.delete(reservations).where(eq(reservations.migrationId, run.migrationId)),
      db
        .update(commands)
        .set({ state: "expired" })
        .where(and(eq(commands.migrationId, run.migrationId), eq(commands.state, "pending"))),
      ...entryStatements(db, run, change),
      ...outcomeStatements(db, run, { ...change, measured: measured ?? null }, facts),
      ...(hasEffect(change.state, "place-at-destination") ? placeAtDestination(db, run, change.at) : []),
      ...(next === null ? [] : [db.insert(migrations).values(runRow(next))]),
      ...(clear === null ? [] : [pendingStatement(db, clear)]),
      ...eventStatements(db, runEvents(run, change), change.at),
    ]);
    return true;
  } catch (error) {
    if (failedGuard(error) === "migrations.version") return false;
    throw error;
  }
}

export type RunFacts = { hypervisor: Hypervisor; driver: DriverName };

const lessonOf = (run: MigrationRun, change: Ending, facts: RunFacts): string | null => {
  const { cluster, vmUuid: subject, predicted } = run;
  const { state, failure, measured, at } = change;
  if (state !== "completed" && state !== "cancelled" && state !== "failed") return null;
  const lesson = outcomeOf({
    cluster,
    ...facts,
    subject,
    predicted,
    state,
    reason: failure?.reason ?? null,
    measured,
    at,
  });
  return lesson === null ? null : JSON.stringify(lesson);
};

type Ending = Pick<RunChange, "state" | "failure" | "at"> & { measured: Outcome | null };

/** An outcome is kept of every run, also where nothing was measured. */
function outcomeStatements(db: Db, run: MigrationRun, change: Ending, facts: RunFacts) {
  const lesson = lessonOf(run, change, facts);
  const row = {
    migrationId: run.migrationId,
    cluster: run.cluster,
    ...facts,
    mechanism: run.mechanism,
    state: change.state,
    predicted: JSON.stringify(run.predicted),
    measured: JSON.stringify(change.measured ?? {}),
    recordedAt: change.at,
    lesson,
  };
  return [db.insert(outcomes).values(row).onConflictDoNothing()];
}

const placeAtDestination = (db: Db, { cluster, vmUuid, toHostId }: MigrationRun, at: number) => [
  db
    .update(vms)
    .set({ hostId: toHostId, state: "running", lastMovedAt: at, updatedAt: at })
    .where(and(eq(vms.cluster, cluster), eq(vms.uuid, vmUuid))),
  ...placeStatements(db, cluster, vmUuid, toHostId, at),
];

/** The source's account of a run that was completed without it; a run that has one keeps it. */
export async function lateOutcome(
  db: Db,
  run: MigrationRun,
  measured: Outcome,
  at: number,
  facts: RunFacts,
): Promise<void> {
  const text = JSON.stringify(measured);
  const lesson = lessonOf(run, { state: "completed", at, measured }, facts);
  await db.batch([
    db
      .update(migrations)
      .set({ measured: text })
      .where(and(eq(migrations.id, run.migrationId), eq(migrations.state, "completed"), isNull(migrations.measured))),
    db
      .insert(outcomes)
      .select(sql`SELECT m.id, m.cluster, ${facts.hypervisor}, ${facts.driver}, m.mechanism, m.state, m.predicted, m.measured,
        ${at}, ${lesson}
      FROM migrations m WHERE m.id = ${run.migrationId} AND m.state = 'completed' AND m.measured = ${text}`)
      .onConflictDoUpdate({
        target: outcomes.migrationId,
        set: { measured: sql`excluded.measured`, lesson: sql`excluded.lesson`, recordedAt: at },
        setWhere: sql`${outcomes.measured} = '{}'`,
      }),
  ]);
}
