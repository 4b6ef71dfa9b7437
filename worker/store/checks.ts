// Questions to agents that move nothing, their answers, and what was measured of links.
import { and, eq, isNull, lt, sql } from "drizzle-orm";
import type { CommandRecord } from "../model/run.ts";
import { type CheckAnswer, type MeasuredLink, checkAnswer, measuredLink } from "../model/wire/question.ts";
import { pendingStatement } from "./commands.ts";
import type { Db } from "./db.ts";
import { checks, commands, links } from "./schema.ts";

export type Check = {
  id: string;
  cluster: string;
  /** Who was asked. */
  hostId: string;
  type: string;
  createdAt: number;
  /** Null: not answered yet. */
  answer: CheckAnswer | null;
  answeredAt: number | null;
};

/** Of the cluster's hosts. */
export type LinkEnds = { cluster: string; fromHostId: string; toHostId: string };

export function checkStore(db: Db) {
  return {
    /** The question, and the command that carries it. */
    ask: async (check: Pick<Check, "id" | "cluster" | "hostId" | "type" | "createdAt">, command: CommandRecord) => {
      await db.batch([db.insert(checks).values(check), pendingStatement(db, command)]);
    },

    byId: async (id: string): Promise<Check | null> => {
      const row = await db.select().from(checks).where(eq(checks.id, id)).get();
      return row ? { ...row, answer: row.answer === null ? null : checkAnswer.parse(JSON.parse(row.answer)) } : null;
    },

    /** The first answer counts; the command that asked is not delivered again. False: it was answered before. */
    answer: async (id: string, answer: CheckAnswer, at: number): Promise<boolean> => {
      const [answered] = await db.batch([
        db
          .update(checks)
          .set({ answer: JSON.stringify(answer), answeredAt: at })
          .where(and(eq(checks.id, id), isNull(checks.answer)))
          .returning({ id: checks.id }),
        db
          .update(commands)
          .set({ state: answer.type === "refused" ? "refused" : "acknowledged" })
          .where(and(eq(commands.id, id), eq(commands.state, "pending"))),
      ]);
      return answered.length > 0;
    },

    setLink: async ({ cluster, fromHostId, toHostId }: LinkEnds, link: MeasuredLink) => {
      const set = { measured: JSON.stringify(link), measuredAt: link.at };
      await db
        .insert(links)
        .values({ cluster, fromHostId, toHostId, ...set })
        .onConflictDoUpdate({
          target: [links.cluster, links.fromHostId, links.toHostId],
          set,
          setWhere: sql`${links.measuredAt} <= excluded.measured_at`,
        });
    },

    link: async ({ cluster, fromHostId, toHostId }: LinkEnds): Promise<MeasuredLink | null> => {
      const row = await db
        .select({ measured: links.measured })
        .from(links)
        .where(and(eq(links.cluster, cluster), eq(links.fromHostId, fromHostId), eq(links.toHostId, toHostId)))
        .get();
      return row ? measuredLink.parse(JSON.parse(row.measured)) : null;
    },

    /** Removes what was asked before that time, and how it was asked. */
    forget: async (before: number) => {
      await db.batch([
        db.delete(commands).where(sql`${commands.id} IN (SELECT id FROM ${checks} WHERE created_at < ${before})`),
        db.delete(checks).where(lt(checks.createdAt, before)),
      ]);
    },
  };
}
