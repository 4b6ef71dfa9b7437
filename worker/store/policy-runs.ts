// The runs of policies: one row each time one was due, which is also what keeps it from happening twice.
import { and, asc, desc, eq, gt, gte, isNotNull, isNull, lt, lte, type SQL, sql } from "drizzle-orm";
import { policyMode } from "../model/policy/policy.ts";
import type { PolicyMode } from "../model/policy/policy.ts";
import { type PolicyRun, type RunTrigger, runNumbers, runOutcome, runTrigger } from "../model/policy/run.ts";
import type { ShadowRun } from "../model/policy/shadow.ts";
import type { AuditEntry } from "../model/principal.ts";
import { auditRow } from "./audit.ts";
import type { EventDraft } from "../model/webhooks/events.ts";
import type { Db } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { audit, policies, policyRuns } from "./schema.ts";

const toRun = (row: typeof policyRuns.$inferSelect): PolicyRun => ({
  runId: row.id,
  policyId: row.policyId,
  cluster: row.cluster,
  trigger: runTrigger.parse(JSON.parse(row.trigger)),
  dueAt: row.dueAt,
  startedAt: row.startedAt,
  endedAt: row.endedAt,
  mode: row.mode === null ? null : policyMode.parse(row.mode),
  outcome: row.outcome === null ? null : runOutcome.parse(row.outcome),
  planId: row.planId,
  summary: row.summary,
  alarm: row.alarm,
  numbers: row.numbers === null ? null : runNumbers.parse(JSON.parse(row.numbers)),
});

export type NewPolicyRun = {
  runId: string;
  policyId: string;
  cluster: string;
  trigger: RunTrigger;
  createdAt: number;
  dueAt: number;
};

export type RunEnd = Pick<PolicyRun, "outcome" | "planId" | "summary" | "alarm" | "numbers">;

const endColumns = ({ outcome, planId, summary, alarm, numbers }: RunEnd) => ({
  outcome,
  planId,
  summary,
  alarm,
  numbers: numbers === null ? null : JSON.stringify(numbers),
});

/** An event for a policy. Nothing is noted where one with this key came after `since`. */
export type EventRun = { run: NewPolicyRun; key: string; since: number };

/** Notes events. `onlyIf` may ask for more of `e.value`, the event and what the caller has put beside it. */
export const eventRunStatement = (db: Db, runs: readonly EventRun[], onlyIf: SQL) => {
  const rows = runs.map(({ run: { trigger, ...run }, ...rest }) => ({
    ...rest,
    ...run,
    trigger: JSON.stringify(trigger),
  }));
  return db
    .insert(policyRuns)
    .select(
      sql`SELECT e.value ->> 'runId', e.value ->> 'policyId', e.value ->> 'cluster', e.value ->> 'runId', e.value ->> 'key',
          e.value ->> 'trigger', e.value ->> 'createdAt', e.value ->> 'dueAt', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
        FROM json_each(${JSON.stringify(rows)}) e
        WHERE ${onlyIf} AND NOT EXISTS (SELECT 1 FROM ${policyRuns} r WHERE r.policy_id = e.value ->> 'policyId'
          AND r.created_at > e.value ->> 'since' AND r.event_key = e.value ->> 'key')`,
    )
    .returning({ id: policyRuns.id, policyId: policyRuns.policyId });
};

export function policyRunStore(db: Db, wake: Wake) {
  const row = (run: NewPolicyRun, dueKey: string) => ({
    id: run.runId,
    policyId: run.policyId,
    cluster: run.cluster,
    dueKey,
    trigger: JSON.stringify(run.trigger),
    createdAt: run.createdAt,
    dueAt: run.dueAt,
  });

  return {
    /** Notes that a policy is due; a due time is noted once, however many ask. */
    addDue: async (run: NewPolicyRun) => {
      await db.batch([
        db
          .insert(policyRuns)
          .values(row(run, `due ${run.dueAt}`))
          .onConflictDoNothing(),
        db
          .update(policies)
          .set({ lastDueAt: sql`MAX(COALESCE(${policies.lastDueAt}, 0), ${run.dueAt})` })
          .where(eq(policies.id, run.policyId)),
      ]);
    },

    /** Notes an event; false: one with this key came after `since`. */
    addEvent: async (run: NewPolicyRun, key: string, since: number): Promise<boolean> => {
      const [added] = await db.batch([eventRunStatement(db, [{ run, key, since }], sql`1`)]);
      return added.length > 0;
    },

    addManual: async (run: NewPolicyRun, entry: AuditEntry) => {
      await db.batch([
        db.insert(policyRuns).values(row(run, run.runId)),
        db.insert(audit).values(auditRow(entry, run.createdAt)),
      ]);
    },

    /** Starts a run that waits. False: it was started before, or another run of the policy is under way. */
    take: async (run: Pick<PolicyRun, "runId" | "policyId">, mode: PolicyMode, now: number): Promise<boolean> => {
      const [taken] = await db.batch([
        db
          .update(policyRuns)
          .set({ startedAt: now, mode })
          .where(
            and(
              eq(policyRuns.id, run.runId),
              isNull(policyRuns.startedAt),
              sql`NOT EXISTS (SELECT 1 FROM ${policyRuns} r
                WHERE r.policy_id = ${run.policyId} AND r.started_at IS NOT NULL AND r.ended_at IS NULL)`,
            ),
          )
          .returning({ id: policyRuns.id }),
        db
          .update(policies)
          .set({ lastStartedAt: now })
          .where(
            and(
              eq(policies.id, run.policyId),
              sql`EXISTS (SELECT 1 FROM ${policyRuns} r WHERE r.id = ${run.runId} AND r.started_at = ${now} AND r.ended_at IS NULL)`,
            ),
          ),
      ]);
      return taken.length > 0;
    },

    finish: async (runId: string, end: RunEnd, now: number, events: readonly EventDraft[] = []) => {
      await db.batch([
        db
          .update(policyRuns)
          .set({ ...endColumns(end), endedAt: now })
          .where(and(eq(policyRuns.id, runId), isNull(policyRuns.endedAt))),
        ...eventStatements(db, events, now),
      ]);
      if (events.length > 0) wake();
    },

    /** A plan that waited was approved: the run that proposed it says so. */
    approved: async (planId: string, policyId: string, summary: string, moves: number[]) => {
      await db
        .update(policyRuns)
        .set({
          outcome: "approved",
          summary,
          numbers: sql`json_set(${policyRuns.numbers}, '$.approved', json(${JSON.stringify(moves)}))`,
        })
        .where(
          and(eq(policyRuns.policyId, policyId), eq(policyRuns.planId, planId), eq(policyRuns.outcome, "proposed")),
        );
    },

    /** Takes a run back that could not be started. */
    withdraw: async (runId: string) => {
      await db.delete(policyRuns).where(and(eq(policyRuns.id, runId), isNull(policyRuns.startedAt)));
    },

    byId: async (runId: string): Promise<PolicyRun | null> => {
      const found = await db.select().from(policyRuns).where(eq(policyRuns.id, runId)).get();
      return found ? toRun(found) : null;
    },

    /** Runs whose time has come and that wait, oldest first. */
    waiting: async (now: number, limit: number): Promise<PolicyRun[]> =>
      (
        await db
          .select()
          .from(policyRuns)
          .where(and(isNull(policyRuns.endedAt), isNull(policyRuns.startedAt), lte(policyRuns.dueAt, now)))
          .orderBy(asc(policyRuns.dueAt))
          .limit(limit)
      ).map(toRun),

    /** Ends runs that were started before `before` and never ended: what ran them is gone. */
    failInterrupted: async (before: number, summary: string, now: number) => {
      await db
        .update(policyRuns)
        .set({ outcome: "failed", summary, endedAt: now })
        .where(and(isNull(policyRuns.endedAt), isNotNull(policyRuns.startedAt), lt(policyRuns.startedAt, before)));
    },

    /** Newest first; `before` is the id of the last run of the page before. */
    list: async (policyId: string, before: string | null, limit: number): Promise<PolicyRun[]> =>
      (
        await db
          .select()
          .from(policyRuns)
          .where(and(eq(policyRuns.policyId, policyId), before === null ? undefined : lt(policyRuns.id, before)))
          .orderBy(desc(policyRuns.id))
          .limit(limit)
      ).map(toRun),

    /** Runs that found out how the cluster was, in [from, to), oldest first. */
    measured: async (policyId: string, from: number, to: number, limit: number): Promise<PolicyRun[]> =>
      (
        await db
          .select()
          .from(policyRuns)
          .where(
            and(
              eq(policyRuns.policyId, policyId),
              gte(policyRuns.createdAt, from),
              lt(policyRuns.createdAt, to),
              isNotNull(policyRuns.numbers),
            ),
          )
          .orderBy(asc(policyRuns.createdAt))
          .limit(limit)
      ).map(toRun),

    /** What it would have done in shadow since `since`, oldest first. */
    shadowed: async (policyId: string, since: number): Promise<ShadowRun[]> =>
      (
        await db
          .select({ at: policyRuns.startedAt, numbers: policyRuns.numbers })
          .from(policyRuns)
          .where(
            and(
              eq(policyRuns.policyId, policyId),
              eq(policyRuns.outcome, "shadowed"),
              gt(policyRuns.createdAt, since),
              isNotNull(policyRuns.numbers),
            ),
          )
          .orderBy(asc(policyRuns.startedAt))
      ).flatMap(({ at, numbers }) => {
        const done = runNumbers.parse(JSON.parse(numbers ?? "")).simulated;
        return done === undefined || at === null ? [] : [{ ...done, at }];
      }),

    /** The first run that found out how the cluster was, of those that were made at or after `from`. */
    firstMeasured: async (policyId: string, from: number): Promise<PolicyRun | null> => {
      const found = await db
        .select()
        .from(policyRuns)
        .where(and(eq(policyRuns.policyId, policyId), gte(policyRuns.createdAt, from), isNotNull(policyRuns.numbers)))
        .orderBy(asc(policyRuns.createdAt))
        .limit(1)
        .get();
      return found ? toRun(found) : null;
    },

    /** Deletes what ended before `before`. */
    forget: async (before: number) => {
      await db.delete(policyRuns).where(and(isNotNull(policyRuns.endedAt), lt(policyRuns.createdAt, before)));
    },
  };
}
