// Change budgets: how much a policy may move in a rolling hour and day.
import { z } from "zod";
import { DAY_MS, HOUR_MS } from "../units.ts";

/** Absent: no limit of that kind. A budget of 0 lets nothing move. */
export const budgets = z
  .strictObject({
    movesMaxPerHour: z.int().min(0).max(100_000).optional(),
    movesMaxPerDay: z.int().min(0).max(1_000_000).optional(),
    bytesMaxPerDay: z.int().min(0).max(1e15).optional(),
    /** Counts every migration of the VM, whoever approved it. */
    movesMaxPerVmPerDay: z.int().min(0).max(1000).optional(),
  })
  .meta({ id: "PolicyBudgets" });
export type Budgets = z.infer<typeof budgets>;

/** One migration that was approved, as the budget counts it. Bytes are those measured, else those predicted. */
export type SpentMove = { at: number; vm: string; bytes: number; byPolicy: boolean };

export type BudgetLeft = {
  /** Moves that may still be approved now; Infinity: no limit. */
  moves: number;
  bytes: number;
  /** Of one VM. */
  movesOf: (vm: string) => number;
};

/** What is left at `now` after `spent`: rolling windows of an hour and a day that end now. Never below 0. */
export function budgetLeft(limits: Budgets, spent: readonly SpentMove[], now: number): BudgetLeft {
  const inDay = spent.filter((move) => move.at > now - DAY_MS);
  const own = inDay.filter((move) => move.byPolicy);
  const ownInHour = own.filter((move) => move.at > now - HOUR_MS);
  const left = (limit: number | undefined, used: number) =>
    limit === undefined ? Infinity : Math.max(0, limit - used);
  const bytes = own.reduce((sum, move) => sum + move.bytes, 0);
  return {
    moves: Math.min(left(limits.movesMaxPerHour, ownInHour.length), left(limits.movesMaxPerDay, own.length)),
    bytes: left(limits.bytesMaxPerDay, bytes),
    movesOf: (vm) => left(limits.movesMaxPerVmPerDay, inDay.filter((move) => move.vm === vm).length),
  };
}
