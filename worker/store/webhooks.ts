// Webhooks: what operators say of them, and how they have done.
import { and, asc, eq, gt, isNotNull, isNull, lte, or, sql } from "drizzle-orm";
import { z } from "zod";
import type { AuditEntry } from "../model/principal.ts";
import type { EventDraft } from "../model/webhooks/events.ts";
import type { Subscriber } from "../model/webhooks/fan-out.ts";
import type { Health } from "../model/webhooks/schedule.ts";
import { pausedBecause, storedSecret, type StoredSecret, type Webhook } from "../model/webhooks/webhook.ts";
import { auditRow } from "./audit.ts";
import { type Db, failedGuard } from "./db.ts";
import { eventStatements } from "./outbox.ts";
import { audit, deliveries, deliveryAttempts, webhooks } from "./schema.ts";

/** A webhook with its secrets: never for an answer. */
export type WebhookRecord = Omit<Webhook, "secrets"> & { secrets: StoredSecret[]; failures: number };

const strings = z.array(z.string());

const toRecord = (row: typeof webhooks.$inferSelect): WebhookRecord => ({
  webhookId: row.id,
  url: row.url,
  description: row.description,
  events: strings.parse(JSON.parse(row.events)),
  clusters: row.clusters === null ? null : strings.parse(JSON.parse(row.clusters)),
  ordered: row.ordered,
  inFlightMax: row.inFlightMax,
  timeoutMs: row.timeoutMs,
  state: row.pausedAt === null ? "enabled" : "paused",
  pausedBecause: row.pausedBecause === null ? null : pausedBecause.parse(row.pausedBecause),
  pausedWhy: row.pausedWhy,
  pausedAt: row.pausedAt,
  failingSince: row.failingSince,
  failures: row.failures,
  lastDeliveredAt: row.lastDeliveredAt,
  restUntil: row.restUntil,
  secrets: z.array(storedSecret).parse(JSON.parse(row.secrets)),
  version: row.version,
  createdBy: row.createdBy,
  createdAt: row.createdAt,
  updatedAt: row.updatedAt,
});

const columnsOf = (record: WebhookRecord) => ({
  url: record.url,
  description: record.description,
  events: JSON.stringify(record.events),
  clusters: record.clusters === null ? null : JSON.stringify(record.clusters),
  ordered: record.ordered,
  inFlightMax: record.inFlightMax,
  timeoutMs: record.timeoutMs,
  secrets: JSON.stringify(record.secrets),
  updatedAt: record.updatedAt,
  pausedBecause: record.pausedBecause,
  pausedWhy: record.pausedWhy,
  pausedAt: record.pausedAt,
  failingSince: record.failingSince,
  failures: record.failures,
  restUntil: record.restUntil,
});

const isRested = (now: number) => or(isNull(webhooks.restUntil), lte(webhooks.restUntil, now));
const isFree = (now: number) => or(isNull(webhooks.lease), lte(webhooks.leaseUntil, now));
/** No turn is under way, and there is something for one. */
const isReady = (now: number) =>
  and(
    isNull(webhooks.pausedAt),
    isFree(now),
    isRested(now),
    sql`EXISTS (SELECT 1 FROM deliveries d WHERE d.target_id = ${webhooks.id} AND d.state = 'pending' AND d.next_attempt_at <= ${now})`,
  );

/** What a wave has shown of its webhook. `pause`: it is paused by that, with what is told of it. */
export type WaveEnd = {
  health: Health;
  isDelivered: boolean;
  leaseUntil: number;
  pause: { because: "gone" | "failing"; why: string; entry: AuditEntry; event: EventDraft } | null;
};

/** To be put into the batch that records the wave. */
export const waveStatements = (
  db: Db,
  webhookId: string,
  { health, isDelivered, leaseUntil, pause }: WaveEnd,
  now: number,
) => [
  db
    .update(webhooks)
    .set({
      ...health,
      leaseUntil,
      ...(isDelivered ? { lastDeliveredAt: now } : {}),
      ...(pause === null
        ? {}
        : {
            pausedBecause: pause.because,
            pausedWhy: pause.why,
            pausedAt: now,
            version: sql`${webhooks.version} + 1`,
            updatedAt: now,
          }),
    })
    .where(eq(webhooks.id, webhookId)),
  ...(pause === null
    ? []
    : [db.insert(audit).values(auditRow(pause.entry, now)), ...eventStatements(db, [pause.event], now)]),
];

export function webhookStore(db: Db) {
  return {
    byId: async (webhookId: string): Promise<WebhookRecord | null> => {
      const row = await db.select().from(webhooks).where(eq(webhooks.id, webhookId)).get();
      return row ? toRecord(row) : null;
    },

    /** In the order in which they were made. */
    list: async (after: string | null, limit: number): Promise<WebhookRecord[]> =>
      (
        await db
          .select()
          .from(webhooks)
          .where(after === null ? undefined : gt(webhooks.id, after))
          .orderBy(asc(webhooks.id))
          .limit(limit)
      ).map(toRecord),

    /** Paused ones among them: what happens meanwhile waits for them for a day. */
    subscribers: async (): Promise<Subscriber[]> =>
      (
        await db
          .select({
            id: webhooks.id,
            events: webhooks.events,
            clusters: webhooks.clusters,
            isOrdered: webhooks.ordered,
          })
          .from(webhooks)
          .orderBy(asc(webhooks.id))
      ).map(({ id, events, clusters, isOrdered }) => ({
        kind: "webhook",
        targetId: id,
        events: strings.parse(JSON.parse(events)),
        clusters: clusters === null ? null : strings.parse(JSON.parse(clusters)),
        isOrdered,
      })),

    counts: async (): Promise<{ enabled: number; paused: number }> => {
      const paused = await db.$count(webhooks, isNotNull(webhooks.pausedAt));
      return { enabled: (await db.$count(webhooks)) - paused, paused };
    },

    insert: async (record: WebhookRecord, entry: AuditEntry) => {
      const { webhookId, version, createdBy, createdAt } = record;
      await db.batch([
        db.insert(webhooks).values({ id: webhookId, version, createdBy, createdAt, ...columnsOf(record) }),
        db.insert(audit).values(auditRow(entry, createdAt)),
      ]);
    },

    /** `record.version` is the new one, one above that which was read. False: it has changed meanwhile, or is gone. */
    update: async (record: WebhookRecord, entry: AuditEntry): Promise<boolean> => {
      const guarded = sql<number>`CASE WHEN ${webhooks.version} = ${record.version - 1} THEN ${record.version} END`;
      try {
        const [changed] = await db.batch([
          db
            .update(webhooks)
            .set({ ...columnsOf(record), version: guarded })
            .where(eq(webhooks.id, record.webhookId))
            .returning({ id: webhooks.id }),
          db.insert(audit).values(auditRow(entry, record.updatedAt)),
        ]);
        return changed.length > 0;
      } catch (error) {
        if (failedGuard(error) === "webhooks.version") return false;
        throw error;
      }
    },

    /** What was sent to it goes with it. */
    remove: async (webhookId: string, entry: AuditEntry, at: number) => {
      const own = sql`(SELECT id FROM deliveries WHERE target_id = ${webhookId})`;
      await db.batch([
        db.delete(webhooks).where(eq(webhooks.id, webhookId)),
        db.delete(deliveryAttempts).where(sql`${deliveryAttempts.deliveryId} IN ${own}`),
        db.delete(deliveries).where(eq(deliveries.targetId, webhookId)),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
    },

    /** Begins a turn: at most one is under way for a webhook. Null: there is one, nothing is due, or it rests, is paused or gone. */
    take: async (webhookId: string, lease: string, leaseUntil: number, now: number): Promise<WebhookRecord | null> => {
      const [row] = await db
        .update(webhooks)
        .set({ lease, leaseUntil })
        .where(and(eq(webhooks.id, webhookId), isReady(now)))
        .returning();
      return row ? toRecord(row) : null;
    },

    /** The webhook as it is now, if the turn still is this one's and it is not paused. */
    held: async (webhookId: string, lease: string): Promise<WebhookRecord | null> => {
      const row = await db
        .select()
        .from(webhooks)
        .where(and(eq(webhooks.id, webhookId), eq(webhooks.lease, lease), isNull(webhooks.pausedAt)))
        .get();
      return row ? toRecord(row) : null;
    },

    /** Ends a turn, if it still is this one's. Answers when the next delivery is due, as it is after that; null: none waits. */
    release: async (webhookId: string, lease: string): Promise<number | null> => {
      const [, [next]] = await db.batch([
        db
          .update(webhooks)
          .set({ lease: null, leaseUntil: null })
          .where(and(eq(webhooks.id, webhookId), eq(webhooks.lease, lease))),
        db
          .select({ at: sql<number | null>`min(${deliveries.nextAttemptAt})` })
          .from(deliveries)
          .where(and(eq(deliveries.targetId, webhookId), sql`${deliveries.state} = 'pending'`)),
      ]);
      return next?.at ?? null;
    },

    /** Those for which something is due and no turn is under way. */
    due: async (now: number, limit: number): Promise<string[]> =>
      (
        await db.select({ id: webhooks.id }).from(webhooks).where(isReady(now)).orderBy(asc(webhooks.id)).limit(limit)
      ).map(({ id }) => id),
  };
}
