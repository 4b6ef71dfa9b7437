// What a plan may be told. Everything has a default.
import { z } from "zod";
import { onDeadline } from "../wire/command.ts";
import { mechanism, operatorId } from "../wire/common.ts";
import { hostSelector, vmSelector } from "./rules.ts";

export const goal = z.enum(["balance", "consolidate", "save-energy", "evacuate", "fault-tolerance", "locality"]);
export type Goal = z.infer<typeof goal>;

export const strategyName = z.enum([
  "sandpiper",
  "vectordot",
  "local-search",
  "workload-prediction",
  "mbfd",
  "firefly",
  "evacuate",
  "spread",
  "locality",
]);
export type StrategyName = z.infer<typeof strategyName>;

const price = z.number().min(0).max(1e6);

/**
 * What things cost, in any one currency: gain and cost of a move are compared in it. The defaults are euros of the order
 * that a European data centre pays in 2026; only their relations matter to a plan.
 */
export const prices = z
  .strictObject({
    energyPerKwh: price.default(0.25),
    /** A second in which a VM stands still. */
    downtimePerSecond: price.default(0.01),
    /** A second of one vCPU that a guest loses to its migration. */
    lostVcpuSecond: price.default(0.0001),
    transferPerGib: price.default(0.0005),
    /** An hour in which a core's worth of demand is above what a host should carry (`hotRatio`). */
    overloadPerCoreHour: price.default(1),
    /** `balance`: an hour of one core, times the squared distance of its host's ratios from the mean. */
    imbalancePerCoreHour: price.default(0.2),
    /** Traffic between VMs that crosses hosts of one rack; between racks it counts twice, between zones four times. */
    crossTrafficPerGib: price.default(0.0002),
    /** What a migration may go wrong with, times its probability. */
    lostVm: price.default(50),
  })
  .meta({ id: "Prices" });
export type Prices = z.output<typeof prices>;

const weight = z.number().min(0).max(100);

/** How much the evenness of each resource counts. */
export const weights = z.strictObject({
  cpu: weight.default(1),
  memory: weight.default(1),
  network: weight.default(0.5),
  disk: weight.default(0.5),
});

/** Parameters every goal has. */
export const planParameters = z
  .strictObject({
    /** How the goal is to be reached; absent: the goal's own default. */
    strategy: strategyName.optional(),
    /** Further goals, each from the state that the ones before have made. */
    next: z
      .array(z.strictObject({ goal, strategy: strategyName.optional() }))
      .max(4)
      .default([]),
    /** `evacuate`: the hosts to be emptied; absent: those in maintenance or failing. */
    hostIds: z.array(operatorId).min(1).max(64).optional(),
    /** Only these VMs may move, and only these hosts take part. */
    scope: z.strictObject({ vms: vmSelector.optional(), hosts: hostSelector.optional() }).optional(),
    /** A host is hot above this share of a resource. */
    hotRatio: z.number().gt(0).max(1).default(0.8),
    /** A host is cold, and worth emptying, below this share of its cores. */
    coldRatio: z.number().min(0).lt(1).default(0.35),
    /** Hot: at least `hotSamples` of the last `hotWindow` samples are above `hotRatio`, and so is the forecast. */
    hotSamples: z.int().min(1).max(30).default(3),
    hotWindow: z.int().min(1).max(30).default(5),
    /** `balance` acts where the imbalance (standard deviation of the hosts' weighted ratios) is above this, or a host is hot. */
    imbalanceMax: z.number().min(0).max(1).default(0.2),
    weights: weights.default(() => weights.parse({})),
    prices: prices.default(() => prices.parse({})),
    /** Over which the gain of a move is counted, ms. */
    horizonMs: z
      .int()
      .min(60_000)
      .max(30 * 86_400_000)
      .default(4 * 3_600_000),
    /** No move whose gain over the horizon less its cost is below this. */
    netGainMin: price.default(0.001),
    /** No move that saves less than this share of what its hosts cost now. */
    gainRatioMin: z.number().min(0).max(1).default(0.001),
    /** No destination above this share of its cores after the move. */
    cpuRatioMax: z.number().gt(0).max(1).default(0.9),
    /** Nor above this at p95, of cores and of network. */
    peakRatioMax: z.number().gt(0).max(2).default(1),
    /** Share of a host's memory kept free of commitments. */
    memoryReserveRatio: z.number().min(0).lt(1).default(0.1),
    /** So many hosts may fail at once, in every state that a plan passes, and their VMs still find room. */
    hostFailuresTolerated: z.int().min(0).max(8).default(0),
    /** So many hosts stay on, however little there is to do. */
    hostsOnMin: z.int().min(0).max(1000).default(1),
    /** Hosts that were emptied may be switched off: what they draw counts as saved. */
    powerOffPermitted: z.boolean().default(false),
    standbyWatts: z.number().min(0).max(10_000).default(10),
    bootMs: z.int().min(0).max(3_600_000).default(180_000),
    /** Blackout at p90 that no move may exceed. */
    downtimeSloMs: z.number().positive().max(86_400_000).default(1000),
    bandwidthBytesPerSecondMax: z.number().positive().max(1e14).optional(),
    /** Post-copy and hybrid may be chosen. */
    postCopyPermitted: z.boolean().default(true),
    mechanisms: z.array(mechanism).min(1).max(4).optional(),
    movesMax: z.int().min(1).max(1000).default(200),
    /** So many bytes are sent by all moves together at most: of each VM the memory that is not zero, once. */
    movedBytesMax: z.number().positive().max(1e18).optional(),
    /** A VM that was moved less than this ago stays; twice as long for each further move within a day, 8 h at most. */
    cooldownMs: z.int().min(0).max(86_400_000).default(1_800_000),
    /** Migrations at once: out of a host, into a host, on a link of two hosts, in the cluster. */
    concurrencyPerHost: z.int().min(1).max(16).default(2),
    concurrencyIntoHost: z.int().min(1).max(16).default(2),
    concurrencyPerLink: z.int().min(1).max(16).default(1),
    concurrencyPerCluster: z.int().min(1).max(64).default(5),
    downtimeLimitMs: z.int().min(1).max(60_000).default(300),
    deadlineMs: z.int().min(1000).max(86_400_000).optional(),
    /** What becomes of a pre-copy that is not through at its deadline; absent: it is cancelled. */
    onDeadline: onDeadline.optional(),
    /** Of strategies that search by chance: the same seed gives the same plan. */
    seed: z.int().min(0).max(0xffffffff).default(1),
    /** So many candidate moves are weighed at most; then the best plan so far is given, and says that it was cut short. */
    evaluationsMax: z.int().min(1000).max(100_000_000).default(4_000_000),
    /** Gray-box: a VM with this label is to answer within so many seconds. */
    latencySloSeconds: z.number().positive().max(3600).optional(),
  })
  .meta({ id: "PlanParameters" });
export type PlanParameters = z.output<typeof planParameters>;
