// Inbound triggers, and what their alerts came to.
import { and, asc, desc, eq, gt, inArray, lt, sql } from "drizzle-orm";
import type { AuditEntry } from "../model/principal.ts";
import { type AlertRecord, alertOutcome, alertStatus, storedTrigger, type Trigger } from "../model/triggers/trigger.ts";
import { HOUR_MS } from "../model/units.ts";
import { auditRow } from "./audit.ts";
import { type Db, failedGuard, isUniqueViolation } from "./db.ts";
import { type EventRun, eventRunStatement } from "./policy-runs.ts";
import { audit, policyRuns, triggerAlerts, triggers } from "./schema.ts";

/** A trigger with the hash of its token: never for an answer. */
export type TriggerRecord = Omit<Trigger, "url"> & { tokenHash: string };

const toRecord = ({ id, definition, ...row }: typeof triggers.$inferSelect): TriggerRecord => ({
  ...row,
  triggerId: id,
  ...storedTrigger.parse(JSON.parse(definition)),
});

const columnsOf = (record: TriggerRecord) => ({
  cluster: record.cluster,
  name: record.name,
  enabled: record.enabled,
  definition: JSON.stringify(storedTrigger.parse(pickStored(record))),
  tokenHash: record.tokenHash,
  updatedAt: record.updatedAt,
});

const pickStored = ({ source, event, policyId, dedupeMs, startsPerHourMax }: TriggerRecord) => ({
  source,
  event,
  policyId,
  dedupeMs,
  startsPerHourMax,
});

/** An alert as it came, with the runs that are to be noted where it starts something. */
export type NewAlert = Omit<AlertRecord, "at" | "seenAt" | "times"> & { runs: readonly EventRun[]; entry: AuditEntry };

export function triggerStore(db: Db) {
  /** Counts an alert with the one that it repeats; where there is none, writes it down, limited or not. */
  const alertStatements = ({ triggerId, dedupeMs, startsPerHourMax }: TriggerRecord, alert: NewAlert, now: number) => {
    const { alertId, key, status, hostId, vm, outcome, why } = alert;
    const isSame = sql`trigger_id = ${triggerId} AND key = ${key} AND outcome = ${outcome} AND at > ${now - dedupeMs}`;
    const isLimited = sql`${outcome} = 'started' AND (SELECT count(*) FROM ${triggerAlerts}
      WHERE trigger_id = ${triggerId} AND outcome = 'started' AND at > ${now - HOUR_MS}) >= ${startsPerHourMax}`;
    return [
      db.insert(triggerAlerts).select(
        sql`SELECT ${alertId}, ${triggerId}, ${key}, ${status}, ${hostId}, ${vm}, CASE WHEN ${isLimited} THEN 'rate-limited' ELSE ${outcome} END,
            ${why}, ${now}, ${now}, 0 WHERE NOT EXISTS (SELECT 1 FROM ${triggerAlerts} WHERE ${isSame})`,
      ),
      // The newest is the one that was just written, or the one that this repeats.
      db
        .update(triggerAlerts)
        .set({ times: sql`${triggerAlerts.times} + 1`, seenAt: now })
        .where(
          sql`${triggerAlerts.id} = COALESCE((SELECT id FROM ${triggerAlerts} WHERE id = ${alertId}),
            (SELECT id FROM ${triggerAlerts} WHERE ${isSame} ORDER BY at DESC LIMIT 1))`,
        ),
    ];
  };

  return {
    byId: async (triggerId: string): Promise<TriggerRecord | null> => {
      const row = await db.select().from(triggers).where(eq(triggers.id, triggerId)).get();
      return row ? toRecord(row) : null;
    },

    /** In the order in which they were made. */
    list: async (cluster: string | null, after: string | null, limit: number): Promise<TriggerRecord[]> =>
      (
        await db
          .select()
          .from(triggers)
          .where(
            and(
              cluster === null ? undefined : eq(triggers.cluster, cluster),
              after === null ? undefined : gt(triggers.id, after),
            ),
          )
          .orderBy(asc(triggers.id))
          .limit(limit)
      ).map(toRecord),

    count: async (): Promise<number> => db.$count(triggers),

    /** False: the cluster has another one of this name. */
    insert: async (record: TriggerRecord, entry: AuditEntry): Promise<boolean> => {
      const { triggerId, version, createdBy, createdAt } = record;
      try {
        await db.batch([
          db.insert(triggers).values({ id: triggerId, version, createdBy, createdAt, ...columnsOf(record) }),
          db.insert(audit).values(auditRow(entry, createdAt)),
        ]);
        return true;
      } catch (error) {
        if (isUniqueViolation(error)) return false;
        throw error;
      }
    },

    /** `record.version` is the new one, one above that which was read. `stale`: it has changed meanwhile, or is gone. */
    update: async (record: TriggerRecord, entry: AuditEntry): Promise<"done" | "stale" | "name-taken"> => {
      const guarded = sql<number>`CASE WHEN ${triggers.version} = ${record.version - 1} THEN ${record.version} END`;
      try {
        const [changed] = await db.batch([
          db
            .update(triggers)
            .set({ ...columnsOf(record), version: guarded })
            .where(eq(triggers.id, record.triggerId))
            .returning({ id: triggers.id }),
          db.insert(audit).values(auditRow(entry, record.updatedAt)),
        ]);
        return changed.length > 0 ? "done" : "stale";
      } catch (error) {
        if (failedGuard(error) === "triggers.version") return "stale";
        if (isUniqueViolation(error)) return "name-taken";
        throw error;
      }
    },

    /** What its alerts came to goes with it. */
    remove: async (triggerId: string, entry: AuditEntry, at: number) => {
      await db.batch([
        db.delete(triggers).where(eq(triggers.id, triggerId)),
        db.delete(triggerAlerts).where(eq(triggerAlerts.triggerId, triggerId)),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
    },

    /**
     * Takes the alerts of one body: all of it, with the runs that they start and their audit entries, or nothing. An alert
     * without an outcome repeats one that came before; `runIds` are those that were noted.
     */
    take: async (trigger: TriggerRecord, alerts: readonly NewAlert[], now: number) => {
      const runs = alerts.flatMap(({ alertId, runs: own }) => own.map((one) => ({ ...one, alertId })));
      const entries = alerts.map(({ alertId, entry }) => ({ alertId, ...auditRow(entry, now) }));
      const isStarted = sql`EXISTS (SELECT 1 FROM ${triggerAlerts} a WHERE a.id = e.value ->> 'alertId' AND a.outcome = 'started')`;
      await db.batch([
        db.update(triggers).set({ lastAlertAt: now }).where(eq(triggers.id, trigger.triggerId)),
        ...alerts.flatMap((alert) => alertStatements(trigger, alert, now)),
        eventRunStatement(db, runs, isStarted),
        db.insert(audit).select(
          sql`SELECT NULL, e.value ->> 'at', e.value ->> 'actor', e.value ->> 'action', e.value ->> 'subject', e.value ->> 'reason',
              e.value ->> 'detail' FROM json_each(${JSON.stringify(entries)}) e WHERE ${isStarted}`,
        ),
      ]);
      const oneOf = (ids: readonly string[]) => sql`(SELECT value FROM json_each(${JSON.stringify(ids)}))`;
      const [taken, noted] = await db.batch([
        db
          .select({ alertId: triggerAlerts.id, outcome: triggerAlerts.outcome })
          .from(triggerAlerts)
          .where(inArray(triggerAlerts.id, oneOf(alerts.map(({ alertId }) => alertId)))),
        db
          .select({ runId: policyRuns.id })
          .from(policyRuns)
          .where(inArray(policyRuns.id, oneOf(runs.map(({ run }) => run.runId)))),
      ]);
      return {
        outcomes: new Map(taken.map(({ alertId, outcome }) => [alertId, alertOutcome.parse(outcome)])),
        runIds: new Set(noted.map(({ runId }) => runId)),
      };
    },

    /** Newest first; `before` is the id of the last one of the page before. */
    alerts: async (triggerId: string, before: string | null, limit: number): Promise<AlertRecord[]> =>
      (
        await db
          .select()
          .from(triggerAlerts)
          .where(
            and(eq(triggerAlerts.triggerId, triggerId), before === null ? undefined : lt(triggerAlerts.id, before)),
          )
          .orderBy(desc(triggerAlerts.id))
          .limit(limit)
      ).map(({ id, triggerId: _, status, outcome, ...row }) => ({
        ...row,
        alertId: id,
        status: status === null ? null : alertStatus.parse(status),
        outcome: alertOutcome.parse(outcome),
      })),

    /** Deletes what came before; at most `limit` rows. */
    forget: async (before: number, limit: number) => {
      await db
        .delete(triggerAlerts)
        .where(inArray(triggerAlerts.id, sql`(SELECT id FROM trigger_alerts WHERE at < ${before} LIMIT ${limit})`));
    },
  };
}
