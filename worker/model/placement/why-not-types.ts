// The answer to "why not this VM on that host", as the API gives it.
import { z } from "zod";
import { mechanismEstimate } from "../migration/types.ts";
import { operatorId, vmUuid } from "../wire/common.ts";
import { moveGain, rejection } from "./types.ts";

const about = { constraint: rejection.shape.constraint, change: z.string() };

/** A change after which one constraint no longer stands against the move: in words, and as data. */
export const unblock = z
  .discriminatedUnion("kind", [
    z.strictObject({
      kind: z.literal("parameters"),
      ...about,
      /** Parameters of the plan, to be given with the next one. */
      set: z
        .strictObject({
          memoryReserveRatio: z.number(),
          cpuRatioMax: z.number(),
          peakRatioMax: z.number(),
          movesMax: z.int(),
          movedBytesMax: z.number(),
          netGainMin: z.number(),
          gainRatioMin: z.number(),
          horizonMs: z.int(),
        })
        .partial(),
    }),
    z.strictObject({
      kind: z.literal("move-away"),
      ...about,
      vm: vmUuid,
      vmName: z.string(),
      fromHostId: operatorId,
      toHostId: operatorId,
    }),
    z.strictObject({
      kind: z.literal("add"),
      ...about,
      hostId: operatorId,
      resource: z.enum(["memory", "cores", "hugepages"]),
      /** Bytes, or cores. */
      amount: z.number(),
    }),
    z.strictObject({ kind: z.literal("wait"), ...about, ms: z.number() }),
    z.strictObject({ kind: z.literal("end-maintenance"), ...about, hostId: operatorId }),
    z.strictObject({
      kind: z.literal("attach-networks"),
      ...about,
      hostId: operatorId,
      networks: z.array(z.string()),
    }),
    z.strictObject({ kind: z.literal("drop-rule"), ...about, rule: z.string() }),
    z.strictObject({ kind: z.literal("unpin"), ...about, vm: vmUuid }),
    z.strictObject({ kind: z.literal("detach-blockers"), ...about, vm: vmUuid, blockers: z.array(z.string()) }),
    z.strictObject({ kind: z.literal("permit"), ...about, hostId: operatorId, direction: z.enum(["in", "out"]) }),
    z.strictObject({ kind: z.literal("other"), ...about }),
  ])
  .meta({ id: "Unblock" });

export const whyNotAnswer = z
  .strictObject({
    vm: vmUuid,
    vmName: z.string(),
    hostId: operatorId,
    /** One sentence, with numbers. */
    answer: z.string(),
    /** Hard constraints against the move as things were when the plan was made. */
    now: z.array(rejection),
    /** Those that are left once all else of the plan is done. */
    afterPlan: z.array(rejection),
    /** By the mechanism that suits it best; null: none can make it. */
    estimate: mechanismEstimate.nullable(),
    /** What it would bring by the plan's goal, all else of the plan done; null: no mechanism can make it. */
    gain: moveGain.nullable(),
    /** All that has to go for the plan to make the move. */
    blocking: z.array(rejection),
    /** For each of these the smallest change that is known to take it away. */
    unblock: z.array(unblock),
  })
  .meta({ id: "WhyNot" });
