// Notification routes: what operators say of them, what waits for them, and what they have sent.
import { and, asc, eq, gt, inArray, sql } from "drizzle-orm";
import { z } from "zod";
import type { Sent } from "../model/notifications/grouping.ts";
import { type NewRoute, storedRoute, subscriberOf } from "../model/notifications/route.ts";
import type { AuditEntry } from "../model/principal.ts";
import type { EventDraft, StoredEvent } from "../model/webhooks/events.ts";
import type { Subscriber } from "../model/webhooks/fan-out.ts";
import { auditRow } from "./audit.ts";
import { type Db, failedGuard, isUniqueViolation } from "./db.ts";
import { type DeliveryRow, eventStatements } from "./outbox.ts";
import { audit, deliveries, deliveryAttempts, outbox, routes } from "./schema.ts";

export type RouteRecord = NewRoute & {
  routeId: string;
  version: number;
  createdBy: string;
  createdAt: number;
  updatedAt: number;
  turn: number;
  sent: Sent[];
};

/** One message and its deliveries, which have yet to get the event that it becomes. */
export type Raised = { draft: EventDraft<"notification.raised">; deliveries: Omit<DeliveryRow, "sequence">[] };

const sentSchema = z.array(z.strictObject({ at: z.int(), groups: z.array(z.string()) }));
const dataSchema = z.record(z.string(), z.unknown());

const toRecord = ({ id, definition, sent, quietUntil: _, ...row }: typeof routes.$inferSelect): RouteRecord => ({
  ...row,
  routeId: id,
  sent: sentSchema.parse(JSON.parse(sent)),
  ...storedRoute.parse(JSON.parse(definition)),
});

const columnsOf = (record: RouteRecord) => {
  const { events, severityMin, clusters, labels, to, groupBy, groupWaitMs, groupIntervalMs, perHourMax } = record;
  return {
    name: record.name,
    enabled: record.enabled,
    definition: JSON.stringify({
      events,
      severityMin,
      clusters,
      labels,
      to,
      groupBy,
      groupWaitMs,
      groupIntervalMs,
      perHourMax,
    }),
    updatedAt: record.updatedAt,
    // Another timing may be due sooner.
    quietUntil: 0,
  };
};

const isPending = sql`d.target_id = ${routes.id} AND d.state = 'pending'`;
const isReady = (now: number) =>
  and(
    eq(routes.enabled, true),
    sql`${routes.quietUntil} <= ${now}`,
    sql`EXISTS (SELECT 1 FROM deliveries d WHERE ${isPending})`,
  );

export function routeStore(db: Db) {
  const raiseStatements = ({ draft, deliveries: rows }: Raised, now: number) => {
    const sequence = sql<number>`(SELECT max(sequence) FROM outbox)`;
    return [
      ...eventStatements(db, [draft], now),
      db.update(outbox).set({ fannedOutAt: now }).where(eq(outbox.sequence, sequence)),
      ...rows.map(({ id, kind, targetId, round, subject, at, expiresAt }) =>
        db.insert(deliveries).values({
          id,
          sequence,
          targetKind: kind,
          targetId,
          round,
          subject,
          state: "pending",
          nextAttemptAt: at,
          createdAt: at,
          expiresAt,
        }),
      ),
    ];
  };

  return {
    byId: async (routeId: string): Promise<RouteRecord | null> => {
      const row = await db.select().from(routes).where(eq(routes.id, routeId)).get();
      return row ? toRecord(row) : null;
    },

    /** In the order in which they were made. */
    list: async (after: string | null, limit: number): Promise<RouteRecord[]> =>
      (
        await db
          .select()
          .from(routes)
          .where(after === null ? undefined : gt(routes.id, after))
          .orderBy(asc(routes.id))
          .limit(limit)
      ).map(toRecord),

    count: async (): Promise<number> => db.$count(routes),

    subscribers: async (): Promise<Subscriber[]> =>
      (await db.select().from(routes).where(eq(routes.enabled, true)).orderBy(asc(routes.id)))
        .map((row) => subscriberOf(toRecord(row)))
        .filter(({ events }) => events.length > 0),

    /** False: there is another one of this name. */
    insert: async (record: RouteRecord, entry: AuditEntry): Promise<boolean> => {
      const { routeId, version, createdBy, createdAt } = record;
      try {
        await db.batch([
          db.insert(routes).values({ id: routeId, version, createdBy, createdAt, ...columnsOf(record) }),
          db.insert(audit).values(auditRow(entry, createdAt)),
        ]);
        return true;
      } catch (error) {
        if (isUniqueViolation(error)) return false;
        throw error;
      }
    },

    /** `record.version` is the new one, one above that which was read. `stale`: it has changed meanwhile, or is gone. */
    update: async (record: RouteRecord, entry: AuditEntry): Promise<"done" | "stale" | "name-taken"> => {
      const guarded = sql<number>`CASE WHEN ${routes.version} = ${record.version - 1} THEN ${record.version} END`;
      try {
        const [changed] = await db.batch([
          db
            .update(routes)
            .set({ ...columnsOf(record), version: guarded })
            .where(eq(routes.id, record.routeId))
            .returning({ id: routes.id }),
          db.insert(audit).values(auditRow(entry, record.updatedAt)),
        ]);
        return changed.length > 0 ? "done" : "stale";
      } catch (error) {
        if (failedGuard(error) === "routes.version") return "stale";
        if (isUniqueViolation(error)) return "name-taken";
        throw error;
      }
    },

    /** What waits for it goes with it; what it has sent does not. */
    remove: async (routeId: string, entry: AuditEntry, at: number) => {
      const own = sql`(SELECT id FROM deliveries WHERE target_id = ${routeId})`;
      await db.batch([
        db.delete(routes).where(eq(routes.id, routeId)),
        db.delete(deliveryAttempts).where(sql`${deliveryAttempts.deliveryId} IN ${own}`),
        db.delete(deliveries).where(eq(deliveries.targetId, routeId)),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
    },

    /** Routes for which something waits and that are not quiet. */
    due: async (now: number, limit: number): Promise<string[]> =>
      (await db.select({ id: routes.id }).from(routes).where(isReady(now)).orderBy(asc(routes.id)).limit(limit)).map(
        ({ id }) => id,
      ),

    /** The route, if something waits for it and it is not quiet. */
    ready: async (routeId: string, now: number): Promise<RouteRecord | null> => {
      const row = await db
        .select()
        .from(routes)
        .where(and(eq(routes.id, routeId), isReady(now)))
        .get();
      return row ? toRecord(row) : null;
    },

    /** How many events wait for each. */
    waitingCounts: async (routeIds: readonly string[]): Promise<Map<string, number>> => {
      const rows = await db
        .select({ id: deliveries.targetId, count: sql<number>`count(*)` })
        .from(deliveries)
        .where(
          and(
            inArray(deliveries.targetId, sql`(SELECT value FROM json_each(${JSON.stringify(routeIds)}))`),
            sql`${deliveries.state} = 'pending'`,
          ),
        )
        .groupBy(deliveries.targetId);
      return new Map(rows.map(({ id, count }) => [id, count]));
    },

    /** Events that wait, in their order, after a sequence number. `since`: when they came to the route. */
    waiting: async (
      routeId: string,
      after: number,
      limit: number,
    ): Promise<{ deliveryId: string; since: number; event: StoredEvent }[]> => {
      const rows = await db
        .select({ deliveryId: deliveries.id, since: deliveries.createdAt, event: outbox })
        .from(deliveries)
        .innerJoin(outbox, eq(outbox.sequence, deliveries.sequence))
        .where(
          and(eq(deliveries.targetId, routeId), sql`${deliveries.state} = 'pending'`, gt(deliveries.sequence, after)),
        )
        .orderBy(asc(deliveries.sequence))
        .limit(limit);
      return rows.map(({ deliveryId, since, event: { id: eventId, data, fannedOutAt: _, ...event } }) => ({
        deliveryId,
        since,
        event: { ...event, eventId, data: dataSchema.parse(JSON.parse(data)) },
      }));
    },

    /**
     * Ends a turn: what was gathered is settled, and the messages that it became are written with their deliveries, all at
     * once. False: another turn has sent something meanwhile.
     */
    endTurn: async (
      { routeId, turn }: Pick<RouteRecord, "routeId" | "turn">,
      end: { settled: readonly string[]; raised: readonly Raised[]; sent: readonly Sent[]; quietUntil: number },
      now: number,
    ): Promise<boolean> => {
      const { settled, raised, sent, quietUntil } = end;
      const guarded = sql<number>`CASE WHEN ${routes.turn} = ${turn} THEN ${turn + 1} END`;
      try {
        const [ended] = await db.batch([
          db
            .update(routes)
            .set({ turn: guarded, sent: JSON.stringify(sent), quietUntil })
            .where(eq(routes.id, routeId))
            .returning({ id: routes.id }),
          db
            .update(deliveries)
            .set({ state: "delivered", endedAt: now })
            .where(
              and(
                inArray(deliveries.id, sql`(SELECT value FROM json_each(${JSON.stringify(settled)}))`),
                sql`${deliveries.state} = 'pending'`,
              ),
            ),
          ...raised.flatMap((one) => raiseStatements(one, now)),
        ]);
        return ended.length > 0;
      } catch (error) {
        if (failedGuard(error) === "routes.turn") return false;
        throw error;
      }
    },

    /** A message outside of any turn. */
    raise: async (raised: Raised, entry: AuditEntry, now: number) => {
      await db.batch([db.insert(audit).values(auditRow(entry, now)), ...raiseStatements(raised, now)]);
    },
  };
}
