// Intervals on the logarithm, where errors of durations and bytes are multiplicative.
import type { Quantity } from "../migration/types.ts";
import type { Calibrated } from "./types.ts";

/** Added before the logarithm is taken: below it a difference is noise, and a factor of two means nothing. */
const FLOOR: Record<Calibrated, number> = {
  totalMs: 10,
  downtimeMs: 2,
  transferredBytes: 65_536,
  lostVcpuSeconds: 0.01,
};
/** Half-widths are no less: the run-to-run noise of identical migrations. */
const HALF_WIDTH_MIN = 0.02;

export function logarithm(of: Calibrated, value: number): number {
  return Math.log(Math.max(0, value) + FLOOR[of]);
}

export function exponential(of: Calibrated, value: number): number {
  return Math.max(0, Math.exp(value) - FLOOR[of]);
}

/** From the median to p10 and to p90. */
export function halfWidths(of: Calibrated, { p10, p50, p90 }: Quantity): { below: number; above: number } {
  const middle = logarithm(of, p50);
  return {
    below: Math.max(HALF_WIDTH_MIN, middle - logarithm(of, p10)),
    above: Math.max(HALF_WIDTH_MIN, logarithm(of, p90) - middle),
  };
}

/** How many half-widths a residual is. */
export function scoreOf(residual: number, { below, above }: { below: number; above: number }): number {
  return residual < 0 ? residual / below : residual / above;
}

/** Linear between order statistics; `values` rising and not empty. */
export function sampleQuantile(values: readonly number[], probability: number): number {
  return at(values, probability * (values.length - 1));
}

/**
 * The quantile that a next value exceeds with the wanted probability, whatever the distribution: order statistic
 * (n + 1) × probability (Vovk, Gammerman and Shafer 2005), the outermost one where there is none so far out.
 */
export function conformalQuantile(values: readonly number[], probability: number): number {
  return at(values, probability * (values.length + 1) - 1);
}

function at(values: readonly number[], position: number): number {
  const index = Math.min(values.length - 1, Math.max(0, position));
  const below = values[Math.floor(index)] ?? 0;
  const above = values[Math.ceil(index)] ?? below;
  return below + (above - below) * (index % 1);
}
