import { and, eq, lt } from "drizzle-orm";
import type { Db } from "./db.ts";
import { readText, storedText } from "./packed-text.ts";
import { idempotency } from "./schema.ts";

export type RememberedAnswer = { requestHash: string; status: number; body: string };

export function idempotencyStore(db: Db) {
  return {
    find: async (principal: string, key: string): Promise<RememberedAnswer | null> => {
      const row = await db
        .select({ requestHash: idempotency.requestHash, status: idempotency.status, body: idempotency.body })
        .from(idempotency)
        .where(and(eq(idempotency.principal, principal), eq(idempotency.key, key)))
        .get();
      return row ? { ...row, body: readText(row.body) } : null;
    },
    remember: async (principal: string, key: string, answer: RememberedAnswer, now: number) => {
      await db
        .insert(idempotency)
        .values({ principal, key, ...answer, body: storedText(answer.body), createdAt: now })
        .onConflictDoNothing();
    },
    forget: async (before: number) => {
      await db.delete(idempotency).where(lt(idempotency.createdAt, before));
    },
  };
}
