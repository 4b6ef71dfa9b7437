// Placement rules as operators state them: who belongs together, who apart, who on which hosts.
import { z } from "zod";
import { labels, operatorId, timestampMs, vmUuid } from "../wire/common.ts";

/** Which VMs: any of these uuids, or all labels as given. */
export const vmSelector = z
  .strictObject({ uuids: z.array(vmUuid).min(1).max(1000).optional(), labels: labels.optional() })
  .refine((selector) => selector.uuids !== undefined || selector.labels !== undefined, "give uuids, labels or both")
  .meta({ id: "VmSelector" });
export type VmSelector = z.infer<typeof vmSelector>;

/** Which hosts: any of these ids, or all labels as given. */
export const hostSelector = z
  .strictObject({ hostIds: z.array(operatorId).min(1).max(1000).optional(), labels: labels.optional() })
  .refine((selector) => selector.hostIds !== undefined || selector.labels !== undefined, "give hostIds, labels or both")
  .meta({ id: "HostSelector" });
export type HostSelector = z.infer<typeof hostSelector>;

const rule = {
  hard: z.boolean().default(true),
  /** Of a soft rule: what breaking it costs an hour, in the currency of the prices. */
  pricePerHour: z.number().positive().max(1e6).default(0.05),
  reason: z.string().max(500).optional(),
};
const domain = z.enum(["host", "rack", "zone"]).default("host");

/** Every kind of rule, with what else stands beside it. */
const kinds = <Beside extends z.ZodRawShape>(beside: Beside) =>
  z.discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("vm-affinity"), vms: vmSelector, domain, ...rule, ...beside }),
    z.strictObject({ kind: z.literal("vm-anti-affinity"), vms: vmSelector, domain, ...rule, ...beside }),
    z.strictObject({ kind: z.literal("host-affinity"), vms: vmSelector, hosts: hostSelector, ...rule, ...beside }),
    z.strictObject({ kind: z.literal("host-anti-affinity"), vms: vmSelector, hosts: hostSelector, ...rule, ...beside }),
  ]);

const ruleId = z.string().min(1).max(64);

/**
 * `vm-affinity`: the VMs share a domain; `vm-anti-affinity`: no two of them do; `host-affinity`: the VMs run on the hosts
 * only; `host-anti-affinity`: never there. A domain is a host, a rack or a zone. Hard rules forbid; soft ones forbid
 * nothing and cost their price while they are broken.
 */
export const placementRule = kinds({ ruleId }).meta({ id: "PlacementRule" });
export type PlacementRule = z.output<typeof placementRule>;

/** What a rule says, without its name: the body of `PUT /v1/rules/{ruleId}`. */
export const ruleBody = kinds({}).meta({ id: "PlacementRuleBody" });
export type RuleBody = z.output<typeof ruleBody>;

/** The body of `POST /v1/rules`. */
export const newRule = kinds({ cluster: operatorId }).meta({ id: "NewPlacementRule" });
export type NewRule = z.output<typeof newRule>;

/** A rule as `/v1/rules` shows it; times are ms since 1970. */
export const storedRule = kinds({
  ruleId,
  cluster: operatorId,
  createdAt: timestampMs,
  updatedAt: timestampMs,
}).meta({ id: "StoredPlacementRule" });
export type StoredRule = z.output<typeof storedRule>;
