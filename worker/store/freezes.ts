import { and, asc, eq, gt, isNull, or, sql } from "drizzle-orm";
import { type Freeze, freeze } from "../model/policy/freeze.ts";
import type { AuditEntry } from "../model/principal.ts";
import { freezeEvent } from "../model/webhooks/drafts.ts";
import { auditRow } from "./audit.ts";
import { type Db, failedGuard } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { audit, freezes } from "./schema.ts";

const { windows: windowsSchema, scope: scopeSchema } = freeze.shape;

const toFreeze = (row: typeof freezes.$inferSelect): Freeze => {
  const windows = row.windows === null ? undefined : windowsSchema.parse(JSON.parse(row.windows));
  const scope = row.scope === null ? undefined : scopeSchema.parse(JSON.parse(row.scope));
  return {
    freezeId: row.id,
    cluster: row.cluster,
    ...(row.fromAt === null ? {} : { from: row.fromAt }),
    ...(row.toAt === null ? {} : { to: row.toAt }),
    ...(windows === undefined ? {} : { windows }),
    ...(scope === undefined ? {} : { scope }),
    reason: row.reason,
    version: row.version,
    createdBy: row.createdBy,
    createdAt: row.createdAt,
    updatedAt: row.updatedAt,
  };
};

const toRow = (value: Freeze): typeof freezes.$inferInsert => ({
  id: value.freezeId,
  cluster: value.cluster,
  version: value.version,
  fromAt: value.from ?? null,
  toAt: value.to ?? null,
  windows: value.windows === undefined ? null : JSON.stringify(value.windows),
  scope: value.scope === undefined ? null : JSON.stringify(value.scope),
  reason: value.reason,
  createdBy: value.createdBy,
  createdAt: value.createdAt,
  updatedAt: value.updatedAt,
});

export function freezeStore(db: Db, wake: Wake) {
  return {
    byId: async (freezeId: string): Promise<Freeze | null> => {
      const row = await db.select().from(freezes).where(eq(freezes.id, freezeId)).get();
      return row ? toFreeze(row) : null;
    },

    /** In the order in which they were made. */
    list: async (cluster: string | null, after: string | null, limit: number): Promise<Freeze[]> =>
      (
        await db
          .select()
          .from(freezes)
          .where(
            and(
              cluster === null ? undefined : eq(freezes.cluster, cluster),
              after === null ? undefined : gt(freezes.id, after),
            ),
          )
          .orderBy(asc(freezes.id))
          .limit(limit)
      ).map(toFreeze),

    /** Those of a cluster that are not over at `now`. */
    notOver: async (cluster: string, now: number): Promise<Freeze[]> =>
      (
        await db
          .select()
          .from(freezes)
          .where(and(eq(freezes.cluster, cluster), or(isNull(freezes.toAt), gt(freezes.toAt, now))))
          .orderBy(asc(freezes.id))
      ).map(toFreeze),

    insert: async (value: Freeze, entry: AuditEntry) => {
      await db.batch([
        db.insert(freezes).values(toRow(value)),
        db.insert(audit).values(auditRow(entry, value.createdAt)),
        ...eventStatements(db, [freezeEvent("freeze.created", value, entry.actor)], value.createdAt),
      ]);
      wake();
    },

    /** `value.version` is the new one, one above that which was read. False: it has changed meanwhile, or is gone. */
    update: async (value: Freeze, entry: AuditEntry): Promise<boolean> => {
      const guarded = sql<number>`CASE WHEN ${freezes.version} = ${value.version - 1} THEN ${value.version} END`;
      try {
        const [changed] = await db.batch([
          db
            .update(freezes)
            .set({ ...toRow(value), version: guarded })
            .where(eq(freezes.id, value.freezeId))
            .returning({ id: freezes.id }),
          db.insert(audit).values(auditRow(entry, value.updatedAt)),
          ...eventStatements(db, [freezeEvent("freeze.changed", value, entry.actor)], value.updatedAt),
        ]);
        wake();
        return changed.length > 0;
      } catch (error) {
        if (failedGuard(error) === "freezes.version") return false;
        throw error;
      }
    },

    remove: async (value: Freeze, entry: AuditEntry, at: number) => {
      await db.batch([
        db.delete(freezes).where(eq(freezes.id, value.freezeId)),
        db.insert(audit).values(auditRow(entry, at)),
        ...eventStatements(db, [freezeEvent("freeze.deleted", value, entry.actor)], at),
      ]);
      wake();
    },
  };
}
