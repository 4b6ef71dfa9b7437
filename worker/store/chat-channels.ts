// Channels that are told what happens, and the messages in them that are brought up to date.
import { and, asc, eq, gt, isNull, lt, lte, or, sql } from "drizzle-orm";
import { z } from "zod";
import { type ChatChannel, subscribersOf } from "../model/chat/channel.ts";
import { type PlatformName, platformName } from "../model/chat/inbound.ts";
import type { AuditEntry } from "../model/principal.ts";
import type { Subscriber } from "../model/webhooks/fan-out.ts";
import { auditRow } from "./audit.ts";
import type { Db } from "./db.ts";
import { audit, chatChannels, chatMessages, deliveries, deliveryAttempts } from "./schema.ts";

const strings = z.array(z.string());

const toChannel = (row: typeof chatChannels.$inferSelect): ChatChannel => ({
  id: row.id,
  platform: platformName.parse(row.platform),
  teamId: row.teamId,
  channelId: row.channelId,
  events: strings.parse(JSON.parse(row.events)),
  createdBy: row.createdBy,
  createdAt: row.createdAt,
  trouble: row.trouble,
});

const HAS_DUE = (now: number) =>
  sql`EXISTS (SELECT 1 FROM deliveries d WHERE d.target_id = ${chatChannels.id} AND d.state = 'pending' AND d.next_attempt_at <= ${now})`;

/** No turn is under way, and there is something for one. */
const isReady = (now: number) =>
  and(
    or(isNull(chatChannels.lease), lte(chatChannels.leaseUntil, now)),
    or(isNull(chatChannels.restUntil), lte(chatChannels.restUntil, now)),
    HAS_DUE(now),
  );

export function chatChannelStore(db: Db) {
  return {
    byId: async (id: string): Promise<ChatChannel | null> => {
      const row = await db.select().from(chatChannels).where(eq(chatChannels.id, id)).get();
      return row ? toChannel(row) : null;
    },

    byChannel: async (platform: PlatformName, channelId: string): Promise<ChatChannel | null> => {
      const row = await db
        .select()
        .from(chatChannels)
        .where(and(eq(chatChannels.platform, platform), eq(chatChannels.channelId, channelId)))
        .get();
      return row ? toChannel(row) : null;
    },

    list: async (after: string | null, limit: number): Promise<ChatChannel[]> =>
      (
        await db
          .select()
          .from(chatChannels)
          .where(after === null ? undefined : gt(chatChannels.id, after))
          .orderBy(asc(chatChannels.id))
          .limit(limit)
      ).map(toChannel),

    count: async (): Promise<number> => db.$count(chatChannels),

    /** What is there stays as it is. */
    ensure: async ({ id, platform, teamId, channelId, events, createdBy, createdAt }: ChatChannel) => {
      await db
        .insert(chatChannels)
        .values({ id, platform, teamId, channelId, events: JSON.stringify(events), createdBy, createdAt })
        .onConflictDoNothing();
    },

    setEvents: async (id: string, events: readonly string[], entry: AuditEntry, at: number) => {
      await db.batch([
        db
          .update(chatChannels)
          .set({ events: JSON.stringify(events), trouble: null })
          .where(eq(chatChannels.id, id)),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
    },

    /** What was sent to it goes with it. */
    remove: async (id: string, entry: AuditEntry, at: number) => {
      const own = sql`(SELECT id FROM deliveries WHERE target_id = ${id})`;
      await db.batch([
        db.delete(chatChannels).where(eq(chatChannels.id, id)),
        db.delete(chatMessages).where(eq(chatMessages.targetId, id)),
        db.delete(deliveryAttempts).where(sql`${deliveryAttempts.deliveryId} IN ${own}`),
        db.delete(deliveries).where(eq(deliveries.targetId, id)),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
    },

    /** What has ended after `since` may still have something to it. */
    subscribers: async (since: number): Promise<Subscriber[]> => {
      const [rows, live] = await db.batch([
        db
          .select({ id: chatChannels.id, events: chatChannels.events })
          .from(chatChannels)
          .orderBy(asc(chatChannels.id)),
        db
          .select({ targetId: chatMessages.targetId, subject: chatMessages.subject })
          .from(chatMessages)
          .where(or(isNull(chatMessages.endedAt), gt(chatMessages.endedAt, since))),
      ]);
      const subjects = Map.groupBy(live, ({ targetId }) => targetId);
      return rows.flatMap(({ id, events }) =>
        subscribersOf(
          { id, events: strings.parse(JSON.parse(events)) },
          (subjects.get(id) ?? []).map(({ subject }) => subject),
        ),
      );
    },

    due: async (now: number, limit: number): Promise<string[]> =>
      (
        await db
          .select({ id: chatChannels.id })
          .from(chatChannels)
          .where(isReady(now))
          .orderBy(asc(chatChannels.id))
          .limit(limit)
      ).map(({ id }) => id),

    /** Begins a turn: at most one is under way for a channel. Null: there is one, nothing is due, or it rests or is gone. */
    lease: async (id: string, lease: string, leaseUntil: number, now: number): Promise<ChatChannel | null> => {
      const [row] = await db
        .update(chatChannels)
        .set({ lease, leaseUntil })
        .where(and(eq(chatChannels.id, id), isReady(now)))
        .returning();
      return row ? toChannel(row) : null;
    },

    /** False: the turn is no longer this one's. */
    extend: async (id: string, lease: string, leaseUntil: number): Promise<boolean> =>
      (
        await db
          .update(chatChannels)
          .set({ leaseUntil })
          .where(and(eq(chatChannels.id, id), eq(chatChannels.lease, lease)))
          .returning({ id: chatChannels.id })
      ).length > 0,

    /** Ends a turn, if it still is this one's. Answers when the next delivery is due; null: none waits. */
    release: async (
      id: string,
      lease: string,
      { restUntil, trouble }: { restUntil: number | null; trouble: string | null },
    ): Promise<number | null> => {
      const [, [next]] = await db.batch([
        db
          .update(chatChannels)
          .set({ lease: null, leaseUntil: null, restUntil, trouble })
          .where(and(eq(chatChannels.id, id), eq(chatChannels.lease, lease))),
        db
          .select({ at: sql<number | null>`min(${deliveries.nextAttemptAt})` })
          .from(deliveries)
          .where(and(eq(deliveries.targetId, id), sql`${deliveries.state} = 'pending'`)),
      ]);
      return next?.at ?? null;
    },

    /** The message about a subject; `messageId` null: it is being posted. Null: there is none. */
    message: async (targetId: string, subject: string): Promise<{ messageId: string | null } | null> =>
      (await db
        .select({ messageId: chatMessages.messageId })
        .from(chatMessages)
        .where(and(eq(chatMessages.targetId, targetId), eq(chatMessages.subject, subject)))
        .get()) ?? null,

    /** Whoever claims a subject first posts its message. A claim that came to nothing is over at `staleBefore`. */
    claimMessage: async (targetId: string, subject: string, now: number, staleBefore: number): Promise<boolean> =>
      (
        await db
          .insert(chatMessages)
          .values({ targetId, subject, at: now })
          .onConflictDoUpdate({
            target: [chatMessages.targetId, chatMessages.subject],
            set: { at: now },
            setWhere: sql`${chatMessages.messageId} IS NULL AND ${chatMessages.at} < ${staleBefore}`,
          })
          .returning({ subject: chatMessages.subject })
      ).length > 0,

    /** From now on this is the message about the subject. */
    setMessage: async (targetId: string, subject: string, messageId: string, now: number) => {
      await db
        .insert(chatMessages)
        .values({ targetId, subject, messageId, at: now })
        .onConflictDoUpdate({ target: [chatMessages.targetId, chatMessages.subject], set: { messageId } });
    },

    endMessage: async (targetId: string, subject: string, now: number) => {
      await db
        .update(chatMessages)
        .set({ endedAt: now })
        .where(and(eq(chatMessages.targetId, targetId), eq(chatMessages.subject, subject)));
    },

    dropMessage: async (targetId: string, subject: string) => {
      await db.delete(chatMessages).where(and(eq(chatMessages.targetId, targetId), eq(chatMessages.subject, subject)));
    },

    /**
     * Messages that were posted before are brought up to date no more, nor are those of what has ended before; channels that
     * are told nothing and have none go with them.
     */
    forget: async ({ postedBefore, endedBefore }: { postedBefore: number; endedBefore: number }) => {
      await db.batch([
        db.delete(chatMessages).where(or(lt(chatMessages.at, postedBefore), lt(chatMessages.endedAt, endedBefore))),
        db
          .delete(chatChannels)
          .where(
            sql`events = '[]' AND created_at < ${endedBefore} AND NOT EXISTS (SELECT 1 FROM chat_messages m WHERE m.target_id = chat_channels.id)`,
          ),
      ]);
    },
  };
}
