// A stored plan: the advisor's content plus identity, state and who decided.
import { z } from "zod";
import { planContent, planState } from "./placement/types.ts";

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
  })
  .meta({ id: "Plan" });
export type Plan = z.infer<typeof plan>;

/** A plan as a list shows it: without its content. */
export const planSummary = plan
  .omit({ content: true })
  .extend({ cluster: z.string(), goal: z.string() })
  .meta({ id: "PlanSummary" });
export type PlanSummary = z.infer<typeof planSummary>;
