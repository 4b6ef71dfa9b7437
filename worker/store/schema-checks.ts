// Tables of what agents are asked without moving anything: a part of schema.ts, which exports them.
import { index, integer, primaryKey, sqliteTable, text } from "drizzle-orm/sqlite-core";

/** Questions to agents that touch no VM (a destination's preflight, a probe of the link), and their answers. Kept for a time. */
export const checks = sqliteTable(
  "checks",
  {
    id: text("id").primaryKey(),
    cluster: text("cluster").notNull(),
    /** Who is asked. */
    hostId: text("host_id").notNull(),
    type: text("type").notNull(),
    createdAt: integer("created_at").notNull(),
    /** JSON; null: not answered yet. */
    answer: text("answer"),
    answeredAt: integer("answered_at"),
  },
  (table) => [index("checks_by_age").on(table.createdAt)],
);

/** What agents have measured last of the way from one host to another. */
export const links = sqliteTable(
  "links",
  {
    cluster: text("cluster").notNull(),
    fromHostId: text("from_host_id").notNull(),
    toHostId: text("to_host_id").notNull(),
    /** JSON: MeasuredLink. */
    measured: text("measured").notNull(),
    measuredAt: integer("measured_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.cluster, table.fromHostId, table.toHostId] })],
);
