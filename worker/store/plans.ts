import { and, desc, eq, getTableColumns, gt, inArray, lt, sql } from "drizzle-orm";
import { z } from "zod";
import { planContent, planState } from "../model/placement/types.ts";
import { onFailure, type Plan, type PlanSummary } from "../model/plan.ts";
import { policyMode } from "../model/policy/policy.ts";
import type { AuditEntry } from "../model/principal.ts";
import type { ApprovalGiven } from "../model/approval.ts";
import { type PlanDecision, planDecided, planProposed, planStateEvent } from "../model/webhooks/drafts.ts";
import { approvalStatement } from "./approvals.ts";
import { auditRow } from "./audit.ts";
import { type Db, isUniqueViolation } from "./db.ts";
import type { NewRun } from "../model/run.ts";
import { readText, storedText } from "./packed-text.ts";
import { eventStatements, planStateStatement, type Wake } from "./outbox.ts";
import { inputRows } from "./plan-inputs.ts";
import { runRow } from "./run-rows.ts";
import { audit, migrations, plans } from "./schema.ts";

/** D1 keeps at most 2 MB a row. */
const CONTENT_LENGTH_MAX = 1_900_000;

const numbers = z.array(z.int());

const toSummary = (row: Omit<typeof plans.$inferSelect, "content">): PlanSummary => ({
  planId: row.id,
  cluster: row.cluster,
  goal: row.goal,
  state: planState.parse(row.state),
  version: row.version,
  contentHash: row.contentHash,
  inputHash: row.inputHash,
  skipped: numbers.parse(JSON.parse(row.skipped)),
  createdBy: row.createdBy,
  createdAt: row.createdAt,
  expiresAt: row.expiresAt,
  decidedBy: row.decidedBy,
  decidedAt: row.decidedAt,
  reason: row.reason,
  endedAt: row.endedAt,
  policyId: row.policyId,
  mode: row.mode === null ? null : policyMode.parse(row.mode),
  onFailure: row.onFailure === null ? null : onFailure.parse(row.onFailure),
  replans: row.replans,
});

export const toPlan = (row: typeof plans.$inferSelect): Plan => {
  const { cluster: _, goal: __, ...summary } = toSummary(row);
  return { ...summary, content: planContent.parse(JSON.parse(readText(row.content))) };
};

/** A plan changes only from the version that was read; the column turns NULL, and the batch rolls back, where it did not. */
const guarded = (version: number) => sql<number>`CASE WHEN ${plans.version} = ${version} THEN ${plans.version} + 1 END`;

/** A plan in the spelling that its hashes are of. */
export type PlanTexts = { contentText: string; snapshotText: string; engineVersion: string };

/** What a policy proposed and nobody decided: it stands by it no more. */
export const supersede = (db: Db, planIds: string[], at: number) => {
  const which = and(inArray(plans.id, planIds), eq(plans.state, "proposed"));
  return [
    planStateStatement(db, "plan.superseded", which, at),
    db
      .update(plans)
      .set({ state: "superseded", version: sql`${plans.version} + 1`, endedAt: at })
      .where(which),
  ] as const;
};

export function planStore(db: Db, wake: Wake) {
  return {
    byId: async (planId: string): Promise<Plan | null> => {
      const row = await db.select().from(plans).where(eq(plans.id, planId)).get();
      return row ? toPlan(row) : null;
    },

    /** Newest first; `before` is the id of the last plan of the page before. */
    list: async (cluster: string | null, before: string | null, limit: number): Promise<PlanSummary[]> => {
      const { content: _, ...columns } = getTableColumns(plans);
      const rows = await db
        .select(columns)
        .from(plans)
        .where(
          and(
            cluster === null ? undefined : eq(plans.cluster, cluster),
            before === null ? undefined : lt(plans.id, before),
          ),
        )
        .orderBy(desc(plans.id))
        .limit(limit);
      return rows.map(toSummary);
    },

    /**
     * `contentText` is the canonical JSON whose SHA-256 is `plan.contentHash`; the snapshot is kept beside it if it is not
     * too large. The plans in `superseded` give way to it where nobody has decided them. False, and nothing is stored: the
     * content is too large.
     */
    insert: async (
      plan: Plan,
      { contentText, snapshotText, engineVersion }: PlanTexts,
      superseded: string[],
      entry: AuditEntry,
    ) => {
      const content = storedText(contentText);
      if (content.length > CONTENT_LENGTH_MAX) return false;
      const others = superseded.length === 0 ? [] : supersede(db, superseded, plan.createdAt);
      await db.batch([
        db.insert(audit).values(auditRow(entry, plan.createdAt)),
        // Before the new one is there.
        ...others,
        db.insert(plans).values({
          id: plan.planId,
          cluster: plan.content.cluster,
          goal: plan.content.goal,
          state: plan.state,
          version: plan.version,
          content,
          contentHash: plan.contentHash,
          inputHash: plan.inputHash,
          createdBy: plan.createdBy,
          createdAt: plan.createdAt,
          expiresAt: plan.expiresAt,
          skipped: JSON.stringify(plan.skipped),
          endedAt: plan.endedAt,
          policyId: plan.policyId,
          mode: plan.mode,
          replans: plan.replans,
        }),
        ...inputRows(db, plan.planId, snapshotText, engineVersion, plan.createdAt),
        ...eventStatements(db, planProposed(plan), plan.createdAt),
      ]);
      wake();
      return true;
    },

    /**
     * Decides a proposed plan; approval makes its runs in the same batch. A NOT NULL failure means that the plan has
     * changed meanwhile; a unique violation (returned as `vm-busy`) that a VM has another active run. `given`: the approval of
     * the person who decides.
     */
    decide: async (
      plan: Plan,
      decision: PlanDecision & { at: number },
      runs: NewRun[],
      entry: AuditEntry,
      given?: ApprovalGiven,
    ): Promise<"done" | "vm-busy"> => {
      try {
        await db.batch([
          db
            .update(plans)
            .set({
              state: decision.state,
              version: guarded(plan.version),
              decidedBy: decision.by,
              decidedAt: decision.at,
              reason: decision.reason,
              endedAt: decision.state === "rejected" ? decision.at : null,
              ...(decision.skipped ? { skipped: JSON.stringify(decision.skipped) } : {}),
              ...(decision.onFailure ? { onFailure: decision.onFailure } : {}),
            })
            .where(eq(plans.id, plan.planId)),
          ...runs.map((run) => db.insert(migrations).values(runRow(run))),
          ...(given ? [approvalStatement(db, plan.planId, given, decision.override === true)] : []),
          db.insert(audit).values(auditRow(entry, decision.at)),
          ...eventStatements(db, [planDecided(plan, decision)], decision.at),
        ]);
        wake();
        return "done";
      } catch (error) {
        if (isUniqueViolation(error)) return "vm-busy";
        throw error;
      }
    },

    setSkipped: async (plan: Plan, skipped: number[], at: number, entry: AuditEntry) => {
      await db.batch([
        db
          .update(plans)
          .set({ skipped: JSON.stringify(skipped), version: guarded(plan.version) })
          .where(eq(plans.id, plan.planId)),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
    },

    /** Ends an approved plan by hand. */
    cancel: async (plan: Plan, at: number, entry: AuditEntry) => {
      const isIt = eq(plans.id, plan.planId);
      await db.batch([
        planStateStatement(db, "plan.cancelled", isIt, at),
        db
          .update(plans)
          .set({ state: "cancelled", version: guarded(plan.version), endedAt: at })
          .where(isIt),
        db.insert(audit).values(auditRow(entry, at)),
      ]);
      wake();
    },

    /** The plan that plans the rest of this one anew, if it was made. */
    replanOf: async (planId: string): Promise<string | null> =>
      (await db.select({ id: plans.id }).from(plans).where(eq(plans.replans, planId)).get())?.id ?? null,

    /** Plans that have failed since, whose rest is to be planned anew and was not yet. */
    toReplan: async (since: number): Promise<string[]> =>
      (
        await db
          .select({ id: plans.id })
          .from(plans)
          .where(
            and(
              eq(plans.state, "failed"),
              eq(plans.onFailure, "replan"),
              gt(plans.endedAt, since),
              sql`NOT EXISTS (SELECT 1 FROM plans later WHERE later.replans = ${plans.id})`,
            ),
          )
      ).map(({ id }) => id),

    /** Approved plans, those whose runs have begun among them. */
    underway: async (cluster: string | null): Promise<{ planId: string; cluster: string }[]> =>
      db
        .select({ planId: plans.id, cluster: plans.cluster })
        .from(plans)
        .where(
          and(
            inArray(plans.state, ["approved", "executing"]),
            cluster === null ? undefined : eq(plans.cluster, cluster),
          ),
        ),

    /** Moves a plan on as its runs do. False: it was no longer in `from`. */
    advance: async (
      planId: string,
      from: Plan["state"][],
      to: Plan["state"],
      at: number,
      ended: boolean,
    ): Promise<boolean> => {
      const which = and(eq(plans.id, planId), inArray(plans.state, from));
      const type = planStateEvent(to);
      const change = db
        .update(plans)
        .set({ state: to, version: sql`${plans.version} + 1`, ...(ended ? { endedAt: at } : {}) })
        .where(which)
        .returning({ id: plans.id });
      const changed =
        type === null ? await change : (await db.batch([planStateStatement(db, type, which, at), change]))[1];
      if (changed.length > 0) wake();
      return changed.length > 0;
    },

    /** Proposed plans past their time become `expired`; returns how many. */
    expire: async (now: number): Promise<number> => {
      const which = and(eq(plans.state, "proposed"), lt(plans.expiresAt, now));
      const [, changed] = await db.batch([
        planStateStatement(db, "plan.expired", which, now),
        db
          .update(plans)
          .set({ state: "expired", version: sql`${plans.version} + 1`, endedAt: now })
          .where(which)
          .returning({ id: plans.id }),
      ]);
      if (changed.length > 0) wake();
      return changed.length;
    },
  };
}
