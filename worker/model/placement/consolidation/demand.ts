// What a VM will want: a slow mean, and how far it strays.
import type { ConsolidationParameters, ConsolidationVm } from "./types.ts";

/** Cores, and cores squared. */
export type Demand = { mean: number; variance: number };

/**
 * Exponentially weighted mean and variance of the samples. With few of them the prior deviation stands in, so that a host is not
 * filled on the word of one sample.
 */
export function demandOf(vm: ConsolidationVm, parameters: ConsolidationParameters): Demand {
  const { newestWeight, priorSamples, priorDeviationRatio } = parameters;
  const { recentCores, coresMax } = vm;
  let weight = 1;
  let weights = 0;
  let sum = 0;
  let squares = 0;
  for (let at = recentCores.length - 1; at >= 0; at--) {
    const value = recentCores[at] ?? 0;
    weights += weight;
    sum += weight * value;
    squares += weight * value * value;
    weight *= 1 - newestWeight;
  }
  const mean = weights === 0 ? 0 : sum / weights;
  const seen = weights === 0 ? 0 : Math.max(0, squares / weights - mean * mean);
  const prior = (priorDeviationRatio * coresMax) ** 2;
  return { mean, variance: (weights * seen + priorSamples * prior) / (weights + priorSamples) };
}
