import { and, asc, eq, gt, lt, lte, type Placeholder, type SQL, sql } from "drizzle-orm";
import { z } from "zod";
import type { CommandRecord } from "../model/run.ts";
import type { Db } from "./db.ts";
import { commands } from "./schema.ts";

const isPending = (hostId: string | Placeholder, now: number | Placeholder) =>
  and(eq(commands.hostId, hostId), eq(commands.state, "pending"), gt(commands.expiresAt, now));

/** Numbered commands of a run: `{migrationId}-{kind}-{number}`. */
const ofKind = (migrationId: string, kind: string) =>
  and(gt(commands.id, `${migrationId}-${kind}-`), lt(commands.id, `${migrationId}-${kind}.`));

const PENDING_MAX = 50;

const pendingRow = z.tuple([z.string(), z.string(), z.string(), z.string(), z.string(), z.int(), z.int()]);

/** What `pendingFor` answers as one value, for a statement that has something else to do as well. */
export const pendingJson = (hostId: string | Placeholder, now: number | Placeholder): SQL<string> =>
  sql`(SELECT json_group_array(json_array(id, migration_id, host_id, type, body, issued_at, expires_at)) FROM (SELECT * FROM ${commands} WHERE ${isPending(hostId, now)} ORDER BY issued_at LIMIT ${sql.raw(String(PENDING_MAX))}))`;

export const parsePending = (json: string): CommandRecord[] =>
  json === "[]"
    ? []
    : z
        .array(pendingRow)
        .parse(JSON.parse(json))
        .map(([id, migrationId, hostId, type, body, issuedAt, expiresAt]) => ({
          id,
          migrationId,
          hostId,
          type,
          body,
          issuedAt,
          expiresAt,
        }));

/** Writes a command, once. */
export const pendingStatement = (db: Db, command: CommandRecord) =>
  db
    .insert(commands)
    .values({ ...command, state: "pending" })
    .onConflictDoNothing();

export function commandStore(db: Db) {
  return {
    /** Commands that a host's agent has not answered and that are still good, oldest first. */
    pendingFor: async (hostId: string, now: number): Promise<CommandRecord[]> =>
      (
        await db
          .select()
          .from(commands)
          .where(isPending(hostId, now))
          .orderBy(asc(commands.issuedAt))
          .limit(PENDING_MAX)
      ).map(({ state: _, ...command }) => command),

    byId: async (id: string): Promise<(CommandRecord & { state: string }) | null> =>
      (await db.select().from(commands).where(eq(commands.id, id)).get()) ?? null,

    /** How many commands of this kind a run has had; their ids are numbered. */
    countOf: async (migrationId: string, kind: string): Promise<number> => {
      const row = await db
        .select({ count: sql<number>`count(*)` })
        .from(commands)
        .where(ofKind(migrationId, kind))
        .get();
      return row?.count ?? 0;
    },

    /** The command of this kind that the run's agent has not answered and that is still good. */
    pendingOf: async (migrationId: string, kind: string, now: number): Promise<CommandRecord | null> => {
      const row = await db
        .select()
        .from(commands)
        .where(and(ofKind(migrationId, kind), eq(commands.state, "pending"), gt(commands.expiresAt, now)))
        .get();
      if (row === undefined) return null;
      const { state: _, ...command } = row;
      return command;
    },

    /** False: another command has that id. */
    insertNew: async (command: CommandRecord): Promise<boolean> => {
      const inserted = await pendingStatement(db, command).returning({ id: commands.id });
      return inserted.length > 0;
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
