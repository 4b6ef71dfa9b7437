// Whose approval plans need, and who has given it.
import { asc, eq } from "drizzle-orm";
import { z } from "zod";
import type { ApprovalGiven } from "../model/approval.ts";
import { approvalRule, type ApprovalRule } from "../model/approval-rule.ts";
import { onFailure } from "../model/plan.ts";
import type { AuditEntry } from "../model/principal.ts";
import type { EventDraft } from "../model/webhooks/events.ts";
import { auditRow } from "./audit.ts";
import type { Db } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { approvalRules, audit, planApprovals } from "./schema.ts";

const numbers = z.array(z.int());

export type StoredRule = { cluster: string; rule: ApprovalRule; updatedBy: string; updatedAt: number };
const toRule = (row: typeof approvalRules.$inferSelect): StoredRule => ({
  ...row,
  rule: approvalRule.parse(JSON.parse(row.rule)),
});

/** To be put into the batch of a decision. */
export const approvalStatement = (db: Db, planId: string, given: ApprovalGiven, isOverride: boolean) => {
  const { by, at, contentHash, reason } = given;
  const row = {
    at,
    contentHash,
    skipped: JSON.stringify(given.skipped),
    reason,
    onFailure: given.onFailure,
    isOverride,
  };
  return db
    .insert(planApprovals)
    .values({ planId, principalId: by, ...row })
    .onConflictDoUpdate({ target: [planApprovals.planId, planApprovals.principalId], set: row });
};

export function approvalStore(db: Db, wake: Wake) {
  return {
    rules: async (): Promise<StoredRule[]> =>
      (await db.select().from(approvalRules).orderBy(asc(approvalRules.cluster))).map(toRule),

    /** Null: the cluster has none. */
    ruleOf: async (cluster: string): Promise<StoredRule | null> => {
      const row = await db.select().from(approvalRules).where(eq(approvalRules.cluster, cluster)).get();
      return row ? toRule(row) : null;
    },

    setRule: async ({ cluster, rule, updatedBy, updatedAt }: StoredRule, entry: AuditEntry) => {
      const set = { rule: JSON.stringify(rule), updatedBy, updatedAt };
      await db.batch([
        db
          .insert(approvalRules)
          .values({ cluster, ...set })
          .onConflictDoUpdate({ target: approvalRules.cluster, set }),
        db.insert(audit).values(auditRow(entry, updatedAt)),
      ]);
    },

    removeRule: async (cluster: string, entry: AuditEntry, at: number) => {
      await db.batch([
        db.delete(approvalRules).where(eq(approvalRules.cluster, cluster)),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
    },

    /** Of a plan, the oldest first. */
    given: async (planId: string): Promise<(ApprovalGiven & { isOverride: boolean })[]> =>
      (
        await db.select().from(planApprovals).where(eq(planApprovals.planId, planId)).orderBy(asc(planApprovals.at))
      ).map((row) => ({
        by: row.principalId,
        at: row.at,
        contentHash: row.contentHash,
        skipped: numbers.parse(JSON.parse(row.skipped)),
        reason: row.reason,
        onFailure: onFailure.parse(row.onFailure),
        isOverride: row.isOverride,
      })),

    /** Writes down an approval that does not decide yet. */
    give: async (planId: string, given: ApprovalGiven, entry: AuditEntry, event: EventDraft) => {
      await db.batch([
        approvalStatement(db, planId, given, false),
        db.insert(audit).values(auditRow(entry, given.at)),
        ...eventStatements(db, [event], given.at),
      ]);
      wake();
    },
  };
}
