// What a VM would need, where what it uses says too little: it cannot use more than it has (Sandpiper, Wood et al. 2007,
// section 5: gray-box and black-box estimates of peak needs).
import { quantile } from "../quantile.ts";
import { MIB } from "../units.ts";

/** From this share of what it has, use no longer says what is wanted. */
const SATURATED_RATIO = 0.95;
/** Of the newest samples. */
const TAIL_QUANTILE = 0.95;
/** Memory is added in such steps, and looked at again (Sandpiper). */
export const MEMORY_STEP_BYTES = 32 * MIB;
/** No estimate is over so many times what the VM has. */
const GROWTH_MAX = 4;

export type CpuNeed = {
  /** Newest cores used; gaps left out. Not empty. */
  usedCores: readonly number[];
  vcpus: number;
  latencySeconds: number;
  sloSeconds: number;
};

/**
 * Cores with which a service would keep its SLO. Its latency under processor sharing is S/(1 − ρ), S its time alone and ρ its
 * share of the cores: with c cores of which d are used, it is L; then c′ = d + (c − d)·L/SLO makes it SLO. d is the 95th percentile
 * of the tail. A VM that uses all it has is taken to have a twentieth left, so that what it is short of shows in its latency alone.
 */
export function neededCores({ usedCores, vcpus, latencySeconds, sloSeconds }: CpuNeed): number {
  const used = Math.min(vcpus, quantile(usedCores, TAIL_QUANTILE));
  const left = Math.max(vcpus - used, (1 - SATURATED_RATIO) * vcpus);
  return Math.min(GROWTH_MAX * vcpus, used + (left * latencySeconds) / sloSeconds);
}

/**
 * Memory, in bytes, that a VM should be given which swaps in faster than a threshold: black-box, its need cannot be seen, so that
 * it gets steps of 32 MiB, as many as hold what it swaps in within a second, at least one. As it is where it does not swap; null: not known.
 */
export function neededMemoryBytes(
  memoryBytes: number,
  swapInBytesPerSecond: number | undefined,
  thresholdBytesPerSecond: number,
): number | null {
  if (swapInBytesPerSecond === undefined) return null;
  if (swapInBytesPerSecond <= thresholdBytesPerSecond) return memoryBytes;
  const steps = Math.max(1, Math.ceil(swapInBytesPerSecond / MEMORY_STEP_BYTES));
  return Math.min(GROWTH_MAX * memoryBytes, memoryBytes + steps * MEMORY_STEP_BYTES);
}
