// What an agent reports of a migration: the body of `POST /v1/migrations/{migrationId}/events`.
import { z } from "zod";
import { byteCount, operatorId, timestampMs } from "./common.ts";
import { vmState } from "./inventory.ts";

/** One look at a running migration, as the hypervisor counts it. */
export const progress = z
  .strictObject({
    iteration: z.int().min(0),
    totalBytes: byteCount.optional(),
    remainingBytes: byteCount,
    transferredBytes: byteCount,
    /** Dirtied per second in the last period; absent until it was measured once. */
    dirtyBytesPerSecond: z.number().min(0).optional(),
    throughputBytesPerSecond: z.number().min(0).optional(),
    throttleRatio: z.number().min(0).max(1).optional(),
    phase: z.enum(["setup", "pre-copy", "switchover", "post-copy"]),
    elapsedMs: z.number().min(0),
  })
  .meta({ id: "MigrationProgress" });
export type Progress = z.infer<typeof progress>;

/** What a finished migration really cost, on the hypervisors' own clock. Unknown figures are absent. */
export const outcome = z
  .strictObject({
    /** Command to source STOP. */
    preparationMs: z.number().min(0).optional(),
    /** Source STOP to destination RESUME: the blackout, never QEMU's `downtime` field. */
    downtimeMs: z.number().min(0).optional(),
    /** Destination RESUME to release of the source. */
    resumeMs: z.number().min(0).optional(),
    /** The sum of the three; comparable to QEMU's `total-time`. */
    totalMs: z.number().min(0).optional(),
    transferredBytes: byteCount.optional(),
    transferredPages: z.int().min(0).optional(),
    zeroPages: z.int().min(0).optional(),
    rounds: z.int().min(0).optional(),
    throttleRatioMax: z.number().min(0).max(1).optional(),
    remoteFaults: z.int().min(0).optional(),
    /** QEMU's own `downtime`, kept beside the blackout and never learned from. */
    hypervisorDowntimeMs: z.number().min(0).optional(),
    /** downtime-limit or bandwidth were changed on the way: what was predicted was predicted for others. */
    steered: z.literal(true).optional(),
  })
  .meta({ id: "MigrationOutcome" });
export type Outcome = z.infer<typeof outcome>;

const failure = { reason: z.string().min(1).max(64), detail: z.string().max(2000), vmState: vmState.optional() };

const steered = {
  what: z.enum(["downtime-limit", "max-bandwidth", "post-copy", "switch-over", "cancel", "recover"]),
  /** Before and after, in ms or bytes a second, of what has a value. */
  from: z.number().min(0).optional(),
  to: z.number().min(0).optional(),
  by: z.enum(["agent", "command"]),
  why: z.string().max(1000),
};

const eventHead = {
  hostId: operatorId,
  bootId: z.string().min(1).max(64),
  /** Rises with every event of this agent for this migration; a repeated one is answered the same. */
  sequence: z.int().min(0),
  at: timestampMs,
  commandId: z.string().min(1).max(64).optional(),
  fencingToken: z.int().min(1),
};

export const migrationEvent = z
  .discriminatedUnion("type", [
    /** Destination: listening. */
    z.strictObject({
      type: z.literal("prepared"),
      ...eventHead,
      migrationUri: z.string().min(1).max(512),
      peerUrl: z.string().min(1).max(512),
    }),
    /** Source: the hypervisor has taken the migration. */
    z.strictObject({ type: z.literal("accepted"), ...eventHead }),
    z.strictObject({
      type: z.literal("progress"),
      ...eventHead,
      progress,
      /** Post-copy stands: its link is lost and not back yet. */
      paused: z.literal(true).optional(),
    }),
    /** Source: the migration was steered, by the agent's own rule or by a command (`commandId`). Moves nothing. */
    z.strictObject({ type: z.literal("steered"), ...eventHead, ...steered }),
    /** Source: the VM was stopped for the switch-over. Destination: the VM runs here. */
    z.strictObject({
      type: z.literal("switched"),
      ...eventHead,
      side: z.enum(["source", "destination"]),
      postCopy: z.boolean(),
    }),
    /** Either side: a program of the operator's was run before the VM left, or after it was over. Moves nothing. */
    z.strictObject({
      type: z.literal("hook"),
      ...eventHead,
      name: z.string().min(1).max(63),
      when: z.enum(["before", "after"]),
      ok: z.boolean(),
      durationMs: z.number().min(0),
      detail: z.string().max(2000),
    }),
    /** Destination: the VM's new place was announced to the network; `by-hypervisor`: it does so by itself. Moves nothing. */
    z.strictObject({
      type: z.literal("announced"),
      ...eventHead,
      how: z.enum(["sent", "by-hypervisor", "failed"]),
      detail: z.string().max(2000).optional(),
    }),
    /** Source, after the move: whether the VM's address answers, seen from the host that it has left. Moves nothing. */
    z.strictObject({
      type: z.literal("address-checked"),
      ...eventHead,
      /** `tcp 192.0.2.7:443`. */
      name: z.string().min(1).max(300),
      answered: z.boolean(),
      elapsedMs: z.number().min(0),
      detail: z.string().max(2000),
    }),
    /** Post-copy lost its link; only `recover` is legal now. */
    z.strictObject({ type: z.literal("paused"), ...eventHead, detail: z.string().max(2000) }),
    z.strictObject({ type: z.literal("resumed"), ...eventHead }),
    /** Source: everything was sent and the source's side is released. */
    z.strictObject({ type: z.literal("completed"), ...eventHead, outcome }),
    z.strictObject({ type: z.literal("failed"), ...eventHead, ...failure }),
    z.strictObject({ type: z.literal("cancelled"), ...eventHead, ...failure }),
    /** The agent did not take the command: signature, age, token, policy, preflight. */
    z.strictObject({ type: z.literal("refused"), ...eventHead, ...failure }),
  ])
  .meta({ id: "MigrationEvent" });
export type MigrationEvent = z.infer<typeof migrationEvent>;

/** A command that the agent cannot tie to a migration it may speak of: `POST /v1/hosts/{hostId}/refusals`. */
export const refusal = z
  .strictObject({
    commandId: z.string().max(64).optional(),
    at: timestampMs,
    reason: z.enum(["bad-signature", "expired", "stale-token", "wrong-host", "unreadable", "policy", "stopped"]),
    detail: z.string().max(2000),
  })
  .meta({ id: "Refusal" });
export type Refusal = z.infer<typeof refusal>;
