import { and, desc, eq, gt, isNull, or, sql } from "drizzle-orm";
import { z } from "zod";
import { type Principal, type Scope, scope } from "../model/principal.ts";
import type { AuditEntry } from "../model/principal.ts";
import { auditRow } from "./audit.ts";
import type { Db } from "./db.ts";
import { audit, tokens } from "./schema.ts";

export type TokenRecord = Principal & { createdAt: number; expiresAt: number | null; revokedAt: number | null };

const toRecord = (row: typeof tokens.$inferSelect): TokenRecord => ({
  id: row.id,
  name: row.name,
  scopes: z.array(scope).parse(JSON.parse(row.scopes)),
  hostId: row.hostId,
  cluster: row.cluster,
  createdAt: row.createdAt,
  expiresAt: row.expiresAt,
  revokedAt: row.revokedAt,
});

export function tokenStore(db: Db) {
  return {
    /** The principal of a token that is neither revoked nor expired at `now`, by the SHA-256 of the token. */
    byHash: async (hash: string, now: number): Promise<Principal | null> => {
      const row = await db
        .select()
        .from(tokens)
        .where(
          and(eq(tokens.hash, hash), isNull(tokens.revokedAt), or(isNull(tokens.expiresAt), gt(tokens.expiresAt, now))),
        )
        .get();
      return row ? toRecord(row) : null;
    },
    /** The token of this id, unless it is revoked or expired at `now`. */
    byId: async (id: string, now: number): Promise<Principal | null> => {
      const row = await db
        .select()
        .from(tokens)
        .where(
          and(eq(tokens.id, id), isNull(tokens.revokedAt), or(isNull(tokens.expiresAt), gt(tokens.expiresAt, now))),
        )
        .get();
      return row ? toRecord(row) : null;
    },
    /** What tokens are called, by their ids; what is no token is left out. */
    names: async (ids: readonly string[]): Promise<Map<string, string>> =>
      new Map(
        (
          await db
            .select({ id: tokens.id, name: tokens.name })
            .from(tokens)
            .where(sql`${tokens.id} IN (SELECT value FROM json_each(${JSON.stringify(ids)}))`)
        ).map(({ id, name }) => [id, name]),
      ),
    list: async (): Promise<TokenRecord[]> =>
      (await db.select().from(tokens).orderBy(desc(tokens.createdAt), desc(tokens.id))).map(toRecord),
    insert: async (
      token: {
        id: string;
        name: string;
        hash: string;
        scopes: Scope[];
        hostId: string | null;
        cluster: string | null;
        createdAt: number;
        expiresAt: number | null;
      },
      entry: AuditEntry,
    ) => {
      await db.batch([
        db.insert(tokens).values({ ...token, scopes: JSON.stringify(token.scopes) }),
        db.insert(audit).values(auditRow(entry, token.createdAt)),
      ]);
    },
    /** False: there is no such token, or it was revoked before. */
    revoke: async (id: string, now: number, entry: AuditEntry): Promise<boolean> => {
      const [changed] = await db.batch([
        db
          .update(tokens)
          .set({ revokedAt: now })
          .where(and(eq(tokens.id, id), isNull(tokens.revokedAt)))
          .returning({ id: tokens.id }),
        db.insert(audit).values(auditRow(entry, now)),
      ]);
      return changed.length > 0;
    },
  };
}
