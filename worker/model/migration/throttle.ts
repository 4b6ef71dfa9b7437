// `auto-converge`: QEMU slows the vCPUs step by step while the guest dirties more than half of what is sent.
import type { Scenario } from "./scenario.ts";

const THROTTLE = { first: 0.2, step: 0.1, max: 0.99, dirtyRatio: 0.5, periodMs: 1000 };

/** `auto-converge`: the share of time taken from the vCPUs, and what its next step waits for. */
export type Throttle = { taken: number; highs: number; periodMs: number; dirtiedBytes: number; sentBytes: number };

/** Share of its speed that the guest keeps: one that is idle half of the time loses nothing until half is taken. */
export function speed(scenario: Scenario, throttle: Throttle): number {
  return Math.min(1, ((1 - throttle.taken) * scenario.vcpus) / Math.max(0.01, scenario.cpuUsedCores));
}

/** Cores of work lost to throttling and to dirty logging. */
export function lostCores(scenario: Scenario, throttle: Throttle): number {
  return scenario.cpuUsedCores * Math.min(1, 1 - speed(scenario, throttle) + scenario.brownoutRatio);
}

export function mayRise(scenario: Scenario, throttle: Throttle): boolean {
  return scenario.parameters.autoConverge && throttle.taken < THROTTLE.max;
}

/**
 * At the end of a round. Every second time that more than half of what a period sent was dirtied in it, a period being over
 * a second: 20 % first, then 10 % more each.
 */
export function steer(
  scenario: Scenario,
  throttle: Throttle,
  dirtiedBytes: number,
  pass: { wireBytes: number; durationMs: number },
): void {
  throttle.periodMs += pass.durationMs;
  throttle.dirtiedBytes += dirtiedBytes;
  throttle.sentBytes += pass.wireBytes;
  if (throttle.periodMs < THROTTLE.periodMs) return;
  if (throttle.dirtiedBytes > THROTTLE.dirtyRatio * throttle.sentBytes) throttle.highs += 1;
  throttle.periodMs = throttle.dirtiedBytes = throttle.sentBytes = 0;
  if (throttle.highs < 2 || !mayRise(scenario, throttle)) return;
  throttle.highs = 0;
  throttle.taken = throttle.taken === 0 ? THROTTLE.first : Math.min(THROTTLE.max, throttle.taken + THROTTLE.step);
}
