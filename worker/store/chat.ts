// Chat users, the codes by which they link themselves, and requests that are taken once.
import { and, asc, eq, gt, isNull, lt, sql } from "drizzle-orm";
import { z } from "zod";
import type { ChatUser } from "../model/chat/inbound.ts";
import { platformName } from "../model/chat/inbound.ts";
import type { LinkedUser } from "../model/chat/user.ts";
import { type AuditEntry, scope } from "../model/principal.ts";
import { auditRow } from "./audit.ts";
import type { Db } from "./db.ts";
import { audit, chatLinks, chatRequests, chatUsers } from "./schema.ts";

const toUser = (row: typeof chatUsers.$inferSelect): LinkedUser => ({
  ...row,
  platform: platformName.parse(row.platform),
  scopes: z.array(scope).parse(JSON.parse(row.scopes)),
});

type Identity = Pick<ChatUser, "platform" | "teamId" | "userId">;

export function chatStore(db: Db) {
  const isUser = ({ platform, teamId, userId }: Identity) =>
    and(eq(chatUsers.platform, platform), eq(chatUsers.teamId, teamId), eq(chatUsers.userId, userId));

  return {
    user: async (identity: Identity): Promise<LinkedUser | null> => {
      const row = await db.select().from(chatUsers).where(isUser(identity)).get();
      return row ? toUser(row) : null;
    },

    /** In the order of their ids; `after` is the last one of the page before. */
    users: async (after: string | null, limit: number): Promise<LinkedUser[]> =>
      (
        await db
          .select()
          .from(chatUsers)
          .where(after === null ? undefined : gt(chatUsers.id, after))
          .orderBy(asc(chatUsers.id))
          .limit(limit)
      ).map(toUser),

    /** Whoever it was linked to before, it is this one from now on; the code is used up. */
    link: async (user: LinkedUser, entry: AuditEntry) => {
      const row = { ...user, scopes: JSON.stringify(user.scopes) };
      await db.batch([
        db
          .insert(chatUsers)
          .values(row)
          .onConflictDoUpdate({ target: [chatUsers.platform, chatUsers.teamId, chatUsers.userId], set: row }),
        db
          .delete(chatLinks)
          .where(
            and(
              eq(chatLinks.platform, user.platform),
              eq(chatLinks.teamId, user.teamId),
              eq(chatLinks.userId, user.userId),
            ),
          ),
        db.insert(audit).values(auditRow(entry, user.createdAt)),
      ]);
    },

    /** False: there is none. */
    unlink: async (id: string, entry: AuditEntry, at: number): Promise<boolean> => {
      const [gone] = await db.batch([
        db.delete(chatUsers).where(eq(chatUsers.id, id)).returning({ id: chatUsers.id }),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
      return gone.length > 0;
    },

    /** The newest code of a user is the only one. */
    addCode: async (user: ChatUser, codeHash: string, expiresAt: number) => {
      const { platform, teamId, userId, name } = user;
      await db
        .insert(chatLinks)
        .values({ platform, teamId, userId, name, codeHash, expiresAt })
        .onConflictDoUpdate({
          target: [chatLinks.platform, chatLinks.teamId, chatLinks.userId],
          set: { codeHash, expiresAt, name },
        });
    },

    /** Who was shown this code; null: nobody was, or it is over. */
    byCode: async (codeHash: string, now: number): Promise<ChatUser | null> => {
      const row = await db
        .select()
        .from(chatLinks)
        .where(and(eq(chatLinks.codeHash, codeHash), gt(chatLinks.expiresAt, now)))
        .get();
      if (!row) return null;
      const { platform, teamId, userId, name } = row;
      return { platform: platformName.parse(platform), teamId, userId, name };
    },

    /** Takes a request; `body` null: it was answered at once. False: it was taken before. */
    take: async (id: string, body: string | null, at: number): Promise<boolean> => {
      const taken = await db
        .insert(chatRequests)
        .values({ id, body, at, endedAt: body === null ? at : null })
        .onConflictDoNothing()
        .returning({ id: chatRequests.id });
      return taken.length > 0;
    },

    /** Begins what a request asks for, once. Null: it was begun before. */
    begin: async (id: string, now: number): Promise<string | null> => {
      const [row] = await db
        .update(chatRequests)
        .set({ startedAt: now })
        .where(and(eq(chatRequests.id, id), isNull(chatRequests.startedAt), isNull(chatRequests.endedAt)))
        .returning({ body: chatRequests.body });
      return row?.body ?? null;
    },

    end: async (id: string, now: number) => {
      await db.update(chatRequests).set({ endedAt: now, body: null }).where(eq(chatRequests.id, id));
    },

    /** Requests from before that have not ended; `hasBegun`: what carried them out has gone. */
    left: async (
      before: number,
      limit: number,
    ): Promise<{ id: string; body: string; at: number; hasBegun: boolean }[]> =>
      (
        await db
          .select({
            id: chatRequests.id,
            body: chatRequests.body,
            at: chatRequests.at,
            startedAt: chatRequests.startedAt,
          })
          .from(chatRequests)
          .where(and(sql`${chatRequests.endedAt} IS NULL`, lt(chatRequests.at, before)))
          .orderBy(asc(chatRequests.at))
          .limit(limit)
      ).flatMap(({ id, body, at, startedAt }) =>
        body === null ? [] : [{ id, body, at, hasBegun: startedAt !== null }],
      ),

    /** Deletes what came before; codes that are over with it. */
    forget: async (before: number, now: number, limit: number) => {
      await db.batch([
        db
          .delete(chatRequests)
          .where(
            sql`id IN (SELECT id FROM chat_requests WHERE at < ${before} AND ended_at IS NOT NULL LIMIT ${limit})`,
          ),
        db.delete(chatLinks).where(lt(chatLinks.expiresAt, now)),
      ]);
    },
  };
}
