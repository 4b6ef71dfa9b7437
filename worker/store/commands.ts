import { and, asc, eq, gt, lte } from "drizzle-orm";
import type { CommandRecord } from "../model/run.ts";
import type { Db } from "./db.ts";
import { commands } from "./schema.ts";

export function commandStore(db: Db) {
  return {
    /** Commands that this host's agent has not answered and that are still good, oldest first. */
    pendingFor: async (hostId: string, now: number): Promise<CommandRecord[]> =>
      (
        await db
          .select()
          .from(commands)
          .where(and(eq(commands.hostId, hostId), eq(commands.state, "pending"), gt(commands.expiresAt, now)))
          .orderBy(asc(commands.issuedAt))
          .limit(50)
      ).map(({ state: _, ...command }) => command),

    byId: async (id: string): Promise<(CommandRecord & { state: string }) | null> =>
      (await db.select().from(commands).where(eq(commands.id, id)).get()) ?? null,

    /** Writes a command that goes with no step of a run. */
    insert: async (command: CommandRecord) => {
      await db
        .insert(commands)
        .values({ ...command, state: "pending" })
        .onConflictDoNothing();
    },

    /** The agent has answered: it is not delivered again. */
    settle: async (id: string, hostId: string, state: "acknowledged" | "refused") => {
      await db
        .update(commands)
        .set({ state })
        .where(and(eq(commands.id, id), eq(commands.hostId, hostId), eq(commands.state, "pending")));
    },

    /** Commands past their time are never delivered again; returns how many. */
    expire: async (now: number): Promise<number> =>
      (
        await db
          .update(commands)
          .set({ state: "expired" })
          .where(and(eq(commands.state, "pending"), lte(commands.expiresAt, now)))
          .returning({ id: commands.id })
      ).length,
  };
}
