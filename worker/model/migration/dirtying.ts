// What a guest dirties in one scenario: the curve that was measured, or one drawn through the little that was.
import { saturatingCurve } from "./dirty-curve.ts";
import type { DirtyCurve } from "./dirty-curve.ts";
import type { Scores } from "./draws.ts";
import * as prior from "./priors.ts";
import type { Known } from "./resolve.ts";

/**
 * The curve, and what it may reach: the non-zero memory, or more where more was measured or given, since a guest that writes
 * to zero pages makes them non-zero.
 */
export function dirtyingOf(known: Known, nonzeroBytes: number, scores: Scores) {
  const { dirty, memoryBytes } = known;
  const scale = known.dirtyGrowthRatio * Math.exp(dirty.lnSd * scores.normal.dirty);
  if (dirty.from === "curve") {
    const dirtiedMax = Math.min(memoryBytes, Math.max(nonzeroBytes, dirty.points.at(-1)?.bytes ?? 0));
    const curve = dirty.curve(dirtiedMax / scale);
    const dirtied: DirtyCurve = (windowMs) => Math.min(dirtiedMax, scale * curve(windowMs));
    return { dirtied, dirtiedMax };
  }
  const dirtiedMax = Math.max(nonzeroBytes, dirty.workingSetBytes ?? 0);
  const bytes = Math.min(dirtiedMax, dirty.point.bytes * scale);
  const { windowMs } = dirty.point;
  if (dirty.workingSetBytes !== null)
    return { dirtied: saturatingCurve(bytes, windowMs, Math.min(dirtiedMax, dirty.workingSetBytes)), dirtiedMax };
  return { dirtied: guessedCurve(known, { bytes, windowMs, dirtiedMax }, scores), dirtiedMax };
}

/**
 * One measured window only. The working set lies between what the window showed and all there is, as probably twice some
 * figure as half of it. Where the vCPUs never rest nothing paces the writes, which then have swept all they ever touch long
 * before the window ended: it lies near what the window showed, and shorter windows show as much.
 */
function guessedCurve(
  { cpuUsedCores, vcpus }: Known,
  { bytes, windowMs, dirtiedMax }: { bytes: number; windowMs: number; dirtiedMax: number },
  scores: Scores,
): DirtyCurve {
  const rest = Math.min(1, 2 * (1 - cpuUsedCores / vcpus));
  const set = bytes * (dirtiedMax / Math.max(1, bytes)) ** (scores.workingSet * rest ** 2);
  const slow = saturatingCurve(bytes, windowMs, Math.min(dirtiedMax, set));
  if (rest === 1) return slow;
  const sweptPerMs = (prior.SWEEP_BYTES_PER_SECOND * cpuUsedCores * (1 - rest) ** 2) / 1000;
  return (t) => Math.max(slow(t), Math.min(bytes, sweptPerMs * t));
}
