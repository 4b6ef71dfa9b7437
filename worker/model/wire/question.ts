// What agents are asked that moves nothing: whether this host could take a VM, and how good the way to another host is.
// Questions travel as commands do, signed in the same envelope; the answer is the body of
// `POST /v1/hosts/{hostId}/checks/{checkId}`.
import { z } from "zod";
import { command, migrationLimits, migrationParameters } from "./command.ts";
import { byteCount, bytesPerSecond, driverName, hypervisor, mechanism, operatorId, timestampMs } from "./common.ts";
import { vmInventory } from "./inventory.ts";

const questionHead = {
  id: z.string().min(1).max(64),
  /** The only host whose agent may answer. */
  hostId: operatorId,
  issuedAt: timestampMs,
  expiresAt: timestampMs,
};

/** To the destination of a move that might be: what its own preflight says of it. Nothing is prepared. */
export const preflightQuestion = z.strictObject({
  type: z.literal("move.preflight"),
  ...questionHead,
  vm: vmInventory,
  fromHostId: operatorId,
  toHostId: operatorId,
  mechanism,
  parameters: migrationParameters,
  limits: migrationLimits,
  /** What runs the VM now, as far as it is known. */
  source: z.strictObject({
    hypervisor,
    hypervisorVersion: z.string().max(64).optional(),
    driver: driverName,
    cpuModel: z.string().max(128).optional(),
  }),
});
export type PreflightQuestion = z.infer<typeof preflightQuestion>;

/** To the source: send so much, for so long, to the agent of the destination, and say how it went. */
export const probeQuestion = z.strictObject({
  type: z.literal("link.probe"),
  ...questionHead,
  toHostId: operatorId,
  peerUrl: z.string().min(1).max(512),
  bytesMax: z.int().min(1).max(1_073_741_824),
  durationMsMax: z.int().min(100).max(10_000),
});
export type ProbeQuestion = z.infer<typeof probeQuestion>;

export const question = z.discriminatedUnion("type", [preflightQuestion, probeQuestion]).meta({ id: "Question" });
export type Question = z.infer<typeof question>;

/** Everything that comes in a signed envelope. */
export const envelopeBody = z.discriminatedUnion("type", [command, question]);
export type EnvelopeBody = z.infer<typeof envelopeBody>;

/** One look of a destination at itself. */
export const preflightCheck = z
  .strictObject({
    check: z.enum([
      "policy",
      "place",
      "hypervisor",
      "versions",
      "machine",
      "cpu",
      "memory",
      "devices",
      "storage",
      "network",
      "parameters",
      "ports",
      "tls",
    ]),
    /** Null: it could not be looked at, or it is a doubt and no obstacle. */
    ok: z.boolean().nullable(),
    /** In words, with its numbers. */
    detail: z.string().max(2000),
  })
  .meta({ id: "PreflightCheck" });
export type PreflightCheck = z.infer<typeof preflightCheck>;

/** The way from one agent to another as it was measured. */
export const measuredLink = z
  .strictObject({
    at: timestampMs,
    /** What one TCP connection carried, payload. */
    bytesPerSecond,
    bytes: byteCount,
    durationMs: z.number().min(0),
    /** Median of the round trips. */
    rttMs: z.number().min(0),
    /** Share of datagrams that did not come back; absent: none came through at all, so that nothing can be said. */
    lossRatio: z.number().min(0).max(1).optional(),
  })
  .meta({ id: "MeasuredLink" });
export type MeasuredLink = z.infer<typeof measuredLink>;

const words = z.string().min(1).max(2000);

export const checkAnswer = z
  .discriminatedUnion("type", [
    z.strictObject({
      type: z.literal("move.preflight"),
      at: timestampMs,
      checks: z.array(preflightCheck).min(1).max(64),
      /** Where other agents reach this one. */
      peerUrl: z.string().min(1).max(512),
    }),
    z.strictObject({ type: z.literal("link.probe"), link: measuredLink }),
    /** The agent does not answer: expired, not permitted here, or it could not be measured. */
    z.strictObject({ type: z.literal("refused"), reason: z.string().min(1).max(64), detail: words }),
  ])
  .meta({ id: "CheckAnswer" });
export type CheckAnswer = z.infer<typeof checkAnswer>;
