// What plans were made from: their snapshots, packed and in parts, since they are larger than a row may be.
import { asc, eq, inArray, lt } from "drizzle-orm";
import { z } from "zod";
import type { Snapshot } from "../model/cluster.ts";
import type { Db } from "./db.ts";
import { pack, packPieces, unpack } from "./packed-text.ts";
import { planInputs } from "./schema.ts";

/** D1 keeps at most 2 MB a row. */
const PART_LENGTH_MAX = 1_900_000;
/** A snapshot of 1,000 hosts and 20,000 VMs takes 15 parts. One that takes more than this is not kept. */
const PARTS_MAX = 32;

/** A snapshot as a plan was made from it, and the engine that made it. */
export type PlanInput = { engineVersion: string; snapshot: Snapshot };

/** Part 0; the others are the snapshot. */
const header = z.strictObject({ engineVersion: z.string() });
const snapshotSchema = z.custom<Snapshot>((it) => typeof it === "object" && it !== null);

/** Rows of a plan's input, for the batch that stores the plan; none where it is too large to keep. */
export function inputRows(db: Db, planId: string, snapshotText: string, engineVersion: string, createdAt: number) {
  const parts = [pack(JSON.stringify({ engineVersion })), ...packPieces(snapshotText)];
  if (parts.length > PARTS_MAX || parts.some(({ length }) => length > PART_LENGTH_MAX)) return [];
  return parts.map((packed, part) => db.insert(planInputs).values({ planId, part, packed, createdAt }));
}

export function planInputStore(db: Db) {
  return {
    /** null: it was not kept, or is gone; "unreadable": what is stored is not what was written. */
    read: async (planId: string): Promise<PlanInput | "unreadable" | null> => {
      const rows = await db
        .select({ packed: planInputs.packed })
        .from(planInputs)
        .where(eq(planInputs.planId, planId))
        .orderBy(asc(planInputs.part));
      if (rows.length === 0) return null;
      try {
        const [first = "", ...pieces] = rows.map(({ packed }) => unpack(packed));
        const snapshot = snapshotSchema.parse(JSON.parse(pieces.join("")));
        return { ...header.parse(JSON.parse(first)), snapshot };
      } catch {
        return "unreadable";
      }
    },

    /** Removes the inputs of plans made before `before`, of at most so many plans; returns of how many. */
    forget: async (before: number, plansMax: number): Promise<number> => {
      const old = db
        .selectDistinct({ planId: planInputs.planId })
        .from(planInputs)
        .where(lt(planInputs.createdAt, before))
        .limit(plansMax);
      const removed = await db
        .delete(planInputs)
        .where(inArray(planInputs.planId, old))
        .returning({ planId: planInputs.planId });
      return new Set(removed.map(({ planId }) => planId)).size;
    },
  };
}
