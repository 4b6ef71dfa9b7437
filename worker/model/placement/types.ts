// Words of the advisor: goal → strategy → plan → move, and the reasons for and against.
import { z } from "zod";
import { migrationLimits, migrationParameters } from "../wire/command.ts";
import { mechanism, operatorId, vmUuid } from "../wire/common.ts";
import { mechanismEstimate } from "../migration/types.ts";
import type { Snapshot } from "../cluster.ts";

export const goal = z.enum(["evacuate", "balance"]);
export type Goal = z.infer<typeof goal>;

/** Parameters every goal has. */
export const planParameters = z
  .strictObject({
    /** `evacuate`: the hosts to be emptied. */
    hostIds: z.array(operatorId).min(1).max(64).optional(),
    /** `balance`: a host is hot above this share of its cores. */
    hotRatio: z.number().gt(0).max(1).default(0.8),
    /** `balance`: no move that brings its two hosts' CPU ratios closer by less than this share of their distance. */
    gainRatioMin: z.number().min(0).max(1).default(0.1),
    /** No destination above this share of its cores after the move. */
    cpuRatioMax: z.number().gt(0).max(1).default(0.9),
    /** Share of a host's memory kept free of commitments. */
    memoryReserveRatio: z.number().min(0).lt(1).default(0.1),
    /** Blackout at p90 that no move may exceed. */
    downtimeSloMs: z.number().positive().max(86_400_000).default(1000),
    bandwidthBytesPerSecondMax: z.number().positive().max(1e14).optional(),
    /** Post-copy and hybrid may be chosen. */
    postCopyPermitted: z.boolean().default(true),
    mechanisms: z.array(mechanism).min(1).max(4).optional(),
    movesMax: z.int().min(1).max(1000).default(200),
    /** A VM that was moved less than this ago stays. */
    cooldownMs: z.int().min(0).max(86_400_000).default(1_800_000),
    concurrencyPerHost: z.int().min(1).max(16).default(2),
    concurrencyPerCluster: z.int().min(1).max(64).default(5),
    downtimeLimitMs: z.int().min(1).max(60_000).default(300),
    deadlineMs: z.int().min(1000).max(86_400_000).optional(),
  })
  .meta({ id: "PlanParameters" });
export type PlanParameters = z.output<typeof planParameters>;

/** Why a host cannot take a VM, or a VM cannot move, with available against required. */
export const rejection = z
  .strictObject({
    hostId: operatorId.optional(),
    constraint: z.enum([
      "host-unknown",
      "host-stale",
      "host-being-evacuated",
      "host-maintenance",
      "host-policy",
      "host-managed",
      "memory",
      "cpu",
      "cpu-unknown",
      "hypervisor",
      "cpu-features",
      "machine-type",
      "network",
      "storage",
      "hugepages",
      "anti-affinity",
      "affinity",
      "host-affinity",
      "blocker",
      "pinned",
      "vm-state",
      "cooldown",
      "migrating",
      "no-mechanism",
      "no-gain",
      "no-host",
      "moves-max",
    ]),
    detail: z.string(),
    required: z.number().optional(),
    available: z.number().optional(),
    unit: z.string().optional(),
  })
  .meta({ id: "Rejection" });
export type Rejection = z.infer<typeof rejection>;

export const move = z
  .strictObject({
    /** Its place in the order of the plan, from 1. */
    n: z.int().min(1),
    vm: vmUuid,
    vmName: z.string(),
    fromHostId: operatorId,
    toHostId: operatorId,
    mechanism,
    parameters: migrationParameters,
    limits: migrationLimits,
    estimate: mechanismEstimate,
    /** Why this VM, why there, why this mechanism. */
    reasons: z.array(z.string()).min(1),
    /** The other hosts and why each was not taken. */
    notChosen: z.array(rejection),
  })
  .meta({ id: "Move" });
export type Move = z.infer<typeof move>;

/** Before and after, as the advisor judges a placement. */
export const efficacy = z
  .strictObject({
    /** Standard deviation of the hosts' CPU ratios. */
    cpuImbalance: z.number(),
    cpuRatioMax: z.number(),
    hotHosts: z.int(),
    emptyHosts: z.int(),
    /** VMs still on the hosts to be evacuated. */
    toEvacuate: z.int(),
  })
  .meta({ id: "Efficacy" });
export type Efficacy = z.infer<typeof efficacy>;

/** The decision, without identity and time: same snapshot and parameters give the same bytes. */
export const planContent = z
  .strictObject({
    cluster: operatorId,
    goal,
    strategy: z.string(),
    parameters: planParameters,
    moves: z.array(move),
    /** VMs that the goal wanted to move and that stay, with what stands against it. */
    notMoved: z.array(
      z.strictObject({ vm: vmUuid, vmName: z.string(), hostId: operatorId, rejections: z.array(rejection) }),
    ),
    /** Hosts left out of every decision, and why. */
    unknownHosts: z.array(z.strictObject({ hostId: operatorId, why: z.string() })),
    before: efficacy,
    after: efficacy,
    /** One sentence with numbers; for an empty plan, why nothing is to be done. */
    summary: z.string(),
    /** Always there: what happens if nothing is done, with its numbers. */
    doNothing: z.strictObject({ acceptable: z.boolean(), why: z.string(), efficacy }),
    totals: z.strictObject({
      moves: z.int(),
      bytesP50: z.number(),
      downtimeMsP90Max: z.number(),
      totalMsP50: z.number(),
    }),
  })
  .meta({ id: "PlanContent" });
export type PlanContent = z.infer<typeof planContent>;

/** One way to reach a goal. Pure and deterministic. */
export type Strategy = {
  name: string;
  goal: Goal;
  summary: string;
  propose: (snapshot: Snapshot, parameters: PlanParameters) => PlanContent;
};

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
export type PlanState = z.infer<typeof planState>;
