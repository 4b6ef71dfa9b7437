// A policy as the API shows it.
import { z } from "zod";
import {
  type Policy,
  type StoredPolicy,
  type UnreadablePolicy,
  definitionOf,
  modeAt,
  notesOn,
  policyDefinition,
  policyMode,
} from "./policy.ts";
import { nextDueAt } from "./trigger.ts";

export const policyView = z
  .strictObject({
    policyId: z.string(),
    version: z.int(),
    ...policyDefinition.shape,
    /** The mode that holds now: `shadow` while `shadowUntil` has not come. */
    effectiveMode: policyMode,
    /** What to know of it beyond its fields. */
    notes: z.array(z.string()),
    /** The next time for which it is due; null: paused, or started by events only. */
    nextDueAt: z.int().nullable(),
    lastStartedAt: z.int().nullable(),
    createdBy: z.string(),
    createdAt: z.int(),
    updatedAt: z.int(),
  })
  .meta({ id: "Policy" });
export type PolicyView = z.infer<typeof policyView>;

export const viewOf = (policy: Policy, now: number): PolicyView => ({
  policyId: policy.policyId,
  version: policy.version,
  ...definitionOf(policy),
  effectiveMode: modeAt(policy, now),
  notes: notesOn(policy, now),
  nextDueAt: nextDueAt(policy, now),
  lastStartedAt: policy.lastStartedAt,
  createdBy: policy.createdBy,
  createdAt: policy.createdAt,
  updatedAt: policy.updatedAt,
});

/** One that this version cannot read: it does not run until the fields that `unreadable` names are given anew, or it is deleted. */
export const unreadableView = z
  .strictObject({
    policyId: z.string(),
    version: z.int(),
    cluster: z.string(),
    name: z.string(),
    enabled: z.boolean(),
    /** Which fields do not fit, and why. */
    unreadable: z.string(),
    createdBy: z.string(),
    createdAt: z.int(),
    updatedAt: z.int(),
  })
  .meta({ id: "UnreadablePolicy" });

const unreadableViewOf = (policy: UnreadablePolicy): z.infer<typeof unreadableView> => ({
  policyId: policy.policyId,
  version: policy.version,
  cluster: policy.cluster,
  name: policy.name,
  enabled: policy.enabled,
  unreadable: policy.why,
  createdBy: policy.createdBy,
  createdAt: policy.createdAt,
  updatedAt: policy.updatedAt,
});

/** What a list has of it. */
export const listedView = z.union([policyView, unreadableView]);
export const listedViewOf = ({ policy, unreadable }: StoredPolicy, now: number): z.infer<typeof listedView> =>
  policy ? viewOf(policy, now) : unreadableViewOf(unreadable);
