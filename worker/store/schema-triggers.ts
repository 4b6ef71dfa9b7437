// Tables of inbound triggers: a part of schema.ts, which exports them.
import { index, integer, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** Alerts of others that start policies. */
export const triggers = sqliteTable(
  "triggers",
  {
    id: text("id").primaryKey(),
    cluster: text("cluster").notNull(),
    name: text("name").notNull(),
    enabled: integer("enabled", { mode: "boolean" }).notNull(),
    /** JSON: TriggerDefinition. */
    definition: text("definition").notNull(),
    /** SHA-256 of its token. */
    tokenHash: text("token_hash").notNull(),
    version: integer("version").notNull(),
    createdBy: text("created_by").notNull(),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
    lastAlertAt: integer("last_alert_at"),
  },
  (table) => [uniqueIndex("triggers_by_name").on(table.cluster, table.name)],
);

/** What alerts came to. One that comes again within the trigger's window with the same outcome is counted in its row. */
export const triggerAlerts = sqliteTable(
  "trigger_alerts",
  {
    id: text("id").primaryKey(),
    triggerId: text("trigger_id").notNull(),
    key: text("key").notNull(),
    status: text("status"),
    hostId: text("host_id"),
    vm: text("vm"),
    outcome: text("outcome").notNull(),
    why: text("why").notNull(),
    at: integer("at").notNull(),
    seenAt: integer("seen_at").notNull(),
    times: integer("times").notNull(),
  },
  (table) => [
    index("trigger_alerts_by_key").on(table.triggerId, table.key, table.at),
    index("trigger_alerts_by_outcome").on(table.triggerId, table.outcome, table.at),
    index("trigger_alerts_by_time").on(table.at),
  ],
);
