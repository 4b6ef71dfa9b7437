// What a pass of QEMU finds newly dirtied, where the dirty log is opened anew only as the scan comes along.
import type { DirtyCurve } from "./dirty-curve.ts";
import { LOG_CHUNK_BYTES } from "./priors.ts";
import type { Scenario } from "./scenario.ts";

/** Gauss-Legendre with three nodes on 0…1. */
const NODES: readonly [at: number, weight: number][] = [
  [0.5 - Math.sqrt(0.15), 5 / 18],
  [0.5, 8 / 18],
  [0.5 + Math.sqrt(0.15), 5 / 18],
];

/**
 * Distinct bytes logged in a pass of `durationMs`. A write ahead of the scan to a page that is sent in this pass anyway is
 * not logged, so that a page at position x of the scan has a window of (1 − x) × duration: the mean of U over these (section
 * 2.8 of the cost models), x in steps of a chunk of the log. `beforeMs`: length of the pass before, whose dirty pages are
 * what this one sends; Infinity in the first pass, which sends all. The other pages are logged whenever they are written.
 */
export function loggedBytes(scenario: Scenario, durationMs: number, beforeMs: number): number {
  const { dirtied, skipsAheadOfScan, memoryBytes } = scenario;
  if (!skipsAheadOfScan) return dirtied(durationMs);
  const chunks = Math.max(1, memoryBytes / LOG_CHUNK_BYTES);
  if (beforeMs === Number.POSITIVE_INFINITY) return meanOver(dirtied, durationMs, chunks);
  const before = dirtied(beforeMs);
  const fresh = Math.max(0, dirtied(beforeMs + durationMs) - before);
  const again = (windowMs: number) => Math.max(0, dirtied(windowMs) + before - dirtied(beforeMs + windowMs));
  return fresh + meanOver(again, durationMs, chunks);
}

/** Mean over the windows n/n, (n−1)/n … 1/n of the duration, by the integral and half a step (Euler and Maclaurin). */
function meanOver(curve: DirtyCurve, durationMs: number, chunks: number): number {
  let mean = 0;
  for (const [at, weight] of NODES) mean += weight * curve(at * durationMs);
  const whole = curve(durationMs);
  return Math.min(whole, mean + whole / (2 * chunks));
}
