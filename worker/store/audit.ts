import { desc, lt } from "drizzle-orm";
import type { AuditEntry } from "../model/principal.ts";
import type { EventDraft } from "../model/webhooks/events.ts";
import type { Db } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { audit } from "./schema.ts";

/** The row of an audit entry, to be inserted in the same batch as the change it tells of. */
export const auditRow = (entry: AuditEntry, at: number): typeof audit.$inferInsert => ({
  at,
  actor: entry.actor,
  action: entry.action,
  subject: entry.subject,
  reason: entry.reason ?? null,
  detail: entry.detail === undefined ? null : JSON.stringify(entry.detail),
});

export function auditStore(db: Db, wake: Wake) {
  return {
    record: async (entry: AuditEntry, at: number, events: readonly EventDraft[] = []) => {
      await db.batch([db.insert(audit).values(auditRow(entry, at)), ...eventStatements(db, events, at)]);
      if (events.length > 0) wake();
    },
    /** Newest first; `before` is the id of the last entry of the page before. */
    page: async (limit: number, before: number | null) =>
      (
        await db
          .select()
          .from(audit)
          .where(before === null ? undefined : lt(audit.id, before))
          .orderBy(desc(audit.id))
          .limit(limit)
      ).map((row) => ({ ...row, detail: row.detail === null ? null : (JSON.parse(row.detail) as unknown) })),
  };
}
