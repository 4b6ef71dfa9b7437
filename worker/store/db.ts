import type { DrizzleD1Database } from "drizzle-orm/d1";

export type Db = DrizzleD1Database;

/**
 * Which guard of a batch failed. D1 has no transactions across calls, so a guard is an expression that turns into NULL for
 * a NOT NULL column: the statement fails and the whole batch rolls back. Returns `table.column`, or null: another error.
 */
export function failedGuard(error: unknown): string | null {
  const texts: string[] = [];
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) texts.push(cause.message);
  return /NOT NULL constraint failed: ([a-z_]+\.[a-z_]+)/.exec(texts.join("\n"))?.[1] ?? null;
}

/** True when a batch failed because a unique key was taken. */
export function isUniqueViolation(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause)
    if (cause.message.includes("UNIQUE constraint failed")) return true;
  return false;
}
