// Words of the advisor: goal → strategy → plan → move, and the reasons for and against.
import { z } from "zod";
import { mechanismEstimate } from "../migration/types.ts";
import { migrationLimits, migrationParameters } from "../wire/command.ts";
import { mechanism, operatorId, vmUuid } from "../wire/common.ts";
import { goal, planParameters } from "./parameters.ts";

export { goal, planParameters, type Goal, type PlanParameters, type StrategyName } from "./parameters.ts";

/** Why a host cannot take a VM, or a VM cannot move, with available against required. */
export const rejection = z
  .strictObject({
    hostId: operatorId.optional(),
    constraint: z.enum([
      "host-unknown",
      "host-stale",
      "host-being-evacuated",
      "host-maintenance",
      "host-failing",
      "host-degraded",
      "host-policy",
      "host-managed",
      "memory",
      "cpu",
      "cpu-unknown",
      "cpu-peak",
      "network-peak",
      "hypervisor",
      "cpu-features",
      "machine-type",
      "network",
      "storage",
      "hugepages",
      "numa",
      "affinity",
      "anti-affinity",
      "host-affinity",
      "blocker",
      "pinned",
      "frozen",
      "out-of-scope",
      "vm-state",
      "cooldown",
      "migrating",
      "survivability",
      "no-mechanism",
      "no-gain",
      "no-host",
      "moves-max",
      "not-schedulable",
    ]),
    detail: z.string(),
    required: z.number().optional(),
    available: z.number().optional(),
    unit: z.string().optional(),
  })
  .meta({ id: "Rejection" });
export type Rejection = z.infer<typeof rejection>;

/** What a move, or the moves that only pay together, bring and cost, in the currency of the prices. */
export const moveGain = z
  .strictObject({
    /** Moves that pay only together have the same number here, and the same figures. */
    bundle: z.int().min(1),
    /** What it saves, an hour and over the horizon. */
    perHour: z.number(),
    /** Share of what its hosts cost an hour now that it saves. */
    savedRatio: z.number(),
    overHorizon: z.number(),
    /** What the migration itself costs: downtime, degradation, bytes, energy, risk. */
    cost: z.number().min(0),
    net: z.number(),
    /** When the gain has paid the cost; null: never, the move is made because it must be. */
    paybackMs: z.number().nullable(),
    /** It is made whether it pays or not: its host is to be emptied, or a hard rule is broken. */
    mandatory: z.boolean(),
  })
  .meta({ id: "MoveGain" });
export type MoveGain = z.infer<typeof moveGain>;

export const move = z
  .strictObject({
    /** Its place in the order of the plan, from 1. */
    n: z.int().min(1),
    /** Moves of a wave may run beside each other; a wave begins when the one before has ended. */
    wave: z.int().min(1),
    vm: vmUuid,
    vmName: z.string(),
    fromHostId: operatorId,
    toHostId: operatorId,
    /** Room is made by leaving the VM here for a time; another move takes it on. */
    parking: z.boolean(),
    mechanism,
    parameters: migrationParameters,
    limits: migrationLimits,
    estimate: mechanismEstimate,
    gain: moveGain,
    /** Why this VM, why there, why now, why this mechanism. */
    reasons: z.array(z.string()).min(1),
    /** The other hosts and why each was not taken: the nearest in full, the rest counted. */
    notChosen: z.array(rejection),
  })
  .meta({ id: "Move" });
export type Move = z.infer<typeof move>;

/** Before and after, as the advisor judges a placement. */
export const efficacy = z
  .strictObject({
    /** Standard deviation of the hosts' CPU ratios. */
    cpuImbalance: z.number(),
    /** Standard deviation of the hosts' ratios over all resources, by their weights. */
    imbalance: z.number(),
    cpuRatioMax: z.number(),
    memoryRatioMax: z.number(),
    hotHosts: z.int(),
    emptyHosts: z.int(),
    /** VMs still on the hosts to be emptied. */
    toEvacuate: z.int(),
    /** Drawn by hosts whose power model is known; null: of none is. */
    watts: z.number().nullable(),
    /** Cores of demand above what hosts should carry, as expected from mean and p95. */
    overloadedCores: z.number(),
    /** Hard and soft rules that are broken. */
    brokenRules: z.int(),
    /** Traffic between VMs that crosses hosts. */
    crossBytesPerSecond: z.number(),
  })
  .meta({ id: "Efficacy" });
export type Efficacy = z.infer<typeof efficacy>;

/** What a state costs over the horizon, by what for. */
export const score = z
  .strictObject({
    total: z.number(),
    overload: z.number(),
    imbalance: z.number(),
    energy: z.number(),
    rules: z.number(),
    traffic: z.number(),
    migrations: z.number(),
  })
  .meta({ id: "Score" });
export type Score = z.infer<typeof score>;

const quantity = z.strictObject({ p10: z.number(), p50: z.number(), p90: z.number() });

/** The decision, without identity and time: same snapshot and parameters give the same bytes. */
export const planContent = z
  .strictObject({
    cluster: operatorId,
    goal,
    /** Strategies that made it, in the order of the goals. */
    strategy: z.string(),
    parameters: planParameters,
    /** What was seen: hosts that are hot, cold, failing, in maintenance, rules that are broken. */
    seen: z.array(z.string()),
    moves: z.array(move),
    /** VMs that the goal wanted to move and that stay, with what stands against it. */
    notMoved: z.array(
      z.strictObject({ vm: vmUuid, vmName: z.string(), hostId: operatorId, rejections: z.array(rejection) }),
    ),
    /** VMs of hosts that are dead: nothing is left to migrate; where each could be started again. */
    restarts: z.array(
      z.strictObject({
        vm: vmUuid,
        vmName: z.string(),
        fromHostId: operatorId,
        toHostId: operatorId.nullable(),
        why: z.string(),
      }),
    ),
    /** Hosts left out of every decision, and why. */
    unknownHosts: z.array(z.strictObject({ hostId: operatorId, why: z.string() })),
    before: efficacy,
    after: efficacy,
    /** Hosts that the plan empties, and those of them that may then be switched off. */
    freedHosts: z.array(operatorId),
    powerOff: z.array(operatorId),
    /** One sentence with numbers; for an empty plan, why nothing is to be done. */
    summary: z.string(),
    /** Always there: what happens if nothing is done, with its numbers. */
    doNothing: z.strictObject({ acceptable: z.boolean(), why: z.string(), efficacy, score }),
    /** What the state after the plan and the plan itself cost. */
    score,
    /** How far the plan is from what no plan can beat; null: no bound is known for this goal. */
    bound: z
      .strictObject({ metric: z.string(), value: z.number(), lowerBound: z.number(), gapRatio: z.number() })
      .nullable(),
    /** Waves one after the other, moves of a wave beside each other. */
    schedule: z.strictObject({ waves: z.int(), durationMs: quantity }),
    /** The search was ended by `evaluationsMax`: a better plan may exist. */
    cutShort: z.boolean(),
    totals: z.strictObject({
      moves: z.int(),
      bytesP50: z.number(),
      downtimeMsP90Max: z.number(),
      downtimeMsP50Sum: z.number(),
      totalMsP50: z.number(),
      energyJoulesP50: z.number(),
    }),
  })
  .meta({ id: "PlanContent" });
export type PlanContent = z.infer<typeof planContent>;

export const planState = z.enum([
  "proposed",
  "approved",
  "executing",
  "done",
  "failed",
  "cancelled",
  "rejected",
  "expired",
  "superseded",
]);
