// Placement rules of the operators.
import { and, asc, count, eq, gt } from "drizzle-orm";
import { type PlacementRule, type RuleBody, ruleBody, type StoredRule } from "../model/placement/rules.ts";
import type { AuditEntry } from "../model/principal.ts";
import { auditRow } from "./audit.ts";
import type { Db } from "./db.ts";
import { audit, placementRules } from "./schema.ts";

/** null: the row cannot be read. */
export function readRule(ruleId: string, rule: string): PlacementRule | null {
  try {
    return { ...ruleBody.parse(JSON.parse(rule)), ruleId };
  } catch {
    return null;
  }
}

function toRule({ id, rule, ...row }: typeof placementRules.$inferSelect): StoredRule | null {
  const read = readRule(id, rule);
  return read && { ...read, ...row };
}

export function ruleStore(db: Db) {
  return {
    insert: async (ruleId: string, cluster: string, rule: RuleBody, now: number, entry: AuditEntry): Promise<void> => {
      const row = { id: ruleId, cluster, rule: JSON.stringify(rule), createdAt: now, updatedAt: now };
      await db.batch([db.insert(placementRules).values(row), db.insert(audit).values(auditRow(entry, now))]);
    },

    /** null: there is none; `rule` null: it cannot be read, and can only be replaced or deleted. */
    byId: async (ruleId: string): Promise<{ cluster: string; rule: StoredRule | null } | null> => {
      const row = await db.select().from(placementRules).where(eq(placementRules.id, ruleId)).get();
      return row ? { cluster: row.cluster, rule: toRule(row) } : null;
    },

    count: async (cluster: string): Promise<number> => {
      const [row] = await db.select({ count: count() }).from(placementRules).where(eq(placementRules.cluster, cluster));
      return row?.count ?? 0;
    },

    /** By id; null: one that cannot be read. */
    list: async (
      cluster: string | null,
      after: string | null,
      limit: number,
    ): Promise<{ ruleId: string; rule: StoredRule | null }[]> => {
      const rows = await db
        .select()
        .from(placementRules)
        .where(
          and(
            cluster === null ? undefined : eq(placementRules.cluster, cluster),
            after === null ? undefined : gt(placementRules.id, after),
          ),
        )
        .orderBy(asc(placementRules.id))
        .limit(limit);
      return rows.map((row) => ({ ruleId: row.id, rule: toRule(row) }));
    },

    replace: async (ruleId: string, rule: RuleBody, now: number, entry: AuditEntry): Promise<void> => {
      await db.batch([
        db
          .update(placementRules)
          .set({ rule: JSON.stringify(rule), updatedAt: now })
          .where(eq(placementRules.id, ruleId)),
        db.insert(audit).values(auditRow(entry, now)),
      ]);
    },

    remove: async (ruleId: string, now: number, entry: AuditEntry): Promise<void> => {
      await db.batch([
        db.delete(placementRules).where(eq(placementRules.id, ruleId)),
        db.insert(audit).values(auditRow(entry, now)),
      ]);
    },
  };
}
