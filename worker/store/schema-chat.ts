// Tables of chat and of approvals by several: a part of schema.ts, which exports them.
import { sql } from "drizzle-orm";
import { index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

/** Whose approval plans of a cluster need. */
export const approvalRules = sqliteTable("approval_rules", {
  cluster: text("cluster").primaryKey(),
  /** JSON: ApprovalRule. */
  rule: text("rule").notNull(),
  updatedBy: text("updated_by").notNull(),
  updatedAt: integer("updated_at").notNull(),
});

/** Approvals that were given, the newest of each principal. */
export const planApprovals = sqliteTable(
  "plan_approvals",
  {
    planId: text("plan_id").notNull(),
    principalId: text("principal_id").notNull(),
    at: integer("at").notNull(),
    contentHash: text("content_hash").notNull(),
    /** JSON array of move numbers that are left out. */
    skipped: text("skipped").notNull(),
    reason: text("reason"),
    onFailure: text("on_failure").notNull(),
    /** Without the others that the plan needed. */
    isOverride: integer("is_override", { mode: "boolean" }).notNull().default(false),
  },
  (table) => [primaryKey({ columns: [table.planId, table.principalId] })],
);

/** Who a user of a chat platform is to Drover. */
export const chatUsers = sqliteTable(
  "chat_users",
  {
    id: text("id").primaryKey(),
    platform: text("platform").notNull(),
    teamId: text("team_id").notNull(),
    userId: text("user_id").notNull(),
    name: text("name").notNull(),
    principalId: text("principal_id").notNull(),
    /** JSON array of scopes: with a token, no more than it has at the time. */
    scopes: text("scopes").notNull(),
    /** The token that they linked themselves with: it is revoked or expires, and so does this. */
    tokenId: text("token_id"),
    createdBy: text("created_by").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => [uniqueIndex("chat_users_by_user").on(table.platform, table.teamId, table.userId)],
);

/** Codes by which users link themselves: only the SHA-256 is kept, the newest of each user. */
export const chatLinks = sqliteTable(
  "chat_links",
  {
    platform: text("platform").notNull(),
    teamId: text("team_id").notNull(),
    userId: text("user_id").notNull(),
    name: text("name").notNull(),
    codeHash: text("code_hash").notNull().unique(),
    expiresAt: integer("expires_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.platform, table.teamId, table.userId] })],
);

/** Verified requests: each is taken once. Waits until `startedAt` is set; runs until `endedAt` is. */
export const chatRequests = sqliteTable(
  "chat_requests",
  {
    /** Platform and the request's own signature. */
    id: text("id").primaryKey(),
    /** JSON: Inbound and how it was acknowledged; null: it was answered at once. */
    body: text("body"),
    at: integer("at").notNull(),
    startedAt: integer("started_at"),
    endedAt: integer("ended_at"),
  },
  (table) => [
    index("chat_requests_by_time").on(table.at),
    index("chat_requests_open")
      .on(table.at)
      .where(sql`ended_at IS NULL`),
  ],
);

/** Channels that are told something. `lease` holds while a turn of deliveries is under way. */
export const chatChannels = sqliteTable(
  "chat_channels",
  {
    id: text("id").primaryKey(),
    platform: text("platform").notNull(),
    teamId: text("team_id").notNull(),
    channelId: text("channel_id").notNull(),
    /** JSON array of types and patterns; empty: only what concerns messages that stand in it. */
    events: text("events").notNull(),
    createdBy: text("created_by").notNull(),
    createdAt: integer("created_at").notNull(),
    restUntil: integer("rest_until"),
    /** Why the last message did not come through; null: it did. */
    trouble: text("trouble"),
    lease: text("lease"),
    leaseUntil: integer("lease_until"),
  },
  (table) => [uniqueIndex("chat_channels_by_channel").on(table.platform, table.channelId)],
);

/** Messages that are brought up to date: one a channel and subject. */
export const chatMessages = sqliteTable(
  "chat_messages",
  {
    targetId: text("target_id").notNull(),
    /** The plan or migration that it is about. */
    subject: text("subject").notNull(),
    /** Null: it is being posted. */
    messageId: text("message_id"),
    at: integer("at").notNull(),
    /** When what it is about had ended; null: it has not. */
    endedAt: integer("ended_at"),
  },
  (table) => [
    primaryKey({ columns: [table.targetId, table.subject] }),
    index("chat_messages_live")
      .on(table.targetId)
      .where(sql`ended_at IS NULL`),
  ],
);
