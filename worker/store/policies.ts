import { and, asc, eq, gt, sql } from "drizzle-orm";
import {
  type Policy,
  type StoredPolicy,
  type UnreadablePolicy,
  definitionOf,
  readStored,
} from "../model/policy/policy.ts";
import type { AuditEntry } from "../model/principal.ts";
import type { EventDraft } from "../model/webhooks/events.ts";
import { auditRow } from "./audit.ts";
import { type Db, failedGuard, isUniqueViolation } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { audit, policies, policyRuns } from "./schema.ts";

const toStored = ({ id, definition, ...row }: typeof policies.$inferSelect): StoredPolicy =>
  readStored({ ...row, policyId: id }, definition);

/** What an operator's change may write: the schedule's columns are left alone. */
const columnsOf = (policy: Policy) => ({
  cluster: policy.cluster,
  name: policy.name,
  enabled: policy.enabled,
  version: policy.version,
  definition: JSON.stringify(definitionOf(policy)),
  updatedAt: policy.updatedAt,
  activatedAt: policy.activatedAt,
  modeSince: policy.modeSince,
});

export function policyStore(db: Db, wake: Wake) {
  return {
    byId: async (policyId: string): Promise<StoredPolicy | null> => {
      const row = await db.select().from(policies).where(eq(policies.id, policyId)).get();
      return row ? toStored(row) : null;
    },

    /** In the order in which they were made. */
    list: async (cluster: string | null, after: string | null, limit: number): Promise<StoredPolicy[]> =>
      (
        await db
          .select()
          .from(policies)
          .where(
            and(
              cluster === null ? undefined : eq(policies.cluster, cluster),
              after === null ? undefined : gt(policies.id, after),
            ),
          )
          .orderBy(asc(policies.id))
          .limit(limit)
      ).map(toStored),

    /** Those that are not paused. `unreadable`: rows that do not fit what a policy is; they do not hold up others. */
    enabled: async (cluster: string | null): Promise<{ policies: Policy[]; unreadable: UnreadablePolicy[] }> => {
      const stored = (
        await db
          .select()
          .from(policies)
          .where(and(eq(policies.enabled, true), cluster === null ? undefined : eq(policies.cluster, cluster)))
          .orderBy(asc(policies.id))
      ).map(toStored);
      return {
        policies: stored.flatMap(({ policy }) => policy ?? []),
        unreadable: stored.flatMap(({ unreadable }) => unreadable ?? []),
      };
    },

    insert: async (policy: Policy, entry: AuditEntry): Promise<"done" | "name-taken"> => {
      try {
        await db.batch([
          db.insert(policies).values({
            id: policy.policyId,
            ...columnsOf(policy),
            createdBy: policy.createdBy,
            createdAt: policy.createdAt,
          }),
          db.insert(audit).values(auditRow(entry, policy.createdAt)),
        ]);
        return "done";
      } catch (error) {
        if (isUniqueViolation(error)) return "name-taken";
        throw error;
      }
    },

    /** `policy.version` is the new one, one above that which was read. `changed`: another change came first, or it is gone. */
    update: async (
      policy: Policy,
      entry: AuditEntry,
      event?: EventDraft,
    ): Promise<"done" | "name-taken" | "changed"> => {
      const guarded = sql<number>`CASE WHEN ${policies.version} = ${policy.version - 1} THEN ${policy.version} END`;
      try {
        const [changed] = await db.batch([
          db
            .update(policies)
            .set({ ...columnsOf(policy), version: guarded })
            .where(eq(policies.id, policy.policyId))
            .returning({ id: policies.id }),
          db.insert(audit).values(auditRow(entry, policy.updatedAt)),
          ...eventStatements(db, event === undefined ? [] : [event], policy.updatedAt),
        ]);
        if (event !== undefined) wake();
        return changed.length > 0 ? "done" : "changed";
      } catch (error) {
        if (failedGuard(error) === "policies.version") return "changed";
        if (isUniqueViolation(error)) return "name-taken";
        throw error;
      }
    },

    /** Its runs go with it; its plans stay. */
    remove: async (policyId: string, entry: AuditEntry, at: number) => {
      await db.batch([
        db.delete(policies).where(eq(policies.id, policyId)),
        db.delete(policyRuns).where(eq(policyRuns.policyId, policyId)),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
    },
  };
}
