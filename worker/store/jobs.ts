import { eq } from "drizzle-orm";
import type { EventDraft } from "../model/webhooks/events.ts";
import type { Db } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { jobs } from "./schema.ts";

/** How far work has come that is done in portions, as JSON by name. */
export function jobStore(db: Db, wake: Wake) {
  return {
    read: async (name: string): Promise<{ state: unknown; updatedAt: number } | null> => {
      const row = await db.select().from(jobs).where(eq(jobs.name, name)).get();
      return row === undefined ? null : { state: JSON.parse(row.state) as unknown, updatedAt: row.updatedAt };
    },
    write: async (name: string, state: unknown, now: number, events: readonly EventDraft[] = []): Promise<void> => {
      const row = { state: JSON.stringify(state), updatedAt: now };
      await db.batch([
        db
          .insert(jobs)
          .values({ name, ...row })
          .onConflictDoUpdate({ target: jobs.name, set: row }),
        ...eventStatements(db, events, now),
      ]);
      if (events.length > 0) wake();
    },
  };
}
