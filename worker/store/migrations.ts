// Migration runs, their timeline, reservations and outcomes.
import { and, asc, desc, eq, gt, inArray, isNull, lt, or, sql } from "drizzle-orm";
import { z } from "zod";
import type { Continuity, LiveRun, MigrationRun, RunChange, TimelineEntry } from "../model/run.ts";
import { RUN_STATES, type RunState } from "../model/lifecycle.ts";
import { type MigrationEvent, type Outcome, type Progress, progress } from "../model/wire/event.ts";
import type { MechanismEstimate } from "../model/migration/types.ts";
import type { CommandRecord } from "../model/run.ts";
import {
  type ClaimLimits,
  type Follows,
  type RunFacts,
  claim,
  columnsOf,
  end,
  entryStatement,
  entryStatements,
  lateOutcome,
  nextNumber,
} from "./claims.ts";
import { runEvents, unreachableEvents } from "../model/webhooks/drafts.ts";
import { pendingStatement } from "./commands.ts";
import { type Db, failedGuard } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { parsed, toRun } from "./run-rows.ts";
import { migrationEvents, migrations } from "./schema.ts";

const TIMELINE_MAX = 1000;

const toEntry = ({ migrationId: _, body, ...entry }: typeof migrationEvents.$inferSelect): TimelineEntry => ({
  ...entry,
  body: JSON.parse(body) as unknown,
});

export function migrationStore(db: Db, wake: Wake) {
  /** Passes on what came of a batch, and that it has written events where it has. */
  const woken = async <R>(done: Promise<R>, isDone: (result: R) => boolean): Promise<R> => {
    const result = await done;
    if (isDone(result)) wake();
    return result;
  };

  /** Stores an event, once. */
  const eventStatement = (migrationId: string, event: MigrationEvent, verdict: string, receivedAt: number) => {
    const { hostId, bootId, sequence, type, at } = event;
    const [body, number] = [JSON.stringify(event), nextNumber(migrationId)];
    return db
      .insert(migrationEvents)
      .values({ migrationId, hostId, bootId, sequence, type, at, receivedAt, verdict, body, number })
      .onConflictDoNothing();
  };

  const entriesAfter = (migrationId: string, after: number, limit: number) =>
    db
      .select()
      .from(migrationEvents)
      .where(and(eq(migrationEvents.migrationId, migrationId), gt(migrationEvents.number, after)))
      .orderBy(asc(migrationEvents.number))
      .limit(limit);

  return {
    byId: async (migrationId: string): Promise<MigrationRun | null> => {
      const row = await db.select().from(migrations).where(eq(migrations.id, migrationId)).get();
      return row ? toRun(row) : null;
    },

    /** Newest first, or in the order of the plan when `planId` is given; `after` is the last id of the page before. */
    list: async (filter: {
      planId: string | null;
      cluster: string | null;
      active: boolean;
      after: string | null;
      limit: number;
    }): Promise<MigrationRun[]> => {
      const { planId, cluster, active, after, limit } = filter;
      // Ids sort by time of making, and the runs of a plan are made in its order.
      const inPlanOrder = planId !== null;
      const beyond = after === null ? undefined : inPlanOrder ? gt(migrations.id, after) : lt(migrations.id, after);
      const rows = await db
        .select()
        .from(migrations)
        .where(
          and(
            planId === null ? undefined : eq(migrations.planId, planId),
            cluster === null ? undefined : eq(migrations.cluster, cluster),
            active ? isNull(migrations.endedAt) : undefined,
            beyond,
          ),
        )
        .orderBy(inPlanOrder ? asc(migrations.id) : desc(migrations.id))
        .limit(limit);
      return rows.map(toRun);
    },

    ofPlan: async (planId: string): Promise<MigrationRun[]> =>
      (await db.select().from(migrations).where(eq(migrations.planId, planId)).orderBy(asc(migrations.moveNumber))).map(
        toRun,
      ),

    /** Runs that have not ended and touch this host. */
    activeOn: async (hostId: string): Promise<{ migrationId: string; state: RunState }[]> =>
      (
        await db
          .select({ migrationId: migrations.id, state: migrations.state })
          .from(migrations)
          .where(
            and(isNull(migrations.endedAt), or(eq(migrations.fromHostId, hostId), eq(migrations.toHostId, hostId))),
          )
      ).map((row) => ({ migrationId: row.migrationId, state: z.enum(RUN_STATES).parse(row.state) })),

    /** Runs that have not ended, in the order of their making. */
    activeIn: async (cluster: string | null): Promise<{ migrationId: string }[]> =>
      db
        .select({ migrationId: migrations.id })
        .from(migrations)
        .where(and(isNull(migrations.endedAt), cluster === null ? undefined : eq(migrations.cluster, cluster)))
        .orderBy(asc(migrations.id)),

    /** VMs of this cluster with an active run. */
    busyVms: async (cluster: string, uuids: string[]): Promise<string[]> =>
      uuids.length === 0
        ? []
        : (
            await db
              .select({ uuid: migrations.vmUuid })
              .from(migrations)
              .where(
                and(
                  eq(migrations.cluster, cluster),
                  isNull(migrations.endedAt),
                  inArray(migrations.vmUuid, uuids.slice(0, 90)),
                ),
              )
          ).map((row) => row.uuid),

    claim: (
      run: MigrationRun,
      need: { cpuCores: number; predicted: MechanismEstimate },
      limits: ClaimLimits,
      now: number,
    ) => woken(claim(db, run, need, limits, now), (result) => result === "claimed"),

    /** Moves a run on; with `command`, a command to an agent is written in the same batch. False: the run has changed meanwhile. */
    step: async (run: MigrationRun, change: RunChange, command?: CommandRecord): Promise<boolean> => {
      const events = runEvents(run, change);
      try {
        await db.batch([
          db.update(migrations).set(columnsOf(run, change)).where(eq(migrations.id, run.migrationId)),
          ...entryStatements(db, run, change),
          ...(command ? [pendingStatement(db, command)] : []),
          ...eventStatements(db, events, change.at),
        ]);
        if (events.length > 0) wake();
        return true;
      } catch (error) {
        if (failedGuard(error) === "migrations.version") return false;
        throw error;
      }
    },

    /** Ends a run, with all that goes with its end, in one batch. False: the run has changed meanwhile. */
    end: (run: MigrationRun, change: RunChange, facts: RunFacts, follows: Follows) =>
      woken(end(db, run, change, facts, follows), (isEnded) => isEnded),

    /** The source's account of a run that was completed without it; no other run takes one after its end. */
    lateOutcome: (run: MigrationRun, measured: Outcome, at: number, facts: RunFacts) =>
      lateOutcome(db, run, measured, at, facts),

    /** Writes what a running migration last said. No version: it moves nothing. */
    setProgress: async (migrationId: string, value: Progress, at: number) => {
      await db
        .update(migrations)
        .set({ progress: JSON.stringify(value), lastEventAt: at })
        .where(and(eq(migrations.id, migrationId), isNull(migrations.endedAt)));
    },

    /** A note of the edge in the timeline that moves nothing: once for each kind and version of the run. */
    addNote: async (run: MigrationRun, kind: string, why: string, at: number): Promise<void> => {
      const entry = { bootId: kind, type: kind, why, sequence: run.version, at, verdict: `noted: ${why}` };
      await entryStatement(db, run, entry);
    },

    addEvent: async (
      migrationId: string,
      event: MigrationEvent,
      verdict: string,
      receivedAt: number,
    ): Promise<void> => {
      await eventStatement(migrationId, event, verdict, receivedAt);
    },

    /**
     * An event that says how the network has followed the VM, with what is known of that from now on and what is told of it;
     * whether the run has ended does not matter.
     */
    addContinuity: async (
      run: MigrationRun,
      event: MigrationEvent,
      verdict: string,
      known: Continuity,
      at: number,
    ): Promise<void> => {
      const told = unreachableEvents(run, event);
      await db.batch([
        eventStatement(run.migrationId, event, verdict, at),
        db
          .update(migrations)
          .set({ continuity: sql`json_patch(coalesce(${migrations.continuity}, '{}'), ${JSON.stringify(known)})` })
          .where(eq(migrations.id, run.migrationId)),
        ...eventStatements(db, told, at),
      ]);
      if (told.length > 0) wake();
    },

    hasEvent: async (migrationId: string, event: MigrationEvent): Promise<boolean> => {
      const row = await db
        .select({ sequence: migrationEvents.sequence })
        .from(migrationEvents)
        .where(
          and(
            eq(migrationEvents.migrationId, migrationId),
            eq(migrationEvents.hostId, event.hostId),
            eq(migrationEvents.bootId, event.bootId),
            eq(migrationEvents.sequence, event.sequence),
          ),
        )
        .get();
      return row !== undefined;
    },

    /** At most a thousand entries, after the one with that number. */
    timeline: async (migrationId: string, after = 0): Promise<TimelineEntry[]> =>
      (await entriesAfter(migrationId, after, TIMELINE_MAX)).map(toEntry),

    /** How a run stands, and the entries after the one with that number, in one read; null: there is no such run. */
    look: async (
      migrationId: string,
      after: number,
      limit: number,
    ): Promise<{ run: LiveRun; entries: TimelineEntry[] } | null> => {
      const { state, version, progress: told, endedAt } = migrations;
      const [[row], entries] = await db.batch([
        db.select({ state, version, progress: told, endedAt }).from(migrations).where(eq(migrations.id, migrationId)),
        entriesAfter(migrationId, after, limit),
      ]);
      if (row === undefined) return null;
      const run = { ...row, state: z.enum(RUN_STATES).parse(row.state), progress: parsed(progress, row.progress) };
      return { run, entries: entries.map(toEntry) };
    },
  };
}
