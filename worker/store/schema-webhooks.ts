// Tables of what Drover tells others: a part of schema.ts, which exports them.
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** Events, written in the batch of the change that they tell of. `sequence` is the order in which they happened. */
export const outbox = sqliteTable(
  "outbox",
  {
    sequence: integer("sequence").primaryKey({ autoIncrement: true }),
    id: text("id").notNull().unique(),
    type: text("type").notNull(),
    version: integer("version").notNull(),
    at: integer("at").notNull(),
    cluster: text("cluster"),
    subject: text("subject").notNull(),
    /** JSON: what the type's schema says. */
    data: text("data").notNull(),
    /** When its deliveries were made; null: they are still to be. */
    fannedOutAt: integer("fanned_out_at"),
  },
  (table) => [
    index("outbox_waiting")
      .on(table.sequence)
      .where(sql`fanned_out_at IS NULL`),
    index("outbox_by_time").on(table.at),
  ],
);

/** Endpoints that events are posted to. `lease` holds while a turn of deliveries is under way; none of the lower half raises `version`. */
export const webhooks = sqliteTable("webhooks", {
  id: text("id").primaryKey(),
  url: text("url").notNull(),
  description: text("description").notNull(),
  /** JSON array of types and patterns. */
  events: text("events").notNull(),
  /** JSON array; null: of all clusters. */
  clusters: text("clusters"),
  ordered: integer("ordered", { mode: "boolean" }).notNull(),
  inFlightMax: integer("in_flight_max").notNull(),
  timeoutMs: integer("timeout_ms").notNull(),
  /** JSON: StoredSecret[], oldest first. */
  secrets: text("secrets").notNull(),
  version: integer("version").notNull(),
  createdBy: text("created_by").notNull(),
  createdAt: integer("created_at").notNull(),
  updatedAt: integer("updated_at").notNull(),
  pausedBecause: text("paused_because"),
  pausedWhy: text("paused_why"),
  pausedAt: integer("paused_at"),
  failingSince: integer("failing_since"),
  /** Attempts in a row that found it down. */
  failures: integer("failures").notNull().default(0),
  restUntil: integer("rest_until"),
  lastDeliveredAt: integer("last_delivered_at"),
  lease: text("lease"),
  leaseUntil: integer("lease_until"),
});

/** One event for one target. `round` is empty, or what the replay or test is that made it. */
export const deliveries = sqliteTable(
  "deliveries",
  {
    id: text("id").primaryKey(),
    sequence: integer("sequence").notNull(),
    targetKind: text("target_kind").notNull(),
    targetId: text("target_id").notNull(),
    round: text("round").notNull(),
    /** Null: it may overtake others. */
    subject: text("subject"),
    state: text("state").notNull(),
    attempts: integer("attempts").notNull().default(0),
    nextAttemptAt: integer("next_attempt_at").notNull(),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
    endedAt: integer("ended_at"),
    why: text("why"),
  },
  (table) => [
    uniqueIndex("deliveries_once").on(table.targetId, table.sequence, table.round),
    index("deliveries_due")
      .on(table.targetId, table.nextAttemptAt)
      .where(sql`state = 'pending'`),
    index("deliveries_in_order")
      .on(table.targetId, table.subject, table.sequence)
      .where(sql`state = 'pending' AND subject IS NOT NULL`),
  ],
);

/** What was sent and what came back. */
export const deliveryAttempts = sqliteTable(
  "delivery_attempts",
  {
    deliveryId: text("delivery_id").notNull(),
    number: integer("number").notNull(),
    at: integer("at").notNull(),
    durationMs: integer("duration_ms").notNull(),
    /** JSON: url and headers. */
    request: text("request").notNull(),
    /** JSON: status, headers and body, bounded; null: no answer. */
    answer: text("answer"),
    error: text("error"),
  },
  (table) => [primaryKey({ columns: [table.deliveryId, table.number] })],
);

/** Notification routes. None of the lower half raises `version`. */
export const routes = sqliteTable("routes", {
  id: text("id").primaryKey(),
  name: text("name").notNull().unique(),
  enabled: integer("enabled", { mode: "boolean" }).notNull(),
  /** JSON: what else is said of it. */
  definition: text("definition").notNull(),
  version: integer("version").notNull(),
  createdBy: text("created_by").notNull(),
  createdAt: integer("created_at").notNull(),
  updatedAt: integer("updated_at").notNull(),
  /** Rises with everything that is sent, so that two turns do not send the same. */
  turn: integer("turn").notNull().default(0),
  /** JSON: Sent[] of the last hours, oldest first. */
  sent: text("sent").notNull().default("[]"),
  /** Nothing is due before. */
  quietUntil: integer("quiet_until").notNull().default(0),
});
