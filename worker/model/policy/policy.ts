// A policy: goals that run by themselves, and how far they may go without a person.
import { z } from "zod";
import { planApprovals } from "../approval-rule.ts";
import { type PlanParameters, goal, planParameters } from "../placement/types.ts";
import { EWMA_HALF_LIFE_MS } from "../telemetry/known.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../units.ts";
import { operatorId, timestampMs } from "../wire/common.ts";
import { budgets } from "./budget.ts";
import { policyScope } from "./scope.ts";
import { trigger } from "./trigger.ts";
import { weeklyWindows } from "./windows.ts";

/**
 * `shadow`: plans are kept and cannot be approved; `advise`: proposed to people; `approve-by-timeout`: approved where nobody
 * decides within `approveAfterMs`; `auto`: approved at once.
 */
export const policyMode = z.enum(["shadow", "advise", "approve-by-timeout", "auto"]);
export type PolicyMode = z.infer<typeof policyMode>;

/** Modes in which plans are approved without a person: these never permit post-copy. */
export const isAutomatic = (mode: PolicyMode): boolean => mode === "approve-by-timeout" || mode === "auto";

export const goalStep = z
  .strictObject({
    goal,
    /** Of the advisor; `scope` stands in the policy instead. */
    parameters: planParameters.default(() => planParameters.parse({})),
  })
  .meta({ id: "PolicyGoal" });
export type GoalStep = z.output<typeof goalStep>;

/** When moves count as no help: see `stoppedHelping`. */
export const helpAlarm = z
  .strictObject({
    /** That many executed plans in a row. */
    plans: z.int().min(1).max(20).default(3),
    /** They reached less than this share of what they promised. */
    gainRatioMin: z.number().min(0).max(1).default(0.5),
    /** The efficacy indicator that is looked at; absent: what the plan's goals want. */
    indicator: z.string().min(1).max(64).optional(),
  })
  .meta({ id: "HelpAlarm" });
export type HelpAlarm = z.output<typeof helpAlarm>;

/** A plan that nobody decided is void after a day; silence must speak before. */
const APPROVE_AFTER_MS_MAX = DAY_MS - HOUR_MS;

/** Averages of loads are within an eighth of a change by then. */
const COOLDOWN_MS = 3 * EWMA_HALF_LIFE_MS;

/** Without defaults, so that a change names exactly what it changes. */
const fields = {
  name: z.string().min(1).max(100),
  scope: policyScope,
  goals: z.array(goalStep).min(1).max(5),
  mode: policyMode,
  trigger,
  /** Times in which its plans may be made, approved and begun. Empty: always. */
  windows: weeklyWindows,
  budgets,
  approveAfterMs: z.int().min(MINUTE_MS).max(APPROVE_AFTER_MS_MAX),
  /** No two runs by themselves closer than this. */
  minIntervalMs: z.int().min(0).max(DAY_MS),
  /** After a plan of its own has ended, no other for this long: loads are averages that follow late. See `restMs`. */
  cooldownMs: z.int().min(0).max(DAY_MS),
  enabled: z.boolean(),
  /** Whatever its mode, in shadow before this time; null: not. */
  shadowUntil: timestampMs.nullable(),
  alarm: helpAlarm,
  /** Whose approval its plans need, where people approve them; absent: as the cluster's rule says. */
  approvals: planApprovals,
};

type Checked = {
  mode: PolicyMode;
  approveAfterMs?: number | null | undefined;
  goals: readonly GoalStep[];
};

const consistent = (policy: Checked, context: z.RefinementCtx): void => {
  policy.goals.forEach(({ parameters }, index) => {
    if (parameters.scope !== undefined)
      context.addIssue({
        code: "custom",
        path: ["goals", index, "parameters", "scope"],
        message: "a policy has one scope for all of its goals: give it in `scope`",
      });
  });
  if (policy.mode === "approve-by-timeout" && (policy.approveAfterMs ?? null) === null)
    context.addIssue({
      code: "custom",
      path: ["approveAfterMs"],
      message: "approve-by-timeout needs the time after which silence approves",
    });
};

/** What an operator says of a policy, complete. */
export const policyDefinition = z
  .strictObject({
    ...fields,
    cluster: operatorId,
    scope: fields.scope.optional(),
    approveAfterMs: fields.approveAfterMs.optional(),
    approvals: fields.approvals.optional(),
  })
  .superRefine(consistent);
export type PolicyDefinition = z.output<typeof policyDefinition>;

/** Those entries that are fields of a definition. */
function definitionFields(given: object): Record<string, unknown> {
  const known = new Set(Object.keys(policyDefinition.shape));
  return Object.fromEntries(Object.entries(given).filter(([key]) => known.has(key)));
}

/** What an operator said of it, without identity and times. */
export const definitionOf = (policy: Policy): PolicyDefinition => definitionFields(policy) as PolicyDefinition;

/** Reads a stored definition. `record` has what is kept beside it, and wins. */
export function readStored(
  record: PolicyRecord & Pick<PolicyDefinition, "cluster" | "name" | "enabled">,
  definition: string,
): StoredPolicy {
  const stored = parsedJson(definition);
  const read = policyDefinition.safeParse(stored);
  if (read.success) return { policy: { ...read.data, ...record }, unreadable: null };
  const given = typeof stored === "object" && stored !== null ? definitionFields(stored) : {};
  const issues = read.error.issues.map(({ path, message }) => `${path.join(".") || "definition"}: ${message}`);
  return { policy: null, unreadable: { ...record, given, why: issues.slice(0, 5).join("; ").slice(0, 1000) } };
}

function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** A new one: what is left out gets its default. `shadowUntil` left out: seven days from now. */
export const newPolicy = z
  .strictObject({
    ...fields,
    cluster: operatorId,
    scope: fields.scope.optional(),
    mode: fields.mode.default("advise"),
    windows: fields.windows.default([]),
    budgets: fields.budgets.default({}),
    approveAfterMs: fields.approveAfterMs.optional(),
    minIntervalMs: fields.minIntervalMs.default(MINUTE_MS),
    cooldownMs: fields.cooldownMs.default(COOLDOWN_MS),
    enabled: fields.enabled.default(true),
    shadowUntil: fields.shadowUntil.optional(),
    alarm: fields.alarm.default(() => helpAlarm.parse({})),
    approvals: fields.approvals.optional(),
    reason: z.string().min(1).max(500).optional(),
  })
  .superRefine(consistent)
  .meta({ id: "NewPolicy" });
export type NewPolicy = z.output<typeof newPolicy>;

/** A change: fields that are given replace those there are; null takes an optional one away. */
export const policyChange = z
  .strictObject({
    ...fields,
    scope: fields.scope.nullable(),
    approveAfterMs: fields.approveAfterMs.nullable(),
    approvals: fields.approvals.nullable(),
  })
  .partial()
  .extend({ reason: z.string().min(1).max(500).optional() })
  .meta({ id: "PolicyChange" });
export type PolicyChange = z.output<typeof policyChange>;

type PolicyRecord = {
  policyId: string;
  version: number;
  createdBy: string;
  createdAt: number;
  updatedAt: number;
  /** When its trigger was set or it was resumed last. */
  activatedAt: number;
  /** When its mode was set last; what was executed before does not count against it. */
  modeSince: number;
  /** The last time for which a run was due. */
  lastDueAt: number | null;
  lastStartedAt: number | null;
};

export type Policy = PolicyDefinition & PolicyRecord;

/** A policy as it is kept: what was written may be no policy to this version, and is to be replaced or deleted then. */
export type StoredPolicy = { policy: Policy; unreadable: null } | { policy: null; unreadable: UnreadablePolicy };

/** `why`: which fields do not fit. `given`: what is stored, as far as it is fields of a policy. */
export type UnreadablePolicy = PolicyRecord &
  Pick<PolicyDefinition, "cluster" | "name" | "enabled"> & { why: string; given: Record<string, unknown> };

export const recordOf = (stored: StoredPolicy): Policy | UnreadablePolicy => stored.policy ?? stored.unreadable;

/** New policies show for this long what they would do before they do it, ms. */
export const SHADOW_FIRST_MS = 7 * DAY_MS;

/** The mode that holds at `now`. */
export function modeAt({ mode, shadowUntil }: Pick<Policy, "mode" | "shadowUntil">, now: number): PolicyMode {
  return shadowUntil !== null && now < shadowUntil ? "shadow" : mode;
}

/** The fields of `definition` with those of `change` in their place. */
export function changed(definition: Record<string, unknown>, { reason: _, ...change }: PolicyChange): unknown {
  const merged = Object.entries({ ...definition, ...change }).filter(
    ([key, value]) => value !== undefined && (value !== null || key === "shadowUntil"),
  );
  return Object.fromEntries(merged);
}

/** The steps as the advisor gets them: no post-copy where nobody looks, no more moves than the budget, the event's host. */
export function stepsFor(
  { goals, mode }: Pick<Policy, "goals" | "mode">,
  hostId: string | null,
  movesLeft: number,
): GoalStep[] {
  return goals.map((step) => {
    const { parameters } = step;
    const fits: PlanParameters = {
      ...parameters,
      ...(isAutomatic(mode) ? { postCopyPermitted: false } : {}),
      ...(step.goal === "evacuate" && hostId !== null && parameters.hostIds === undefined ? { hostIds: [hostId] } : {}),
      ...(movesLeft < parameters.movesMax ? { movesMax: Math.max(1, movesLeft) } : {}),
    };
    return { ...step, parameters: fits };
  });
}

const iso = (at: number): string => new Date(at).toISOString();

/** What an operator should know of a policy beyond its fields. */
export function notesOn(policy: Policy, now: number): string[] {
  const { mode, shadowUntil, goals } = policy;
  const notes: string[] = [];
  if (!policy.enabled) notes.push("Paused: it does not run until it is resumed.");
  if (mode !== "shadow" && shadowUntil !== null && now < shadowUntil)
    notes.push(
      `In shadow until ${iso(shadowUntil)}: its plans are kept and cannot be approved; see its scoreboard. Then its mode is ${mode}. Change \`shadowUntil\` to null to begin now.`,
    );
  if (isAutomatic(mode) && goals.some(({ parameters }) => parameters.postCopyPermitted))
    notes.push(`Mode ${mode} never permits post-copy or hybrid: its plans are made without them.`);
  if (isAutomatic(mode) && Object.keys(policy.budgets).length === 0)
    notes.push("No budget: `budgets` limits how much it may move in an hour and a day.");
  return notes;
}
