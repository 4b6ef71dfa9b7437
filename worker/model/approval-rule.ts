// Whose approval plans need, as a cluster or a policy says.
import { z } from "zod";
import { DAY_MS, MINUTE_MS } from "./units.ts";

const principalId = z.string().min(1).max(64);

const fields = {
  /** So many different people have to approve. */
  needed: z.int().min(1).max(10),
  /** Principals of whom they have to be; absent: whoever holds `approve`. */
  from: z.array(principalId).min(1).max(50).optional(),
  /** Who has asked for the plan, or made the policy that did, may approve it too. */
  selfPermitted: z.boolean(),
  /** An approval counts for so long, ms. */
  validMs: z.int().min(MINUTE_MS).max(DAY_MS),
};

const enough = { path: ["from"], message: "must name at least as many as are needed" };
const isEnough = ({ from, needed }: { from?: string[] | undefined; needed: number }): boolean =>
  from === undefined || new Set(from).size >= needed;

/** Of a policy: for the plans that it makes. */
export const planApprovals = z
  .strictObject({
    ...fields,
    needed: fields.needed.default(1),
    selfPermitted: fields.selfPermitted.default(true),
    validMs: fields.validMs.default(DAY_MS),
  })
  .refine(isEnough, enough)
  .meta({ id: "PlanApprovals" });
export type PlanApprovals = z.output<typeof planApprovals>;

/** Of a cluster: for every plan in it. A policy may ask for more, never for less. */
export const approvalRule = z
  .strictObject({
    ...fields,
    needed: fields.needed.default(1),
    selfPermitted: fields.selfPermitted.default(true),
    validMs: fields.validMs.default(DAY_MS),
    /** Policies may approve by themselves. */
    automaticPermitted: z.boolean().default(false),
  })
  .refine(isEnough, enough)
  .meta({ id: "ApprovalRule" });
export type ApprovalRule = z.output<typeof approvalRule>;

/** What holds where nobody has said anything. */
export const FREE: ApprovalRule = { needed: 1, selfPermitted: true, validMs: DAY_MS, automaticPermitted: true };

/** What a plan needs by both. A policy that approves by itself says so by its mode; only the cluster forbids that. */
export function strictest(ofCluster: ApprovalRule | null, ofPolicy: PlanApprovals | null): ApprovalRule {
  const rule = ofCluster ?? FREE;
  if (ofPolicy === null) return rule;
  const { from = rule.from } = ofPolicy;
  const both = from?.filter((one) => rule.from?.includes(one) ?? true);
  return {
    needed: Math.max(rule.needed, ofPolicy.needed),
    ...(both === undefined ? {} : { from: both }),
    selfPermitted: rule.selfPermitted && ofPolicy.selfPermitted,
    validMs: Math.min(rule.validMs, ofPolicy.validMs),
    automaticPermitted: rule.automaticPermitted,
  };
}
