// Every table and column there is. `migrations/` is generated from this file by `npm run db:generate`.
// Times are ms since 1970; JSON columns hold model types, parsed when they are read.
import { sql } from "drizzle-orm";
import { blob, index, integer, primaryKey, sqliteTable, text, uniqueIndex } from "drizzle-orm/sqlite-core";

export * from "./schema-chat.ts";
export * from "./schema-checks.ts";
export * from "./schema-policies.ts";
export * from "./schema-triggers.ts";
export * from "./schema-webhooks.ts";

/** Bearer tokens. Only the SHA-256 of a token is kept. */
export const tokens = sqliteTable("tokens", {
  id: text("id").primaryKey(),
  name: text("name").notNull(),
  hash: text("hash").notNull().unique(),
  /** JSON array of scopes. */
  scopes: text("scopes").notNull(),
  /** `agent` and `ingest`: the only host that this token may act for. */
  hostId: text("host_id"),
  /** `ingest`: the only cluster that this token may write to. */
  cluster: text("cluster"),
  createdAt: integer("created_at").notNull(),
  expiresAt: integer("expires_at"),
  revokedAt: integer("revoked_at"),
});

/** Hypervisors. `number` is what chunk ids are composed of; it is never used again. */
export const hosts = sqliteTable("hosts", {
  number: integer("number").primaryKey({ autoIncrement: true }),
  id: text("id").notNull().unique(),
  cluster: text("cluster").notNull(),
  sequence: integer("sequence").notNull(),
  bootId: text("boot_id").notNull(),
  memoryBytes: integer("memory_bytes").notNull(),
  /** JSON: the inventory without its VMs. */
  inventory: text("inventory").notNull(),
  agentUrl: text("agent_url"),
  /** JSON array of the last times at which the host came with another boot id; null: none. */
  restarts: text("restarts"),
  /** All three null: not in maintenance. */
  maintenanceSince: integer("maintenance_since"),
  /** null: until it is ended by hand. */
  maintenanceUntil: integer("maintenance_until"),
  maintenanceReason: text("maintenance_reason"),
  createdAt: integer("created_at").notNull(),
  updatedAt: integer("updated_at").notNull(),
});

/** VMs by cluster and hypervisor UUID. `hostId` is where the VM was last seen; null: seen nowhere now. */
export const vms = sqliteTable(
  "vms",
  {
    cluster: text("cluster").notNull(),
    uuid: text("uuid").notNull(),
    hostId: text("host_id"),
    name: text("name").notNull(),
    state: text("state").notNull(),
    /** Committed: maximum memory and the hypervisor's overhead. */
    committedBytes: integer("committed_bytes").notNull(),
    /** JSON: the VM's inventory. */
    inventory: text("inventory").notNull(),
    /** Rises with every claim; covers source and destination. */
    fencingToken: integer("fencing_token").notNull().default(0),
    lastMovedAt: integer("last_moved_at"),
    updatedAt: integer("updated_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.cluster, table.uuid] }),
    index("vms_by_host").on(table.cluster, table.hostId),
  ],
);

/** Where a VM was seen and when, so that its history follows it over moves. `toAt` null: still there. */
export const placements = sqliteTable(
  "placements",
  {
    cluster: text("cluster").notNull(),
    uuid: text("uuid").notNull(),
    fromAt: integer("from_at").notNull(),
    hostId: text("host_id").notNull(),
    toAt: integer("to_at"),
  },
  (table) => [primaryKey({ columns: [table.cluster, table.uuid, table.fromAt] })],
);

/**
 * Samples; see model/telemetry/FORMAT.md. `id` is composed of host number, tier, hour and part. What was appended last stands
 * in `head` and `live` until Cron packs it.
 */
export const chunks = sqliteTable("chunks", {
  id: integer("id").primaryKey(),
  /** Rises with every write: what was written against an older one is refused. */
  revision: integer("revision").notNull(),
  /** Base64 of live frames with the series of the host itself; null: none. */
  head: text("head"),
  /** Base64 of live frames with the series of VMs; null: none. */
  live: text("live"),
  /** One packed frame; null: nothing was packed yet. */
  packed: blob("packed", { mode: "buffer" }),
});

/**
 * What is known of a host right now: one row a host, every write of telemetry guarded by `version`. No index: D1 would bill
 * another written row a batch. The short columns come first, so that a scan of them does not read the long ones.
 */
export const hostState = sqliteTable("host_state", {
  hostNumber: integer("host_number").primaryKey(),
  version: integer("version").notNull(),
  /** When the host was last heard, by Drover's clock. */
  heardAt: integer("heard_at").notNull(),
  vmStatesAt: integer("vm_states_at"),
  /** JSON array of hours that got samples after they were closed; null: none. */
  lateHours: text("late_hours"),
  /** JSON: VM uuid → run state, as the host last said. */
  vmStates: text("vm_states"),
  /** JSON: entities and their metrics, in the order of `latest`. */
  layout: text("layout"),
  /** Base64: time, value and moving average of each series of `layout`. */
  latest: text("latest"),
  /** JSON: VM uuid → dirty curve. */
  curves: text("curves"),
  /** JSON: the open chunks' revision, length and layouts, so that a batch is appended without reading them. */
  tails: text("tails"),
  /** Last values of counters that came as such. */
  counters: text("counters"),
  /** The batch ids last seen, with their answers, a line each. */
  batches: text("batches"),
});

/** What hours have been: quantiles over 1 h and 24 h, written when an hour is closed. One row a host. */
export const hostSummaries = sqliteTable("host_summaries", {
  hostNumber: integer("host_number").primaryKey(),
  /** End of the last hour in it, ms since 1970. */
  summarizedAt: integer("summarized_at").notNull(),
  /** JSON: Summary. */
  summary: text("summary").notNull(),
  /** Base64: the sketches of the last 24 h. */
  window: text("window").notNull(),
});

/** Placement rules of the operators. */
export const placementRules = sqliteTable(
  "placement_rules",
  {
    id: text("id").primaryKey(),
    cluster: text("cluster").notNull(),
    /** JSON: PlacementRule without its id. */
    rule: text("rule").notNull(),
    createdAt: integer("created_at").notNull(),
    updatedAt: integer("updated_at").notNull(),
  },
  (table) => [index("placement_rules_by_cluster").on(table.cluster, table.id)],
);

/** How far work has come that is done in portions. */
export const jobs = sqliteTable("jobs", {
  name: text("name").primaryKey(),
  /** JSON. */
  state: text("state").notNull(),
  updatedAt: integer("updated_at").notNull(),
});

/** A decision of the advisor. `content` is what was approved or not, byte for byte; `contentHash` is its SHA-256. */
export const plans = sqliteTable(
  "plans",
  {
    id: text("id").primaryKey(),
    cluster: text("cluster").notNull(),
    goal: text("goal").notNull(),
    state: text("state").notNull(),
    version: integer("version").notNull(),
    /** JSON, packed where it is long. */
    content: text("content").notNull(),
    contentHash: text("content_hash").notNull(),
    /** SHA-256 of the snapshot and the parameters that the plan was made from. */
    inputHash: text("input_hash").notNull(),
    /** JSON array of move numbers left out before approval. */
    skipped: text("skipped").notNull().default("[]"),
    createdBy: text("created_by").notNull(),
    createdAt: integer("created_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
    decidedBy: text("decided_by"),
    decidedAt: integer("decided_at"),
    reason: text("reason"),
    endedAt: integer("ended_at"),
    /** The policy that made it; null: a person or a bot asked for it. */
    policyId: text("policy_id"),
    /** The policy's mode that held when it was made. `shadow`: can never be approved. */
    mode: text("mode"),
    /** `stop` or `replan`, as its approval said; null: not approved. */
    onFailure: text("on_failure"),
    /** The failed plan whose rest this one plans anew. */
    replans: text("replans"),
  },
  (table) => [
    index("plans_by_policy")
      .on(table.policyId, table.createdAt)
      .where(sql`policy_id IS NOT NULL`),
    // The rest of a plan is planned anew once.
    uniqueIndex("plans_by_replanned")
      .on(table.replans)
      .where(sql`replans IS NOT NULL`),
  ],
);

/** What a plan was made from: base64 of gzipped JSON, in parts; see `plan-inputs.ts`. Kept for a time. */
export const planInputs = sqliteTable(
  "plan_inputs",
  {
    planId: text("plan_id").notNull(),
    part: integer("part").notNull(),
    packed: text("packed").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.planId, table.part] }), index("plan_inputs_by_age").on(table.createdAt)],
);

/** Migration runs. A run is active until `endedAt` is set; one active run a VM. */
export const migrations = sqliteTable(
  "migrations",
  {
    id: text("id").primaryKey(),
    cluster: text("cluster").notNull(),
    planId: text("plan_id").notNull(),
    moveNumber: integer("move_number").notNull(),
    vmUuid: text("vm_uuid").notNull(),
    vmName: text("vm_name").notNull(),
    fromHostId: text("from_host_id").notNull(),
    toHostId: text("to_host_id").notNull(),
    mechanism: text("mechanism").notNull(),
    state: text("state").notNull(),
    version: integer("version").notNull(),
    fencingToken: integer("fencing_token"),
    parameters: text("parameters").notNull(),
    limits: text("limits").notNull(),
    /** JSON: the estimate made last before the VM was touched. */
    predicted: text("predicted").notNull(),
    /** JSON: where the destination listens. */
    destination: text("destination"),
    progress: text("progress"),
    /** JSON: what it really cost. */
    measured: text("measured"),
    /** JSON: why it failed, was cancelled or is lost. */
    failure: text("failure"),
    /** JSON: whether the network has followed the VM; null: nothing is known of that. */
    continuity: text("continuity"),
    postCopyActive: integer("post_copy_active", { mode: "boolean" }).notNull().default(false),
    createdAt: integer("created_at").notNull(),
    stateAt: integer("state_at").notNull(),
    lastEventAt: integer("last_event_at"),
    endedAt: integer("ended_at"),
  },
  (table) => [
    uniqueIndex("migrations_one_active")
      .on(table.cluster, table.vmUuid)
      .where(sql`ended_at IS NULL`),
    index("migrations_by_plan").on(table.planId),
    index("migrations_by_end").on(table.cluster, table.endedAt),
    // The ledger of outcomes: those of all clusters, and those of a VM.
    index("migrations_ended")
      .on(table.endedAt)
      .where(sql`ended_at IS NOT NULL`),
    index("migrations_of_vm")
      .on(table.vmUuid, table.endedAt)
      .where(sql`ended_at IS NOT NULL`),
  ],
);

/** The timeline of a run, as received. */
export const migrationEvents = sqliteTable(
  "migration_events",
  {
    migrationId: text("migration_id").notNull(),
    hostId: text("host_id").notNull(),
    bootId: text("boot_id").notNull(),
    sequence: integer("sequence").notNull(),
    type: text("type").notNull(),
    at: integer("at").notNull(),
    receivedAt: integer("received_at").notNull(),
    /** What became of it: `applied`, `noted`, or why it moved nothing. */
    verdict: text("verdict").notNull(),
    body: text("body").notNull(),
    /** From 1 in the order in which they were stored: who has seen one goes on after it. */
    number: integer("number").notNull().default(0),
  },
  (table) => [
    primaryKey({ columns: [table.migrationId, table.hostId, table.bootId, table.sequence] }),
    index("migration_events_by_number").on(table.migrationId, table.number),
  ],
);

/** Room promised at a destination; lives exactly as long as the claim of its run. */
export const reservations = sqliteTable("reservations", {
  migrationId: text("migration_id").primaryKey(),
  cluster: text("cluster").notNull(),
  hostId: text("host_id").notNull(),
  vmUuid: text("vm_uuid").notNull(),
  memoryBytes: integer("memory_bytes").notNull(),
  cpuCores: integer("cpu_cores").notNull(),
});

/** Commands to agents, delivered until acknowledged or expired. `body` is what is signed. */
export const commands = sqliteTable(
  "commands",
  {
    id: text("id").primaryKey(),
    migrationId: text("migration_id").notNull(),
    hostId: text("host_id").notNull(),
    type: text("type").notNull(),
    body: text("body").notNull(),
    state: text("state").notNull(),
    issuedAt: integer("issued_at").notNull(),
    expiresAt: integer("expires_at").notNull(),
  },
  (table) => [
    index("commands_pending")
      .on(table.hostId)
      .where(sql`state = 'pending'`),
  ],
);

/** Predicted and measured, for every run that has ended, and of imports. */
export const outcomes = sqliteTable(
  "outcomes",
  {
    /** A run's, or `import:` and a hash of what was imported. */
    migrationId: text("migration_id").primaryKey(),
    cluster: text("cluster").notNull(),
    hypervisor: text("hypervisor").notNull(),
    driver: text("driver").notNull(),
    mechanism: text("mechanism").notNull(),
    state: text("state").notNull(),
    predicted: text("predicted").notNull(),
    measured: text("measured").notNull(),
    recordedAt: integer("recorded_at").notNull(),
    /** CalibrationOutcome; null: nothing is learned from it. */
    lesson: text("lesson"),
  },
  (table) => [index("outcomes_by_mechanism").on(table.cluster, table.mechanism, table.recordedAt)],
);

/** What the outcomes of a cluster have taught, fitted when one is added. */
export const calibrations = sqliteTable("calibrations", {
  cluster: text("cluster").primaryKey(),
  body: text("body").notNull(),
  /** Groups that had drifted when it was fitted: JSON array. */
  drifted: text("drifted").notNull(),
  fittedAt: integer("fitted_at").notNull(),
});

/** Append-only: who changed what, and why. */
export const audit = sqliteTable("audit", {
  id: integer("id").primaryKey({ autoIncrement: true }),
  at: integer("at").notNull(),
  actor: text("actor").notNull(),
  action: text("action").notNull(),
  subject: text("subject").notNull(),
  reason: text("reason"),
  detail: text("detail"),
});

/** Answers to POSTs that carried an `Idempotency-Key`. */
export const idempotency = sqliteTable(
  "idempotency",
  {
    principal: text("principal").notNull(),
    key: text("key").notNull(),
    requestHash: text("request_hash").notNull(),
    status: integer("status").notNull(),
    body: text("body").notNull(),
    createdAt: integer("created_at").notNull(),
  },
  (table) => [primaryKey({ columns: [table.principal, table.key] })],
);
