// What came of a policy each time it ran.
import { z } from "zod";
import { operatorId } from "../wire/common.ts";
import { policyMode } from "./policy.ts";
import { simulated } from "./shadow.ts";
import { policyEvent } from "./trigger.ts";

export const runOutcome = z.enum([
  "nothing-to-do",
  "proposed",
  "approved",
  "shadowed",
  "outside-window",
  "cooling-down",
  "budget-spent",
  "frozen",
  "failed",
]);
export type RunOutcome = z.infer<typeof runOutcome>;

export const runTrigger = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("cron") }),
  z.strictObject({ type: z.literal("interval") }),
  z.strictObject({ type: z.literal("event"), event: policyEvent }),
  z.strictObject({
    type: z.literal("manual"),
    by: z.string(),
    reason: z.string().optional(),
    hostId: operatorId.optional(),
  }),
]);
export type RunTrigger = z.infer<typeof runTrigger>;

/** A move that is not approved by the policy, and why. */
export const leftOut = z.strictObject({
  n: z.int(),
  cause: z.enum(["scope", "post-copy", "frozen", "budget", "depends"]),
  why: z.string(),
});
export type LeftOut = z.infer<typeof leftOut>;

/** Efficacy indicators by name, whatever the advisor has. */
export const indicators = z.record(z.string(), z.number());
export type Indicators = z.infer<typeof indicators>;

export const indicatorsOf = (efficacy: object): Indicators =>
  Object.fromEntries(
    Object.entries(efficacy).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
  );

export const runNumbers = z.strictObject({
  moves: z.int(),
  bytesP50: z.number(),
  /** Moves that the policy approved, or would have. */
  approved: z.array(z.int()),
  leftOut: z.array(leftOut),
  /** The cluster as the run found it. */
  before: indicators,
  /** What the plan promises. */
  promised: indicators,
  /** In shadow: what it would have done, which its cooldowns and budgets count as done. */
  simulated: simulated.optional(),
});
export type RunNumbers = z.infer<typeof runNumbers>;

export const policyRun = z
  .strictObject({
    runId: z.string(),
    policyId: z.string(),
    cluster: z.string(),
    trigger: runTrigger,
    /** When it was due; a run by event or by hand, when it was asked for or may begin. */
    dueAt: z.int(),
    /** Null: waits for its turn. */
    startedAt: z.int().nullable(),
    endedAt: z.int().nullable(),
    /** The mode that held. */
    mode: policyMode.nullable(),
    outcome: runOutcome.nullable(),
    planId: z.string().nullable(),
    /** One sentence: why this outcome. */
    summary: z.string().nullable(),
    /** Why the policy was found to help no more; null: it was not. */
    alarm: z.string().nullable(),
    /** Null: no plan was made. */
    numbers: runNumbers.nullable(),
  })
  .meta({ id: "PolicyRun" });
export type PolicyRun = z.infer<typeof policyRun>;
