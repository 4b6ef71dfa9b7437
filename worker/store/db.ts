import { is, Param, Placeholder } from "drizzle-orm";
import type { DrizzleD1Database } from "drizzle-orm/d1";

/** With the D1 client that it was made of. */
export type Db = DrizzleD1Database & { $client: D1Database };

/**
 * A statement whose text is made once: on a hot path drizzle would make it anew for every call. Its parameters are
 * placeholders; a value that is not given is NULL.
 */
export function compile(
  db: Db,
  query: { toSQL: () => { sql: string; params: unknown[] } },
): (values: Record<string, unknown>) => D1PreparedStatement {
  const { sql: text, params } = query.toSQL();
  const prepared = db.$client.prepare(text);
  const parts = params.map((param) => {
    const value: unknown = is(param, Param) ? param.value : param;
    return is(value, Placeholder) ? { name: String(value.name) } : { constant: value };
  });
  return (values) =>
    prepared.bind(...parts.map((part) => ("name" in part ? (values[part.name] ?? null) : part.constant)));
}

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
