// Hosts whose tasks wait, or that swap, want more than they use: what they use says too little of how overloaded they are.
import type { SnapshotHost } from "../cluster.ts";
import { judge } from "../detection/judge.ts";
import { type Signal, signalsOf } from "../detection/signals.ts";
import type { DetectionParameters } from "../detection/types.ts";
import { memoryOverloadRatio } from "./thresholds.ts";
import type { PlanParameters } from "./types.ts";
import { CPU, MEMORY } from "./world.ts";

/** `ratio`: the share of a resource that a host counts as using at least. `value`: what was measured of it. */
export type Pressure = { resource: typeof CPU | typeof MEMORY; ratio: number; value: number };

/**
 * What a host that is hot by pressure or by swapping counts as using at least.
 * - Pressure p (PSI "some": the share of time in which some task waited): the share above which the resource is overloaded, and p
 *   of what is left of it. A host whose tasks wait half of the time is halfway from there to being full.
 * - Swapping in: all of its memory, and what it swaps in within a second: that is memory which was needed and not there.
 * Drover's own measure: PSI says how often tasks wait, not for how much.
 */
export function pressuresOf(
  host: SnapshotHost,
  at: number,
  parameters: PlanParameters,
  thresholds: DetectionParameters,
): Pressure[] {
  return signalsOf(host, at, thresholds).flatMap((signal): Pressure[] => {
    const measure = measureOf(signal, host, parameters);
    if (measure === null) return [];
    const { level, cause } = judge(signal, thresholds);
    return level === "hot" ? [{ ...measure(cause.value), value: cause.value }] : [];
  });
}

type Measured = (value: number) => Omit<Pressure, "value">;

function measureOf({ metric }: Signal, { memoryBytes }: SnapshotHost, parameters: PlanParameters): Measured | null {
  const towardsFull = (from: number, pressure: number): number => from + (1 - from) * Math.min(1, pressure);
  if (metric === "cpu_pressure_ratio")
    return (pressure) => ({ resource: CPU, ratio: towardsFull(parameters.hotRatio, pressure) });
  if (metric === "memory_pressure_ratio")
    return (pressure) => ({ resource: MEMORY, ratio: towardsFull(memoryOverloadRatio(parameters), pressure) });
  if (metric === "swap_in_bytes_per_second")
    return (rate) => ({ resource: MEMORY, ratio: 1 + rate / Math.max(1, memoryBytes) });
  return null;
}
