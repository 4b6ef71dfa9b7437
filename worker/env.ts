// The bindings, parsed once, and the one place where stores and adapters are put together.
import { drizzle } from "drizzle-orm/d1";
import { v7 as uuidv7 } from "uuid";
import { z } from "zod";
import { postCommand } from "./adapters/agent-webhook.ts";
import { type CommandSigner, createCommandSigner } from "./adapters/command-signing.ts";
import { createResolver } from "./adapters/dns.ts";
import { type HostChannelObject, type HostChannels, hostChannels } from "./adapters/host-channel.ts";
import { parseRecords } from "./adapters/migration-records.ts";
import { outcomesCsv, outcomesJsonLines } from "./adapters/outcome-export.ts";
import { type OutboxQueue, outboxQueue } from "./adapters/outbox-queue.ts";
import { seriesCsv } from "./adapters/series-csv.ts";
import { postWebhook } from "./adapters/webhook-post.ts";
import { newWebhookSecret, webhookHeaders } from "./adapters/webhook-signing.ts";
import { AppError } from "./errors.ts";
import type { Principal } from "./model/principal.ts";
import { type AllowedAddresses, readAllowed } from "./model/webhooks/address.ts";
import type { OutboxMessage } from "./model/webhooks/messages.ts";
import { chatPlatforms } from "./adapters/chat/index.ts";
import type { OutgoingCall } from "./adapters/chat/platform.ts";
import { approvalStore } from "./store/approvals.ts";
import { auditStore } from "./store/audit.ts";
import { calibrationStore } from "./store/calibrations.ts";
import { chatStore } from "./store/chat.ts";
import { chatChannelStore } from "./store/chat-channels.ts";
import { checkStore } from "./store/checks.ts";
import { chunkStore } from "./store/chunks.ts";
import type { Db } from "./store/db.ts";
import { commandStore } from "./store/commands.ts";
import { countedD1, type D1Counts } from "./store/counted-d1.ts";
import { deliveryStore } from "./store/deliveries.ts";
import { freezeStore } from "./store/freezes.ts";
import { hostStore } from "./store/hosts.ts";
import { idempotencyStore } from "./store/idempotency.ts";
import { jobStore } from "./store/jobs.ts";
import { createKept, type Kept } from "./store/kept.ts";
import { migrationStore } from "./store/migrations.ts";
import { outboxStore, type Wake } from "./store/outbox.ts";
import { outcomeStore } from "./store/outcomes.ts";
import { planInputStore } from "./store/plan-inputs.ts";
import { planStore } from "./store/plans.ts";
import { routeStore } from "./store/routes.ts";
import { ruleStore } from "./store/rules.ts";
import { policyStore } from "./store/policies.ts";
import { policyPlanStore } from "./store/policy-plans.ts";
import { policyRunStore } from "./store/policy-runs.ts";
import { snapshotStore } from "./store/snapshots.ts";
import { telemetryStore } from "./store/telemetry.ts";
import { tokenStore } from "./store/tokens.ts";
import { triggerStore } from "./store/triggers.ts";
import { vmNameStore } from "./store/vm-names.ts";
import { webhookStore } from "./store/webhooks.ts";

export type Bindings = {
  DB: D1Database;
  MIGRATION_RUN: Workflow<{ migrationId: string }>;
  HOST_CHANNEL: DurableObjectNamespace<HostChannelObject>;
  OUTBOX: Queue<OutboxMessage>;
  LOCAL?: string;
  ADMIN_TOKEN?: string;
  COMMAND_SIGNING_KEY?: string;
  PUBLIC_URL?: string;
  WEBHOOK_ALLOW?: string;
  DNS_URL?: string;
  SLACK_SIGNING_SECRET?: string;
  SLACK_BOT_TOKEN?: string;
  SLACK_API_URL?: string;
  DISCORD_PUBLIC_KEY?: string;
  DISCORD_BOT_TOKEN?: string;
  DISCORD_API_URL?: string;
};

const settings = z.object({
  LOCAL: z.enum(["yes", "no"]).default("no"),
  ADMIN_TOKEN: z.string().min(24, "must have at least 24 characters").optional(),
  COMMAND_SIGNING_KEY: z
    .string()
    .regex(/^whsk_[A-Za-z0-9+/=]{43,}$/, "must be whsk_ and the base64 of a 32-byte seed")
    .optional(),
  PUBLIC_URL: z
    .url()
    .transform((url) => url.replace(/\/+$/, ""))
    .optional(),
  WEBHOOK_ALLOW: z
    .string()
    .default("")
    .transform((text, context) => {
      try {
        return readAllowed(text);
      } catch (error) {
        context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
        return z.NEVER;
      }
    }),
  DNS_URL: z.url().default("https://cloudflare-dns.com/dns-query"),
  SLACK_SIGNING_SECRET: z.string().min(16).optional(),
  SLACK_BOT_TOKEN: z.string().min(1).optional(),
  SLACK_API_URL: z.url().default("https://slack.com/api"),
  DISCORD_PUBLIC_KEY: z
    .string()
    .regex(/^[0-9a-f]{64}$/i, "must be the application's public key, 64 hexadecimal digits")
    .optional(),
  DISCORD_BOT_TOKEN: z.string().min(1).optional(),
  DISCORD_API_URL: z.url().default("https://discord.com/api/v10"),
});

/** The runs' engine, as services see it. */
export type Runs = {
  /** Makes the instance of a new run. */
  start: (migrationId: string) => Promise<void>;
  /** Makes sure that the run has a living Workflow instance. */
  ensure: (migrationId: string) => Promise<void>;
  /** Tells the run that something has changed; the change itself is in D1. */
  notify: (migrationId: string) => Promise<void>;
};

const storesOf = (db: Db, wake: Wake) => ({
  tokens: tokenStore(db),
  hosts: hostStore(db, wake),
  telemetry: telemetryStore(db),
  chunks: chunkStore(db),
  jobs: jobStore(db, wake),
  plans: planStore(db, wake),
  planInputs: planInputStore(db),
  approvals: approvalStore(db, wake),
  rules: ruleStore(db),
  snapshots: snapshotStore(db),
  migrations: migrationStore(db, wake),
  outcomes: outcomeStore(db),
  checks: checkStore(db),
  commands: commandStore(db),
  idempotency: idempotencyStore(db),
  audit: auditStore(db, wake),
  calibrations: calibrationStore(db, wake),
  policies: policyStore(db, wake),
  policyRuns: policyRunStore(db, wake),
  policyPlans: policyPlanStore(db, wake),
  freezes: freezeStore(db, wake),
  triggers: triggerStore(db),
  outbox: outboxStore(db),
  routes: routeStore(db),
  webhooks: webhookStore(db),
  deliveries: deliveryStore(db, wake),
  vmNames: vmNameStore(db),
  chat: chatStore(db),
  chatChannels: chatChannelStore(db),
});
/** One an aggregate. */
export type Stores = ReturnType<typeof storesOf>;

export type Deps = {
  store: Stores;
  /** Latest values of hosts as JSON, by host, version of its state and metrics. */
  latestPieces: Kept<Uint8Array>;
  /** Of this isolate. */
  counts: { d1: D1Counts; telemetry: { stored: number; refused: number } };
  now: () => number;
  sleep: (ms: number) => Promise<void>;
  /** A new id that sorts by time: `pln_…`. */
  newId: (prefix: string) => string;
  /** 32 random bytes as base64url. */
  newSecret: () => string;
  /** SHA-256 as lower-case hex. */
  hash: (content: string | Uint8Array<ArrayBuffer>) => Promise<string>;
  signer: () => Promise<CommandSigner>;
  postCommand: typeof postCommand;
  channel: HostChannels;
  parseMigrationRecords: typeof parseRecords;
  seriesCsv: typeof seriesCsv;
  outcomeExport: { csv: typeof outcomesCsv; jsonLines: typeof outcomesJsonLines };
  runs: Runs;
  queue: OutboxQueue;
  /** How events leave, and where they may go. */
  outgoing: {
    allowed: AllowedAddresses;
    /** Scheme and host of this Drover, for links; null: not configured. */
    publicUrl: string | null;
    resolve: ReturnType<typeof createResolver>;
    sign: typeof webhookHeaders;
    post: typeof postWebhook;
    newSecret: typeof newWebhookSecret;
  };
  chat: {
    platforms: ReturnType<typeof chatPlatforms>;
    send: typeof sendToChat;
  };
  /** In [0, 1): for what need not be foreseeable. */
  random: () => number;
  /** SHA-256 of the bootstrap token, or null: none is configured. */
  adminTokenHash: () => Promise<string | null>;
  /** Plain http and loopback agent URLs are allowed. */
  local: boolean;
};

export type AppEnv = { Bindings: Bindings; Variables: { deps: Deps; principal: Principal; bodyHash: string } };

/** A part of an isolate's 128 MB: some 500 hosts with 20 VMs. */
const LATEST_BYTES_MAX = 8 * 1024 * 1024;
/** What an entry takes besides: what is asked for may be nothing at all, again and again by another name. */
const KEPT_BYTES = 300;

const utf8 = new TextEncoder();

// Of node:crypto's Hash the stream around it costs more than the hash.
async function sha256Hex(content: string | Uint8Array<ArrayBuffer>): Promise<string> {
  const bytes = typeof content === "string" ? utf8.encode(content) : content;
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

function runsOf(workflow: Bindings["MIGRATION_RUN"]): Runs {
  const start = async (migrationId: string): Promise<void> => {
    await workflow.create({ id: migrationId, params: { migrationId } });
  };
  const ensure = async (migrationId: string): Promise<void> => {
    const instance = await workflow.get(migrationId).catch(() => null);
    if (!instance) return start(migrationId);
    const { status } = await instance.status();
    if (status === "errored" || status === "terminated" || status === "complete") await instance.restart();
  };
  return {
    start,
    ensure,
    notify: async (migrationId) => {
      try {
        await (await workflow.get(migrationId)).sendEvent({ type: "changed", payload: {} });
      } catch {
        // No living instance takes the event: a new one reads what has changed from D1.
        await ensure(migrationId);
      }
    },
  };
}

let signer: { secret: string; made: Promise<CommandSigner> } | null = null;

const made = new WeakMap<Bindings, Deps>();

/** The same for all requests of an isolate: what its stores remember serves them all. */
export function makeDeps(env: Bindings): Deps {
  const deps = made.get(env) ?? newDeps(env);
  made.set(env, deps);
  return deps;
}

const outgoingOf = ({ LOCAL, PUBLIC_URL, WEBHOOK_ALLOW, DNS_URL }: z.output<typeof settings>): Deps["outgoing"] => ({
  allowed: { local: LOCAL === "yes", ...WEBHOOK_ALLOW },
  publicUrl: PUBLIC_URL ?? null,
  resolve: createResolver(DNS_URL),
  sign: webhookHeaders,
  post: postWebhook,
  newSecret: newWebhookSecret,
});

const CHAT_TIMEOUT_MS = 5000;
const CHAT_ANSWER_LENGTH_MAX = 65_536;
const sendToChat = (call: OutgoingCall) =>
  postWebhook({ ...call, timeoutMs: CHAT_TIMEOUT_MS, answerLengthMax: CHAT_ANSWER_LENGTH_MAX });

const chatOf = (set: z.output<typeof settings>): Deps["chat"] => ({
  platforms: chatPlatforms({
    slack: {
      signingSecret: set.SLACK_SIGNING_SECRET,
      botToken: set.SLACK_BOT_TOKEN,
      apiUrl: set.SLACK_API_URL,
      local: set.LOCAL === "yes",
    },
    discord: { publicKey: set.DISCORD_PUBLIC_KEY, botToken: set.DISCORD_BOT_TOKEN, apiUrl: set.DISCORD_API_URL },
  }),
  send: sendToChat,
});

function newDeps(env: Bindings): Deps {
  const parsed = settings.safeParse(env);
  if (!parsed.success) {
    const detail = parsed.error.issues.map((issue) => `${issue.path.join(".")} ${issue.message}`).join("; ");
    throw new AppError({ code: "misconfigured", detail });
  }
  const { LOCAL, ADMIN_TOKEN, COMMAND_SIGNING_KEY } = parsed.data;
  const queue = outboxQueue(env.OUTBOX);
  const counts = { d1: { queries: 0, rowsRead: 0, rowsWritten: 0 }, telemetry: { stored: 0, refused: 0 } };
  return {
    store: storesOf(drizzle(countedD1(env.DB, counts.d1)), queue.wake),
    latestPieces: createKept(LATEST_BYTES_MAX, (bytes, key) => bytes.length + 2 * key.length + KEPT_BYTES),
    counts,
    now: Date.now,
    sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
    newId: (prefix) => `${prefix}_${uuidv7().replaceAll("-", "")}`,
    newSecret: () => crypto.getRandomValues(new Uint8Array(32)).toBase64({ alphabet: "base64url", omitPadding: true }),
    hash: sha256Hex,
    signer: () => {
      if (!COMMAND_SIGNING_KEY)
        throw new AppError({ code: "misconfigured", detail: "The secret COMMAND_SIGNING_KEY is not set." });
      if (signer?.secret !== COMMAND_SIGNING_KEY)
        signer = { secret: COMMAND_SIGNING_KEY, made: createCommandSigner(COMMAND_SIGNING_KEY) };
      return signer.made;
    },
    postCommand,
    channel: hostChannels(env.HOST_CHANNEL),
    parseMigrationRecords: parseRecords,
    seriesCsv,
    outcomeExport: { csv: outcomesCsv, jsonLines: outcomesJsonLines },
    runs: runsOf(env.MIGRATION_RUN),
    queue,
    outgoing: outgoingOf(parsed.data),
    chat: chatOf(parsed.data),
    random: Math.random,
    adminTokenHash: async () => (ADMIN_TOKEN ? sha256Hex(ADMIN_TOKEN) : null),
    local: LOCAL === "yes",
  };
}
