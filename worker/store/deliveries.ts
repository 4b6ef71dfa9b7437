// Deliveries of events to targets, and the attempts that were made.
import { and, asc, desc, eq, gte, inArray, lt, lte, ne, sql } from "drizzle-orm";
import { z } from "zod";
import type { EventDraft, StoredEvent } from "../model/webhooks/events.ts";
import type { Waiting } from "../model/webhooks/order.ts";
import type { NextAttempt } from "../model/webhooks/schedule.ts";
import { attempt as attemptSchema, type Attempt, type Delivery, deliveryState } from "../model/webhooks/webhook.ts";
import type { Db } from "./db.ts";
import { type DeliveryRow, deliveryStatement, eventStatements, type Wake } from "./outbox.ts";
import { deliveries, deliveryAttempts, outbox } from "./schema.ts";
import { type WaveEnd, waveStatements } from "./webhooks.ts";

/** A delivery that is due, with what is to be sent. */
export type DueDelivery = Waiting & { attempts: number; expiresAt: number; event: StoredEvent };
/** What came of one attempt. */
export type Attempted = { deliveryId: string; attempt: Attempt; next: NextAttempt };

const { request, answer } = attemptSchema.shape;
const dataSchema = z.record(z.string(), z.unknown());

const toAttempt = (row: typeof deliveryAttempts.$inferSelect): Attempt => ({
  number: row.number,
  at: row.at,
  durationMs: row.durationMs,
  request: request.parse(JSON.parse(row.request)),
  answer: row.answer === null ? null : answer.parse(JSON.parse(row.answer)),
  error: row.error,
});

const EVENT = {
  eventId: outbox.id,
  sequence: outbox.sequence,
  type: outbox.type,
  version: outbox.version,
  at: outbox.at,
  cluster: outbox.cluster,
  subject: outbox.subject,
};

const originOf = (round: string): Delivery["origin"] =>
  round === "" ? "event" : round.startsWith("tst_") ? "test" : "replay";

type Row = typeof deliveries.$inferSelect;
const toDelivery = (
  row: Row,
  event: Omit<StoredEvent, "data">,
  last: typeof deliveryAttempts.$inferSelect | null,
): Delivery => {
  const state = deliveryState.parse(row.state);
  return {
    deliveryId: row.id,
    webhookId: row.targetId,
    eventId: event.eventId,
    type: event.type,
    subject: event.subject,
    origin: originOf(row.round),
    state,
    attempts: row.attempts,
    nextAttemptAt: state === "pending" ? row.nextAttemptAt : null,
    happenedAt: event.at,
    createdAt: row.createdAt,
    endedAt: row.endedAt,
    why: row.why,
    last: last === null ? null : toAttempt(last),
  };
};

/** A literal: with a parameter SQLite would not see that the partial indexes hold. */
const PENDING = sql`${deliveries.state} = 'pending'`;

const isHead = sql`(${deliveries.subject} IS NULL OR NOT EXISTS (SELECT 1 FROM deliveries e WHERE e.target_id = ${deliveries.targetId}
  AND e.state = 'pending' AND e.subject = ${deliveries.subject}
  AND (e.sequence < ${deliveries.sequence} OR (e.sequence = ${deliveries.sequence} AND e.id < ${deliveries.id}))))`;

export function deliveryStore(db: Db, wake: Wake) {
  const isPendingOf = (targetId: string) => and(eq(deliveries.targetId, targetId), PENDING);
  const found = () =>
    db
      .select({ row: deliveries, event: EVENT, last: deliveryAttempts })
      .from(deliveries)
      .innerJoin(outbox, eq(outbox.sequence, deliveries.sequence))
      .leftJoin(
        deliveryAttempts,
        and(eq(deliveryAttempts.deliveryId, deliveries.id), eq(deliveryAttempts.number, deliveries.attempts)),
      );
  const resultStatements = ({ deliveryId, attempt, next }: Attempted, now: number) => [
    db
      .update(deliveries)
      .set({
        state: next.state,
        attempts: attempt.number,
        ...(next.state === "pending" ? { nextAttemptAt: next.nextAttemptAt } : { endedAt: now }),
        ...(next.state === "failed" ? { why: next.why } : {}),
      })
      .where(eq(deliveries.id, deliveryId)),
    db
      .insert(deliveryAttempts)
      .values({
        deliveryId,
        ...attempt,
        durationMs: Math.round(attempt.durationMs),
        request: JSON.stringify(attempt.request),
        answer: attempt.answer === null ? null : JSON.stringify(attempt.answer),
      })
      .onConflictDoNothing(),
  ];

  return {
    /** Due ones of a target, those that are due longest first; of one subject only the oldest that waits. */
    due: async (targetId: string, now: number, limit: number): Promise<DueDelivery[]> => {
      const rows = await db
        .select({ row: deliveries, event: { ...EVENT, data: outbox.data } })
        .from(deliveries)
        .innerJoin(outbox, eq(outbox.sequence, deliveries.sequence))
        .where(and(isPendingOf(targetId), lte(deliveries.nextAttemptAt, now), isHead))
        .orderBy(asc(deliveries.nextAttemptAt), asc(deliveries.sequence))
        .limit(limit);
      return rows.map(({ row, event }) => ({
        deliveryId: row.id,
        sequence: row.sequence,
        subject: row.subject,
        nextAttemptAt: row.nextAttemptAt,
        attempts: row.attempts,
        expiresAt: row.expiresAt,
        event: { ...event, data: dataSchema.parse(JSON.parse(event.data)) },
      }));
    },

    /** What came of the attempts of a wave, and what they say of their webhook, in one batch. */
    record: async (webhookId: string, attempted: readonly Attempted[], end: WaveEnd, now: number) => {
      const [first, ...rest] = [
        ...attempted.flatMap((one) => resultStatements(one, now)),
        ...waveStatements(db, webhookId, end, now),
      ];
      if (first) await db.batch([first, ...rest]);
      if (end.pause !== null) wake();
    },

    /** A test: its event and its delivery, which goes to this target alone. */
    insertTest: async (draft: EventDraft, row: Omit<DeliveryRow, "sequence">, now: number): Promise<void> => {
      const [event] = eventStatements(db, [draft], now);
      if (event === undefined) return;
      const sequence = sql<number>`(SELECT max(sequence) FROM outbox)`;
      const { id, kind, targetId, round, at, expiresAt } = row;
      await db.batch([
        event,
        db.update(outbox).set({ fannedOutAt: now }).where(eq(outbox.sequence, sequence)),
        db.insert(deliveries).values({
          id,
          sequence,
          targetKind: kind,
          targetId,
          round,
          state: "pending",
          // Nobody but who has made it sends it.
          nextAttemptAt: expiresAt,
          createdAt: at,
          expiresAt,
        }),
      ]);
    },

    /** What came of one attempt by itself. */
    recordOne: async (attempted: Attempted, now: number) => {
      const [first, ...rest] = resultStatements(attempted, now);
      if (first) await db.batch([first, ...rest]);
    },

    insert: async (rows: readonly DeliveryRow[]) => {
      if (rows.length > 0) await deliveryStatement(db, rows);
    },

    /** Events of this range of sequence numbers that have come through to the target, or still wait for it. */
    settled: async (targetId: string, from: number, to: number): Promise<Set<number>> =>
      new Set(
        (
          await db
            .selectDistinct({ sequence: deliveries.sequence })
            .from(deliveries)
            .where(
              and(
                eq(deliveries.targetId, targetId),
                gte(deliveries.sequence, from),
                lte(deliveries.sequence, to),
                inArray(deliveries.state, ["delivered", "pending"]),
              ),
            )
        ).map(({ sequence }) => sequence),
      ),

    /** Newest first; `before` is the id of the last one of the page before. */
    list: async (filter: {
      webhookId: string;
      state: string | null;
      before: string | null;
      limit: number;
    }): Promise<Delivery[]> => {
      const { webhookId, state, before, limit } = filter;
      const rows = await found()
        .where(
          and(
            eq(deliveries.targetId, webhookId),
            state === null ? undefined : eq(deliveries.state, state),
            before === null ? undefined : lt(deliveries.id, before),
          ),
        )
        .orderBy(desc(deliveries.id))
        .limit(limit);
      return rows.map(({ row, event, last }) => toDelivery(row, event, last));
    },

    byId: async (webhookId: string, deliveryId: string) => {
      const one = await found()
        .where(and(eq(deliveries.id, deliveryId), eq(deliveries.targetId, webhookId)))
        .get();
      if (!one) return null;
      const [attempts, data] = await db.batch([
        db
          .select()
          .from(deliveryAttempts)
          .where(eq(deliveryAttempts.deliveryId, deliveryId))
          .orderBy(asc(deliveryAttempts.number)),
        db.select({ data: outbox.data }).from(outbox).where(eq(outbox.sequence, one.row.sequence)),
      ]);
      const event: StoredEvent = { ...one.event, data: dataSchema.parse(JSON.parse(data[0]?.data ?? "{}")) };
      return {
        delivery: toDelivery(one.row, one.event, one.last),
        event,
        history: attempts.map(toAttempt),
        row: one.row,
      };
    },

    /** How many wait, and since when the oldest does; those that a route gathers wait as they should. */
    waiting: async (): Promise<{ count: number; oldestAt: number | null }> =>
      (await db
        .select({ count: sql<number>`count(*)`, oldestAt: sql<number | null>`min(${deliveries.createdAt})` })
        .from(deliveries)
        .where(and(PENDING, ne(deliveries.targetKind, "route")))
        .get()) ?? { count: 0, oldestAt: null },

    /** Gives up what should have come through before; attempts are made no more. */
    expire: async (before: number, now: number) => {
      await db
        .update(deliveries)
        .set({ state: "failed", endedAt: now, why: "not delivered within a day" })
        .where(and(PENDING, lt(deliveries.expiresAt, before)));
    },

    /** Deletes deliveries and attempts whose ids sort before `id`, which ids of a time do; at most `limit` rows of each. */
    forget: async (id: string, limit: number) => {
      await db.batch([
        db
          .delete(deliveryAttempts)
          .where(
            sql`(delivery_id, number) IN (SELECT delivery_id, number FROM delivery_attempts WHERE delivery_id < ${id} LIMIT ${limit})`,
          ),
        db.delete(deliveries).where(sql`id IN (SELECT id FROM deliveries WHERE id < ${id} LIMIT ${limit})`),
      ]);
    },
  };
}
