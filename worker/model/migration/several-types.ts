// The contract of `POST /v1/estimates/several`: migrations that share one link.
import { z } from "zod";
import { bytesPerSecond, mechanism } from "../wire/common.ts";
import { assumption, estimateBody } from "./types.ts";

export const severalBody = z
  .strictObject({
    /** Each as for `POST /v1/estimates`; `forecast`, `compare` and `mechanisms` have no effect. */
    migrations: z.array(estimateBody).min(2).max(64),
    /** Payload rate that all of them share; absent: the slowest link among them. */
    linkBytesPerSecond: bytesPerSecond.optional(),
    mechanism: mechanism.default("pre-copy"),
  })
  .meta({ id: "SeveralRequest" });

/** Migrations by their place in the request, from 0. */
const place = z.int().min(0);

export const severalPlan = z
  .strictObject({
    /** So many at once: whenever one ends, the next begins. */
    atATime: z.int().positive(),
    order: z.array(place),
    /** When the last one has ended, and how long one has ended after on average. */
    finishMs: z.number(),
    meanFinishMs: z.number(),
    /** Memory and disks, of all. */
    transferredBytes: z.number(),
    /** Those that do not converge in this plan. */
    notConverging: z.array(place),
    migrations: z.array(
      z.strictObject({
        index: place,
        startMs: z.number(),
        finishMs: z.number(),
        transferredBytes: z.number(),
        /** Null: cancelled, the VM never stops. */
        downtimeMs: z.number().nullable(),
        converges: z.boolean(),
      }),
    ),
  })
  .meta({ id: "SeveralPlan" });
export type SeveralPlan = z.infer<typeof severalPlan>;

export const severalAnswer = z
  .strictObject({
    mechanism,
    linkBytesPerSecond: z.number(),
    /** One after the other as given. */
    given: severalPlan,
    /** For every number at a time that was tried, from 1, the best order found. */
    plans: z.array(severalPlan),
    /** The largest number at a time at which all of them still converge; 0: not even each alone. */
    convergesUpTo: z.int().min(0),
    recommended: z.strictObject({
      atATime: z.int().positive(),
      order: z.array(place),
      reasons: z.array(z.string()),
    }),
    assumptions: z.array(assumption),
    modelVersion: z.string(),
  })
  .meta({ id: "SeveralAnswer" });
export type SeveralAnswer = z.infer<typeof severalAnswer>;
