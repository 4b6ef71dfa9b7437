// The ledger of outcomes, read from the runs that have ended.
import { and, desc, eq, gte, isNotNull, lt, lte, or } from "drizzle-orm";
import { type OutcomeRecord, outcomeRecordOf } from "../model/outcome-record.ts";
import type { Mechanism } from "../model/wire/common.ts";
import { driverName, hypervisor } from "../model/wire/common.ts";
import type { Db } from "./db.ts";
import { toRun } from "./run-rows.ts";
import { migrations, outcomes } from "./schema.ts";

/** What is given narrows; `after`: older than the last one of the page before. */
export type OutcomeFilter = {
  cluster?: string | undefined;
  /** Source or destination. */
  host?: string | undefined;
  vm?: string | undefined;
  mechanism?: Mechanism | undefined;
  state?: OutcomeRecord["state"] | undefined;
  /** Ended at or after this time, and before that one, ms since 1970. */
  from?: number | undefined;
  to?: number | undefined;
  after: { endedAt: number; migrationId: string } | null;
  limit: number;
};

export function outcomeStore(db: Db) {
  return {
    /** Runs that have ended, the last one first. */
    list: async (filter: OutcomeFilter): Promise<OutcomeRecord[]> => {
      const { cluster, host, vm, mechanism, state, from, to, after, limit } = filter;
      const rows = await db
        .select({
          run: migrations,
          hypervisor: outcomes.hypervisor,
          driver: outcomes.driver,
          lesson: isNotNull(outcomes.lesson).mapWith(Boolean),
        })
        .from(migrations)
        .leftJoin(outcomes, eq(outcomes.migrationId, migrations.id))
        .where(
          and(
            isNotNull(migrations.endedAt),
            cluster === undefined ? undefined : eq(migrations.cluster, cluster),
            host === undefined ? undefined : or(eq(migrations.fromHostId, host), eq(migrations.toHostId, host)),
            vm === undefined ? undefined : eq(migrations.vmUuid, vm),
            mechanism === undefined ? undefined : eq(migrations.mechanism, mechanism),
            state === undefined ? undefined : eq(migrations.state, state),
            from === undefined ? undefined : gte(migrations.endedAt, from),
            to === undefined ? undefined : lt(migrations.endedAt, to),
            after === null ? undefined : lte(migrations.endedAt, after.endedAt),
            after === null
              ? undefined
              : or(lt(migrations.endedAt, after.endedAt), lt(migrations.id, after.migrationId)),
          ),
        )
        .orderBy(desc(migrations.endedAt), desc(migrations.id))
        .limit(limit);
      return rows.flatMap(
        (row) =>
          outcomeRecordOf(toRun(row.run), {
            hypervisor: row.hypervisor === null ? null : hypervisor.parse(row.hypervisor),
            driver: row.driver === null ? null : driverName.parse(row.driver),
            learned: row.lesson,
          }) ?? [],
      );
    },
  };
}
