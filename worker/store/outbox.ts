// Events: written in the batch of the change that they tell of, and read when they are fanned out.
import { and, asc, gt, gte, inArray, isNull, lt, type SQL, sql } from "drizzle-orm";
import type { PlanStateEvent } from "../model/webhooks/drafts.ts";
import { EVENTS, type EventDraft } from "../model/webhooks/events.ts";
import type { NewDelivery, Occurrence } from "../model/webhooks/fan-out.ts";
import type { Db } from "./db.ts";
import { deliveries, outbox, plans } from "./schema.ts";

/** Called when events have been committed; what it does may fail, Cron finds them all the same. */
export type Wake = () => void;

const NEW_ID = sql<string>`'evt_' || lower(hex(randomblob(16)))`;

/** To be put into the batch of the change. */
export const eventStatements = (db: Db, drafts: readonly EventDraft[], at: number) =>
  drafts.map(({ type, cluster, subject, data }) =>
    db
      .insert(outbox)
      .values({ id: NEW_ID, type, version: EVENTS[type].version, at, cluster, subject, data: JSON.stringify(data) }),
  );

/** One event for each plan for which `which` holds: to be put before the statement that changes them. */
export const planStateStatement = (db: Db, type: PlanStateEvent, which: SQL | undefined, at: number) =>
  db.insert(outbox)
    .select(sql`SELECT NULL, ${NEW_ID}, ${type}, ${EVENTS[type].version}, ${at}, ${plans.cluster}, ${plans.id},
    json_object('planId', ${plans.id}, 'goal', ${plans.goal}, 'policyId', ${plans.policyId}), NULL
    FROM ${plans} WHERE ${which ?? sql`1`}`);

/** A delivery to be made, with its own id and times. */
export type DeliveryRow = NewDelivery & { id: string; round: string; at: number; expiresAt: number };

/** Rows travel as one JSON parameter: D1 takes a hundred parameters a statement. What is there already stays as it is. */
export const deliveryStatement = (db: Db, rows: readonly DeliveryRow[]) =>
  db
    .insert(deliveries)
    .select(
      sql`SELECT value ->> 'id', value ->> 'sequence', value ->> 'kind', value ->> 'targetId', value ->> 'round', value ->> 'subject',
        'pending', 0, value ->> 'at', value ->> 'at', value ->> 'expiresAt', NULL, NULL FROM json_each(${JSON.stringify(rows)}) WHERE true`,
    )
    .onConflictDoNothing();

const OCCURRENCE = {
  at: outbox.at,
  sequence: outbox.sequence,
  type: outbox.type,
  cluster: outbox.cluster,
  subject: outbox.subject,
  planId: sql<string | null>`json_extract(${outbox.data}, '$.planId')`,
};

export function outboxStore(db: Db) {
  return {
    /** Events whose deliveries are still to be made, oldest first. */
    waiting: async (limit: number): Promise<Occurrence[]> =>
      db.select(OCCURRENCE).from(outbox).where(isNull(outbox.fannedOutAt)).orderBy(asc(outbox.sequence)).limit(limit),

    /** Makes the deliveries of events, once, however often it is done. */
    fannedOut: async (sequences: readonly number[], rows: readonly DeliveryRow[], now: number) => {
      const done = db
        .update(outbox)
        .set({ fannedOutAt: now })
        .where(inArray(outbox.sequence, sql`(SELECT value FROM json_each(${JSON.stringify(sequences)}))`));
      await (rows.length === 0 ? done : db.batch([deliveryStatement(db, rows), done]));
    },

    /** Events that happened in [from, to), in their order, after a sequence number. */
    between: async (from: number, to: number, after: number, limit: number): Promise<(Occurrence & { at: number })[]> =>
      db
        .select(OCCURRENCE)
        .from(outbox)
        .where(and(gte(outbox.at, from), lt(outbox.at, to), gt(outbox.sequence, after)))
        .orderBy(asc(outbox.sequence))
        .limit(limit),

    /** How many wait to be fanned out. */
    waitingCount: async (): Promise<number> => db.$count(outbox, isNull(outbox.fannedOutAt)),

    /** Deletes what happened before, and was fanned out; at most `limit` rows. */
    forget: async (before: number, limit: number) => {
      await db
        .delete(outbox)
        .where(
          inArray(
            outbox.sequence,
            sql`(SELECT sequence FROM outbox WHERE at < ${before} AND fanned_out_at IS NOT NULL LIMIT ${limit})`,
          ),
        );
    },
  };
}
