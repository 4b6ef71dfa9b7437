// What events say: `data` of each type. A field is never taken away or given another meaning under the same version.
import { z } from "zod";
import { policyMode } from "../policy/policy.ts";
import { hypervisor, mechanism, vmUuid } from "../wire/common.ts";
import { outcome } from "../wire/event.ts";

const at = z.int();
const ratioCauses = z.array(z.strictObject({ metric: z.string(), sentence: z.string() }));

export const hostHot = z.strictObject({
  hostId: z.string(),
  sentence: z.string(),
  /** What is over its threshold, the worst first. */
  causes: ratioCauses,
});
export const hostState = z.strictObject({
  hostId: z.string(),
  /** What is known of it, in one sentence; empty: nothing more. */
  sentence: z.string(),
  /** When it was last heard, ms since 1970; null: never. */
  heardAt: at.nullable(),
});
export const hostMaintenance = z.strictObject({
  hostId: z.string(),
  /** Null: until it is ended by hand. Of one that has ended: when it would have. */
  until: at.nullable(),
  reason: z.string().nullable(),
  by: z.string(),
});

/** A move of a plan as a message shows it. */
export const movePayload = z.strictObject({
  n: z.int(),
  vm: vmUuid,
  vmName: z.string(),
  fromHostId: z.string(),
  toHostId: z.string(),
  mechanism,
  /** Blackout as predicted. */
  downtimeMsP50: z.number().nullable(),
  downtimeMsP90: z.number().nullable(),
  totalMsP50: z.number(),
  bytesP50: z.number(),
  /** What it gains less what it costs, in the advisor's currency. */
  gainTotal: z.number(),
  why: z.string(),
});

const planHead = {
  planId: z.string(),
  goal: z.string(),
  /** The policy that made it; null: somebody asked for it. */
  policyId: z.string().nullable(),
};
const planMoves = {
  contentHash: z.string(),
  summary: z.string(),
  moveCount: z.int(),
  /** The first of them, at most 200; the rest is at `link`. */
  moves: z.array(movePayload),
};

export const planProposed = z.strictObject({
  ...planHead,
  ...planMoves,
  createdBy: z.string(),
  expiresAt: at,
  mode: policyMode.nullable(),
  /** The failed plan whose rest this one plans anew. */
  replans: z.string().nullable(),
});
export const planApproved = z.strictObject({
  ...planHead,
  ...planMoves,
  by: z.string(),
  reason: z.string().nullable(),
  /** Moves left out, by their `n`. */
  skipped: z.array(z.int()),
  onFailure: z.enum(["stop", "replan"]),
  /** In an emergency, without the others whose approval it needed. */
  override: z.boolean(),
});
/** One of several approvals that a plan needs. */
export const planApprovalGiven = z.strictObject({
  ...planHead,
  contentHash: z.string(),
  by: z.string(),
  reason: z.string().nullable(),
  /** So many have approved now, of so many that have to. */
  given: z.int(),
  needed: z.int(),
});
export const planDecided = z.strictObject({ ...planHead, by: z.string(), reason: z.string().nullable() });
export const planState = z.strictObject(planHead);

export const migrationPayload = z.strictObject({
  migrationId: z.string(),
  planId: z.string(),
  moveNumber: z.int(),
  vm: vmUuid,
  vmName: z.string(),
  fromHostId: z.string(),
  toHostId: z.string(),
  mechanism,
  /** The state that it is in now, and the one that it was in before. */
  state: z.string(),
  before: z.string(),
  predicted: z.strictObject({
    downtimeMsP50: z.number().nullable(),
    downtimeMsP90: z.number().nullable(),
    totalMsP50: z.number(),
    bytesP50: z.number(),
  }),
  /** What it really cost; null: not measured, or not yet. */
  measured: outcome.nullable(),
  /** Why it failed, was cancelled or is lost; null: it did not. */
  failure: z.strictObject({ reason: z.string(), detail: z.string(), hostId: z.string().optional() }).nullable(),
  /** From the run's making, ms. */
  elapsedMs: z.number(),
});

export const migrationUnreachable = z.strictObject({
  migrationId: z.string(),
  planId: z.string(),
  vm: vmUuid,
  vmName: z.string(),
  fromHostId: z.string(),
  toHostId: z.string(),
  /** What was asked for: `tcp 192.0.2.7:443`. */
  check: z.string(),
  detail: z.string(),
});

export const calibrationDrifted = z.strictObject({
  group: z.string(),
  hypervisor,
  mechanism,
  regime: z.string(),
  quantity: z.string(),
  direction: z.enum(["above", "below"]),
  since: at,
});

export const policyAlarm = z.strictObject({
  policyId: z.string(),
  name: z.string(),
  why: z.string(),
  /** The mode that it was in, and is in now. */
  from: policyMode,
  to: policyMode,
});
export const policyFailed = z.strictObject({ policyId: z.string(), runId: z.string(), why: z.string() });

export const freezePayload = z.strictObject({
  freezeId: z.string(),
  reason: z.string(),
  from: at.nullable(),
  to: at.nullable(),
  /** Only parts of the cluster. */
  isPartial: z.boolean(),
  by: z.string(),
});
export const stopPressed = z.strictObject({
  /** Null: all clusters. */
  cluster: z.string().nullable(),
  reason: z.string(),
  by: z.string(),
});

export const webhookPaused = z.strictObject({
  webhookId: z.string(),
  url: z.string(),
  why: z.string(),
  failingSince: at.nullable(),
});
export const webhookTest = z.strictObject({ webhookId: z.string(), by: z.string() });

const severity = z.enum(["info", "warning", "critical"]);
export const notification = z.strictObject({
  routeId: z.string(),
  /** Of the route. */
  name: z.string(),
  /** The highest of its events. */
  severity,
  /** What all of them agree in, of what the route groups by: `cluster`, `type`, `severity`, `subject`. */
  common: z.record(z.string(), z.string()),
  /** How many events it tells of. */
  count: z.int(),
  /** When the first and the last of them happened. */
  from: at,
  to: at,
  byType: z.record(z.string(), z.int()),
  /** Of the highest severity first, at most 20. */
  events: z.array(
    z.strictObject({
      id: z.string(),
      type: z.string(),
      severity,
      cluster: z.string().nullable(),
      subject: z.string(),
      at,
      sentence: z.string(),
    }),
  ),
  /** Who has sent it to try the route; null: it is none of these. */
  testBy: z.string().nullable(),
});
