// What past migrations say of the cost models: outcomes, and what is learned from them. Plain data, kept in the store as it is.
import { z } from "zod";
import { quantity } from "../migration/types.ts";
import { driverName, hypervisor, mechanism, operatorId, timestampMs } from "../wire/common.ts";

/** The quantities of an estimate that are corrected. */
export const CALIBRATED = ["totalMs", "downtimeMs", "transferredBytes", "lostVcpuSeconds"] as const;
export type Calibrated = (typeof CALIBRATED)[number];

const predictedQuantities = z.strictObject({
  totalMs: quantity.nullable(),
  downtimeMs: quantity.nullable(),
  transferredBytes: quantity.nullable(),
  lostVcpuSeconds: quantity.nullable(),
});
const measuredQuantities = z.strictObject({
  totalMs: z.number().min(0).nullable(),
  downtimeMs: z.number().min(0).nullable(),
  transferredBytes: z.number().min(0).nullable(),
  lostVcpuSeconds: z.number().min(0).nullable(),
});

/** By what the models said beforehand, since nothing else is known when an estimate is corrected. */
export const regime = z.enum(["convergent", "not-convergent"]);
export type Regime = z.infer<typeof regime>;

/** One migration that has ended: what the models alone had said of it, uncorrected, and what was measured. Null: not known. */
export const calibrationOutcome = z.strictObject({
  cluster: operatorId,
  hypervisor,
  driver: driverName,
  mechanism,
  regime,
  /** When it ended. */
  at: timestampMs,
  predicted: predictedQuantities,
  /** What the first round was to send: what is beyond it was dirtied meanwhile. */
  firstRoundBytes: z.number().min(0).nullable(),
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

/** Everything learned, by group: see `groupsOf`. */
export const calibration = z.strictObject({ groups: z.record(z.string(), calibrationGroup) });
export type Calibration = z.infer<typeof calibration>;
