// Outcomes to learn from, and what was learned.
import { and, desc, eq, isNotNull } from "drizzle-orm";
import { z } from "zod";
import { calibration, calibrationOutcome } from "../model/calibration/types.ts";
import type { Calibration, CalibrationOutcome, ImportedOutcome } from "../model/calibration/types.ts";
import type { Mechanism } from "../model/wire/common.ts";
import type { AuditEntry } from "../model/principal.ts";
import type { EventDraft } from "../model/webhooks/events.ts";
import { auditRow } from "./audit.ts";
import type { Db } from "./db.ts";
import { eventStatements, type Wake } from "./outbox.ts";
import { audit, calibrations, outcomes } from "./schema.ts";

/** D1 takes 100 parameters a statement. */
const ROWS_PER_STATEMENT = 10;

/** What is told of groups that have drifted since the last time. */
export type DriftNews = { entries: AuditEntry[]; events: EventDraft[] };

export function calibrationStore(db: Db, wake: Wake) {
  return {
    /** Null: nothing was learned yet. */
    read: async (cluster: string): Promise<{ calibration: Calibration; drifted: string[] } | null> => {
      const row = await db.select().from(calibrations).where(eq(calibrations.cluster, cluster)).get();
      if (!row) return null;
      return {
        calibration: calibration.parse(JSON.parse(row.body)),
        drifted: z.array(z.string()).parse(JSON.parse(row.drifted)),
      };
    },

    save: async (
      cluster: string,
      body: Calibration,
      drifted: string[],
      { entries, events }: DriftNews,
      fittedAt: number,
    ) => {
      const values = { body: JSON.stringify(body), drifted: JSON.stringify(drifted), fittedAt };
      await db.batch([
        db
          .insert(calibrations)
          .values({ cluster, ...values })
          .onConflictDoUpdate({ target: calibrations.cluster, set: values }),
        ...entries.map((entry) => db.insert(audit).values(auditRow(entry, fittedAt))),
        ...eventStatements(db, events, fittedAt),
      ]);
      if (events.length > 0) wake();
    },

    /** The newest lessons of each mechanism in a cluster, so that a busy one does not crowd out the others. */
    lessons: async (cluster: string, limit: number): Promise<CalibrationOutcome[]> => {
      const newest = (name: Mechanism) =>
        db
          .select({ lesson: outcomes.lesson })
          .from(outcomes)
          .where(and(eq(outcomes.cluster, cluster), eq(outcomes.mechanism, name), isNotNull(outcomes.lesson)))
          // Imports without a time are all as old: their ids are hashes, so that these are taken at random.
          .orderBy(desc(outcomes.recordedAt), desc(outcomes.migrationId))
          .limit(limit);
      const found = await db.batch([
        newest("pre-copy"),
        newest("post-copy"),
        newest("hybrid"),
        newest("stop-and-copy"),
      ]);
      return found.flat().map(({ lesson }) => calibrationOutcome.parse(JSON.parse(lesson ?? "")));
    },

    clusters: async (): Promise<string[]> =>
      (await db.select({ cluster: calibrations.cluster }).from(calibrations)).map(({ cluster }) => cluster),

    /** All or none; what is there already stays as it is. Returns how many are new. */
    insert: async (rows: readonly ImportedOutcome[]): Promise<number> => {
      const values = rows.map(({ id, lesson, predicted }) => ({
        migrationId: id,
        cluster: lesson.cluster,
        hypervisor: lesson.hypervisor,
        driver: lesson.driver,
        mechanism: lesson.mechanism,
        state: lesson.converged ? "completed" : "cancelled",
        predicted: JSON.stringify(predicted),
        measured: JSON.stringify(lesson.measured),
        recordedAt: lesson.at,
        lesson: JSON.stringify(lesson),
      }));
      const parts = Array.from({ length: Math.ceil(values.length / ROWS_PER_STATEMENT) }, (_, part) =>
        values.slice(part * ROWS_PER_STATEMENT, (part + 1) * ROWS_PER_STATEMENT),
      );
      const [first, ...rest] = parts.map((part) =>
        db.insert(outcomes).values(part).onConflictDoNothing().returning({ id: outcomes.migrationId }),
      );
      if (first === undefined) return 0;
      return (await db.batch([first, ...rest])).reduce((sum, added) => sum + added.length, 0);
    },
  };
}
