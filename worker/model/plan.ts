// A stored plan: the advisor's content plus identity, state and who decided.
import { z } from "zod";
import { difference } from "./differences.ts";
import { policyMode } from "./policy/policy.ts";
import { planContent, planState } from "./placement/types.ts";

/** `stop`: what has not begun is cancelled; `replan`: that, and the goal is planned anew on what is there then. */
export const onFailure = z.enum(["stop", "replan"]);
export type OnFailure = z.infer<typeof onFailure>;

export const plan = z
  .strictObject({
    planId: z.string(),
    state: planState,
    version: z.int(),
    contentHash: z.string(),
    inputHash: z.string(),
    content: planContent,
    /** Moves left out before approval, by their `n`. */
    skipped: z.array(z.int()),
    createdBy: z.string(),
    createdAt: z.int(),
    expiresAt: z.int(),
    decidedBy: z.string().nullable(),
    decidedAt: z.int().nullable(),
    reason: z.string().nullable(),
    endedAt: z.int().nullable(),
    /** The policy that made it; null: somebody asked for it. */
    policyId: z.string().nullable(),
    /** The policy's mode that held when it was made. A `shadow` plan can never be approved. */
    mode: policyMode.nullable(),
    /** What a failed move does to the rest, as the approval said; null: not approved. */
    onFailure: onFailure.nullable(),
    /** The failed plan whose rest this one plans anew; null: none. */
    replans: z.string().nullable(),
  })
  .meta({ id: "Plan" });
export type Plan = z.infer<typeof plan>;

/** A plan as a list shows it: without its content. */
export const planSummary = plan
  .omit({ content: true })
  .extend({ cluster: z.string(), goal: z.string() })
  .meta({ id: "PlanSummary" });
export type PlanSummary = z.infer<typeof planSummary>;

/** A plan that was made and not stored: of a dry run, or of a what-if. It can be neither read again nor approved. */
export const draftPlan = z
  .strictObject({
    /** SHA-256 of the content as canonical JSON (RFC 8785). */
    contentHash: z.string(),
    /** SHA-256 of the snapshot, a line feed and the request: the same input gives the same content. */
    inputHash: z.string(),
    content: planContent,
  })
  .meta({ id: "DraftPlan" });
export type DraftPlan = z.infer<typeof draftPlan>;

/** A stored plan made once more from what it was made from. */
export const replay = z
  .strictObject({
    planId: z.string(),
    /** The same bytes came. */
    same: z.boolean(),
    contentHash: z.string(),
    replayedHash: z.string(),
    /** Which engine made the plan, and which made it again: only of the same one are the same bytes to be expected. */
    engineVersion: z.string(),
    replayedEngineVersion: z.string(),
    /** One sentence. */
    verdict: z.string(),
    /** Where they differ, the first hundred places; empty: nowhere. */
    differences: z.array(difference),
    /** What came instead; absent: the same. */
    content: planContent.optional(),
  })
  .meta({ id: "Replay" });
export type Replay = z.infer<typeof replay>;
