// Commands from Drover to an agent, and the signed envelope they travel in. The envelope is the same whether it comes by
// webhook, in the answer to a heartbeat or in the answer to telemetry.
import { z } from "zod";
import { bytesPerSecond, mechanism, operatorId, timestampMs, vmUuid } from "./common.ts";
import { vmInventory } from "./inventory.ts";

export const onDeadline = z.enum(["cancel", "force", "post-copy"]);

/** Hypervisor parameters of one migration, by the names the hypervisors use, units last. */
export const migrationParameters = z
  .strictObject({
    maxBandwidthBytesPerSecond: bytesPerSecond,
    downtimeLimitMs: z.int().min(1).max(2_000_000),
    autoConverge: z.boolean(),
    xbzrle: z.boolean(),
    /** 0: multifd off. */
    multifdChannels: z.int().min(0).max(255),
    compression: z.enum(["none", "zlib", "zstd"]),
    postCopyPreempt: z.boolean(),
    /** Hybrid: pre-copy rounds before post-copy starts. */
    preCopyRounds: z.int().min(1).max(100),
    /** Start post-copy after this time; null: only as the mechanism says. */
    postCopyAfterMs: z.int().min(0).nullable(),
    deadlineMs: z.int().min(1000).max(86_400_000),
    onDeadline,
  })
  .meta({ id: "MigrationParameters" });
export type MigrationParameters = z.infer<typeof migrationParameters>;

/** What was approved: nothing outside these may happen without a new approval. */
export const migrationLimits = z
  .strictObject({
    downtimeMsMax: z.number().positive(),
    bandwidthBytesPerSecondMax: bytesPerSecond,
    postCopyPermitted: z.boolean(),
  })
  .meta({ id: "MigrationLimits" });
export type MigrationLimits = z.infer<typeof migrationLimits>;

const commandHead = {
  id: z.string().min(1).max(64),
  migrationId: z.string().min(1).max(64),
  /** The only host whose agent may act on this command. */
  hostId: operatorId,
  issuedAt: timestampMs,
  /** Past this time the command is void: it is retried until then and never replayed. */
  expiresAt: timestampMs,
  /** Rises per VM and covers source and destination. A lower one than seen before is refused. */
  fencingToken: z.int().min(1),
};

const migrationHead = {
  ...commandHead,
  vm: vmInventory,
  fromHostId: operatorId,
  toHostId: operatorId,
  mechanism,
  parameters: migrationParameters,
  limits: migrationLimits,
};

/** To the destination: own preflight, then start the incoming side, paused, with a lease. */
export const prepareCommand = z.strictObject({
  type: z.literal("migration.prepare"),
  ...migrationHead,
  leaseMs: z.int().min(1000),
});
export type PrepareCommand = z.infer<typeof prepareCommand>;

/** To the source: migrate to where the destination listens. */
export const startCommand = z.strictObject({
  type: z.literal("migration.start"),
  ...migrationHead,
  destination: z.strictObject({
    /** As the driver of the destination gave it, `tcp:host:port` for qmp. */
    migrationUri: z.string().min(1).max(512),
    /** Where the destination's agent takes the source's proof that it has stopped. */
    peerUrl: z.string().min(1).max(512),
  }),
});
export type StartCommand = z.infer<typeof startCommand>;

/** To either side: end the migration if it has not passed the point of no return; to the destination: kill what was prepared. */
export const cancelCommand = z.strictObject({
  type: z.literal("migration.cancel"),
  ...commandHead,
  vmUuid,
  reason: z.string().max(500),
});
export type CancelCommand = z.infer<typeof cancelCommand>;

/** One change of a running migration, in absolute values, within what was approved. */
export const directive = z
  .discriminatedUnion("set", [
    z.strictObject({ set: z.literal("downtime"), downtimeLimitMs: z.int().min(1).max(2_000_000) }),
    z.strictObject({ set: z.literal("bandwidth"), bytesPerSecond }),
    z.strictObject({ set: z.literal("start-post-copy") }),
    z.strictObject({ set: z.literal("cancel") }),
  ])
  .meta({ id: "Directive" });
export type Directive = z.infer<typeof directive>;

/** To the source, while it copies. Of directives that come late or out of order only the newest counts. */
export const steerCommand = z.strictObject({
  type: z.literal("migration.steer"),
  ...commandHead,
  vmUuid,
  /** Rises with every directive of the run; one that is not higher than the last changes nothing. */
  number: z.int().min(1),
  directive,
  reason: z.string().max(500),
});
export type SteerCommand = z.infer<typeof steerCommand>;

/** To the source of a post-copy that has lost its link: try to go on now. */
export const recoverCommand = z.strictObject({
  type: z.literal("migration.recover"),
  ...commandHead,
  vmUuid,
  reason: z.string().max(500),
});
export type RecoverCommand = z.infer<typeof recoverCommand>;

export const command = z
  .discriminatedUnion("type", [prepareCommand, startCommand, cancelCommand, steerCommand, recoverCommand])
  .meta({ id: "Command" });
export type Command = z.infer<typeof command>;

/**
 * Standard Webhooks, asymmetric scheme: `signature` is `v1a,` and the base64 Ed25519 signature of `${id}.${timestamp}.${body}`.
 * By webhook the three stand in the headers `webhook-id`, `webhook-timestamp` and `webhook-signature`.
 */
export const commandEnvelope = z
  .strictObject({
    id: z.string().min(1).max(64),
    /** Seconds since 1970: when it was signed for this delivery. */
    timestamp: z.int(),
    signature: z.string().min(1).max(256),
    /** The command as JSON text; what is signed is this text. */
    body: z.string().min(1).max(65_536),
  })
  .meta({ id: "CommandEnvelope" });
export type CommandEnvelope = z.infer<typeof commandEnvelope>;
