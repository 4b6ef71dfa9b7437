// U(t): distinct bytes that a VM dirties in a window of length t. Concave in all real workloads: a page dirtied twice counts
// once, so that one rate for all windows is too low for short rounds and too high for long ones.
import type { DirtyPoint } from "./types.ts";

/** Distinct bytes dirtied in a window of that many milliseconds. Never falls with the window; 0 at 0. */
export type DirtyCurve = (windowMs: number) => number;

/** Stands for "all of the working set": a share of 1 would make the time constant 0. */
const SHARE_MAX = 0.999;

/**
 * The curve through measured points, windows rising and bytes not falling, at least two. Linear between them. Left of the
 * first it is the saturating curve from 0 that arrives there with the slope of the first segment, so that short rounds are
 * neither free nor charged with all that a second dirties; right of the last it goes on as a concave curve may, the slope
 * decaying so that it ends at `capBytes`.
 */
export function measuredCurve(points: readonly DirtyPoint[], capBytes: number): DirtyCurve {
  return curveThrough(points)(capBytes);
}

/** The same for any number of caps: what the points alone decide is worked out once. */
export function curveThrough(points: readonly DirtyPoint[]): (capBytes: number) => DirtyCurve {
  const [first, second] = points;
  const last = points.at(-1);
  if (first === undefined || second === undefined || last === undefined)
    throw new RangeError("a measured dirty curve needs at least two points; use saturatingCurve for one");
  const left = tangentCurve(first, slope(first, second));
  const lastSlope = slopeBeyond(points, last);
  return (capBytes) => {
    const room = capBytes - last.bytes;
    return (windowMs) => {
      if (windowMs <= first.windowMs) return Math.min(capBytes, left(windowMs));
      if (windowMs <= last.windowMs) return Math.min(capBytes, between(points, windowMs));
      if (room <= 0) return capBytes;
      return last.bytes - room * Math.expm1((-lastSlope * (windowMs - last.windowMs)) / room);
    };
  };
}

/**
 * The slope in the last point of the concave curve over all points: none of them may lie above the line drawn back from the
 * last. Only points of at most half its window count: the difference of two windows that are nearly the same is noise.
 */
function slopeBeyond(points: readonly DirtyPoint[], last: DirtyPoint): number {
  let least = last.bytes / last.windowMs;
  for (const point of points) if (point.windowMs <= last.windowMs / 2) least = Math.min(least, slope(point, last));
  return least;
}

/** A flat first segment is as often sampling noise as saturation: the first point then holds 98 % of the working set. */
const STEEPNESS_MAX = 4;

/**
 * W(1 − e^(−t/τ)) through `point` with that slope in it; a straight line where the slope is not under the chord's. With
 * x = window/τ the condition is x / (e^x − 1) = slope / chord, solved by bisection.
 */
function tangentCurve(point: DirtyPoint, slopeThere: number): DirtyCurve {
  const chord = point.bytes / point.windowMs;
  if (slopeThere >= chord) return (t) => (t <= 0 ? 0 : chord * t);
  let low = 0;
  let high = STEEPNESS_MAX;
  for (let step = 0; step < 20; step++) {
    const x = (low + high) / 2;
    if (x / Math.expm1(x) > slopeThere / chord) low = x;
    else high = x;
  }
  return saturatingCurve(point.bytes, point.windowMs, -point.bytes / Math.expm1(-high));
}

function slope(from: DirtyPoint, to: DirtyPoint): number {
  return (to.bytes - from.bytes) / (to.windowMs - from.windowMs);
}

function between(points: readonly DirtyPoint[], windowMs: number): number {
  let from = points[0];
  for (const to of points) {
    if (from !== undefined && windowMs <= to.windowMs)
      return to === from ? to.bytes : from.bytes + slope(from, to) * (windowMs - from.windowMs);
    from = to;
  }
  return from?.bytes ?? 0;
}

/**
 * The curve W(1 − e^(−t/τ)) of uniformly random writes to a working set of `workingSetBytes`, through one measured point.
 * A working set smaller than the point is taken to be the point.
 */
export function saturatingCurve(bytes: number, windowMs: number, workingSetBytes: number): DirtyCurve {
  if (bytes <= 0) return () => 0;
  const size = Math.max(bytes, workingSetBytes);
  const perMs = Math.log1p(-Math.min(bytes / size, SHARE_MAX)) / windowMs;
  return (t) => (t <= 0 ? 0 : -size * Math.expm1(perMs * t));
}

/** The points that a curve can be drawn through: windows rising, bytes the running maximum (sampling noise makes them fall). */
export function usablePoints(points: readonly DirtyPoint[]): DirtyPoint[] {
  const usable: DirtyPoint[] = [];
  for (const point of points.toSorted((a, b) => a.windowMs - b.windowMs)) {
    const last = usable.at(-1);
    if (last === undefined) usable.push(point);
    else if (point.windowMs > last.windowMs)
      usable.push({ windowMs: point.windowMs, bytes: Math.max(last.bytes, point.bytes) });
  }
  return usable;
}
