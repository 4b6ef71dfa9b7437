// Tables of policies and freezes: a part of schema.ts, which exports them.
import { sql } from "drizzle-orm";
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** Goals that run by themselves. `lastDueAt` and `lastStartedAt` are the schedule's and do not raise `version`. */
export const policies = sqliteTable(
  "policies",
  {
    id: text("id").primaryKey(),
    cluster: text("cluster").notNull(),
    name: text("name").notNull(),
    enabled: integer("enabled", { mode: "boolean" }).notNull(),
    version: integer("version").notNull(),
    /** JSON: PolicyDefinition. */
    definition: text("definition").notNull(),
    createdBy: text("created_by").notNull(),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
    activatedAt: integer("activated_at").notNull(),
    modeSince: integer("mode_since").notNull(),
    lastDueAt: integer("last_due_at"),
    lastStartedAt: integer("last_started_at"),
  },
  (table) => [uniqueIndex("policies_by_name").on(table.cluster, table.name)],
);

/** Each time a policy was due, and what came of it. Waits until `startedAt` is set; runs until `endedAt` is. */
export const policyRuns = sqliteTable(
  "policy_runs",
  {
    id: text("id").primaryKey(),
    policyId: text("policy_id").notNull(),
    cluster: text("cluster").notNull(),
    /** What it is once for: the due time, or an id of its own. */
    dueKey: text("due_key").notNull(),
    /** By event: what makes two events the same. */
    eventKey: text("event_key"),
    /** JSON: RunTrigger. */
    trigger: text("trigger").notNull(),
    createdAt: integer("created_at").notNull(),
    dueAt: integer("due_at").notNull(),
    startedAt: integer("started_at"),
    endedAt: integer("ended_at"),
    mode: text("mode"),
    outcome: text("outcome"),
    planId: text("plan_id"),
    summary: text("summary"),
    alarm: text("alarm"),
    /** JSON: RunNumbers; null: no plan was made. */
    numbers: text("numbers"),
  },
  (table) => [
    uniqueIndex("policy_runs_once").on(table.policyId, table.dueKey),
    index("policy_runs_by_time").on(table.policyId, table.createdAt),
    index("policy_runs_open")
      .on(table.dueAt)
      .where(sql`ended_at IS NULL`),
  ],
);

/** Times in which nothing, or a part of a cluster, is not moved. */
export const freezes = sqliteTable(
  "freezes",
  {
    id: text("id").primaryKey(),
    cluster: text("cluster").notNull(),
    version: integer("version").notNull(),
    fromAt: integer("from_at"),
    toAt: integer("to_at"),
    /** JSON: WeeklyWindow[]; null: all the time. */
    windows: text("windows"),
    /** JSON: hosts, VMs or labels; null: the whole cluster. */
    scope: text("scope"),
    reason: text("reason").notNull(),
    createdBy: text("created_by").notNull(),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
  },
  (table) => [index("freezes_by_cluster").on(table.cluster)],
);
