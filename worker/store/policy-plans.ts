// What became of the plans of a policy, and what was really moved beside them.
import { and, asc, desc, eq, gt, gte, inArray, isNotNull, isNull, lt, or, sql } from "drizzle-orm";
import type { SpentMove } from "../model/policy/budget.ts";
import type { Plan } from "../model/plan.ts";
import { outcome as outcomeSchema } from "../model/wire/event.ts";
import { mechanism } from "../model/wire/common.ts";
import type { RealMove } from "../model/policy/scoreboard.ts";
import type { Db } from "./db.ts";
import type { Wake } from "./outbox.ts";
import { supersede, toPlan } from "./plans.ts";
import { migrations, placements, planInputs, plans } from "./schema.ts";

/** Of one policy: an evacuation for each of so many hosts. */
const WAITING_MAX = 50;

export function policyPlanStore(db: Db, wake: Wake) {
  const newest = async (policyId: string, condition: ReturnType<typeof and>): Promise<Plan | null> => {
    const row = await db
      .select()
      .from(plans)
      .where(and(eq(plans.policyId, policyId), condition))
      .orderBy(desc(plans.createdAt))
      .limit(1)
      .get();
    return row ? toPlan(row) : null;
  };

  return {
    /** Plans that wait for a decision and are not past their time, newest first. */
    waiting: async (policyId: string, now: number): Promise<Plan[]> =>
      (
        await db
          .select()
          .from(plans)
          .where(and(eq(plans.policyId, policyId), eq(plans.state, "proposed"), gt(plans.expiresAt, now)))
          .orderBy(desc(plans.createdAt))
          .limit(WAITING_MAX)
      ).map(toPlan),

    /** The newest plan made in shadow since `since`, if it has moves. */
    shadow: (policyId: string, since: number) =>
      newest(policyId, and(eq(plans.mode, "shadow"), gt(plans.createdAt, since))),

    /** A plan that was approved and whose migrations have not all ended. */
    underWay: (policyId: string) => newest(policyId, inArray(plans.state, ["approved", "executing"])),

    /** Ids of plans of all policies that silence may approve, oldest first. */
    waitingForSilence: async (now: number, limit: number): Promise<string[]> =>
      (
        await db
          .select({ id: plans.id })
          .from(plans)
          .where(
            and(
              isNotNull(plans.policyId),
              eq(plans.state, "proposed"),
              eq(plans.mode, "approve-by-timeout"),
              gt(plans.expiresAt, now),
            ),
          )
          .orderBy(asc(plans.createdAt))
          .limit(limit)
      ).map(({ id }) => id),

    /** The newest plans that were executed and made at or after `since`, newest last; `whole`: only those with all moves. */
    executed: async (
      policyId: string,
      { since, limit, whole }: { since: number; limit: number; whole: boolean },
    ): Promise<Plan[]> =>
      (
        await db
          .select()
          .from(plans)
          .where(
            and(
              eq(plans.policyId, policyId),
              inArray(plans.state, ["done", "failed"]),
              isNotNull(plans.decidedAt),
              gte(plans.createdAt, since),
              whole ? eq(plans.skipped, "[]") : undefined,
            ),
          )
          .orderBy(desc(plans.createdAt))
          .limit(limit)
      )
        .map(toPlan)
        .toReversed(),

    /** Shadow plans made in [from, to), oldest first. */
    shadowsIn: async (policyId: string, from: number, to: number, limit: number): Promise<Plan[]> =>
      (
        await db
          .select()
          .from(plans)
          .where(
            and(
              eq(plans.policyId, policyId),
              eq(plans.mode, "shadow"),
              gte(plans.createdAt, from),
              lt(plans.createdAt, to),
            ),
          )
          .orderBy(asc(plans.createdAt))
          .limit(limit)
      ).map(toPlan),

    /** The advisor finds nothing to do any more: what stands undecided is void. */
    supersede: async (planIds: string[], at: number) => {
      if (planIds.length === 0) return;
      await db.batch(supersede(db, planIds, at));
      wake();
    },

    /** Of plans that nobody approved: the snapshots of those made before `snapshotsBefore`, and all of those before `plansBefore`. */
    forget: async ({ plansBefore, snapshotsBefore }: { plansBefore: number; snapshotsBefore: number }) => {
      const undecided = and(
        isNotNull(plans.policyId),
        isNull(plans.decidedAt),
        inArray(plans.state, ["expired", "superseded", "done"]),
      );
      await db.batch([
        db.delete(plans).where(and(undecided, lt(plans.createdAt, plansBefore))),
        db.delete(planInputs).where(
          inArray(
            planInputs.planId,
            db
              .select({ id: plans.id })
              .from(plans)
              .where(and(undecided, lt(plans.createdAt, snapshotsBefore))),
          ),
        ),
      ]);
    },

    /** Migrations of a cluster that were approved after `since`, but for those that never touched their VM. */
    spent: async (cluster: string, policyId: string, since: number): Promise<SpentMove[]> =>
      (
        await db
          .select({
            at: migrations.createdAt,
            vm: migrations.vmUuid,
            bytes: sql<number>`COALESCE(json_extract(${migrations.measured}, '$.transferredBytes'), json_extract(${migrations.predicted}, '$.transferredBytes.p50'), 0)`,
            policyId: plans.policyId,
          })
          .from(migrations)
          .leftJoin(plans, eq(plans.id, migrations.planId))
          .where(
            and(
              eq(migrations.cluster, cluster),
              or(isNull(migrations.endedAt), gt(migrations.endedAt, since)),
              gt(migrations.createdAt, since),
              or(isNull(migrations.endedAt), isNotNull(migrations.fencingToken)),
            ),
          )
      ).map(({ policyId: by, ...move }) => ({ ...move, byPolicy: by === policyId })),

    /** Migrations of a cluster that ended in [from, to), or still run and began before `to`. */
    migrationsIn: async (cluster: string, from: number, to: number): Promise<RealMove[]> =>
      (
        await db
          .select()
          .from(migrations)
          .where(
            and(
              eq(migrations.cluster, cluster),
              or(isNull(migrations.endedAt), gte(migrations.endedAt, from)),
              lt(migrations.createdAt, to),
            ),
          )
          .orderBy(asc(migrations.createdAt))
          .limit(5000)
      ).map((row) => ({
        vm: row.vmUuid,
        vmName: row.vmName,
        fromHostId: row.fromHostId,
        toHostId: row.toHostId,
        at: row.createdAt,
        endedAt: row.endedAt,
        migrationId: row.id,
        planId: row.planId,
        state: row.state,
        mechanism: mechanism.parse(row.mechanism),
        measured: row.measured === null ? null : outcomeSchema.parse(JSON.parse(row.measured)),
      })),

    /** Where VMs of a cluster were seen to arrive in [from, to), with the host they were last seen on before. */
    arrivalsIn: async (cluster: string, from: number, to: number) => {
      // Columns of the outer row by hand: drizzle would write them without their table, and they would be p's own.
      const previous = sql<string | null>`(SELECT p.host_id FROM placements p
        WHERE p.cluster = placements.cluster AND p.uuid = placements.uuid AND p.from_at < placements.from_at
        ORDER BY p.from_at DESC LIMIT 1)`;
      return db
        .select({ vm: placements.uuid, toHostId: placements.hostId, at: placements.fromAt, fromHostId: previous })
        .from(placements)
        .where(and(eq(placements.cluster, cluster), gte(placements.fromAt, from), lt(placements.fromAt, to)))
        .orderBy(asc(placements.fromAt))
        .limit(5000);
    },
  };
}
