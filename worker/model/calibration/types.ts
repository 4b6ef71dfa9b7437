// What past migrations say of the cost models: outcomes, and what is learned from them. Plain data, kept in the store as it is.
import { z } from "zod";
import { quantity } from "../migration/types.ts";
import type { MechanismEstimate } from "../migration/types.ts";
import { driverName, hypervisor, mechanism, operatorId } from "../wire/common.ts";

/** The quantities of an estimate that are corrected. */
export const CALIBRATED = ["totalMs", "downtimeMs", "transferredBytes", "lostVcpuSeconds"] as const;
export type Calibrated = (typeof CALIBRATED)[number];

export const predictedQuantities = z.strictObject({
  totalMs: quantity.nullable(),
  downtimeMs: quantity.nullable(),
  transferredBytes: quantity.nullable(),
  lostVcpuSeconds: quantity.nullable(),
});
export const measuredQuantities = z.strictObject({
  totalMs: z.number().min(0).nullable(),
  downtimeMs: z.number().min(0).nullable(),
  transferredBytes: z.number().min(0).nullable(),
  lostVcpuSeconds: z.number().min(0).nullable(),
});

/** By what the models said beforehand, since nothing else is known when an estimate is corrected. */
export const regime = z.enum(["convergent", "not-convergent"]);
export type Regime = z.infer<typeof regime>;

/** One migration that has ended: what was said of it beforehand, and what was measured. Null: not known. */
export const calibrationOutcome = z.strictObject({
  cluster: operatorId,
  hypervisor,
  driver: driverName,
  mechanism,
  regime,
  /** What was moved: outcomes of one VM say much the same. */
  subject: z.string(),
  /** When it ended; 0: nobody knows, and it counts as older than all others. */
  at: z.int().min(0),
  /** Not run by Drover: it was never answered, so that its error is no drift. */
  imported: z.boolean(),
  /** By the models alone: what a correction is learned from. */
  predicted: predictedQuantities,
  /** As answered, corrected by what was known then: what accuracy is judged by. */
  answered: predictedQuantities,
  /** What the first round was to send: what is beyond it was dirtied meanwhile. */
  firstRoundBytes: z.number().min(0).nullable(),
  /** The growth of dirtying that the models were told. */
  dirtyGrowthRatio: z.number().positive(),
  convergenceProbability: z.number().min(0).max(1),
  measured: measuredQuantities,
  /** It was not cancelled for want of convergence. */
  converged: z.boolean(),
});
export type CalibrationOutcome = z.infer<typeof calibrationOutcome>;

/** Correction of one quantity, on the natural logarithm. */
export const correction = z.strictObject({
  samples: z.int().min(0),
  /** Added to the logarithm of every quantile: e^biasLn is measured over predicted. */
  biasLn: z.number(),
  /** p10 and p90 lie that many half-widths of the model's own interval from the corrected median. */
  low: z.number(),
  high: z.number(),
});
export type Correction = z.infer<typeof correction>;

export const calibrationGroup = z.strictObject({
  group: z.string(),
  samples: z.int().min(0),
  corrections: z.record(z.enum(CALIBRATED), correction),
  /** Bytes dirtied under migration over those predicted; 1 until it is learned. */
  dirtyGrowthRatio: z.number().positive(),
  growthSamples: z.int().min(0),
});
export type CalibrationGroup = z.infer<typeof calibrationGroup>;

/** Everything learned, by group: see `groupOf`. */
export const calibration = z.strictObject({ groups: z.record(z.string(), calibrationGroup) });
export type Calibration = z.infer<typeof calibration>;

/** A past migration that this installation did not run, with the estimate that it would have had. */
export type ImportedOutcome = { id: string; lesson: CalibrationOutcome; predicted: MechanismEstimate };
