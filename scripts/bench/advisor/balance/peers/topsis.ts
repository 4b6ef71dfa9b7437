// TOPSIS (Hwang and Yoon, 1981) over all motions, with the criteria of Proxmox VE.
import { CPU, MEMORY } from "../flat.ts";
import { loadOf } from "./spread.ts";
import type { BestMove, LoadView } from "./spread.ts";
import { hasCapacity, hostIndices, ratioOf, shareOf } from "./world.ts";
import type { World } from "./world.ts";

/** RMS and maximum of CPU, RMS and maximum of memory: all costs. */
const WEIGHTS = [1, 2, 5, 10];

type Summary = { ratios: number[]; total: number; squares: number; highest: [host: number, ratio: number][] };

const viewOf = (resource: number): LoadView => ({
  ofHost: (world, host) => ratioOf(world, host, resource),
  ofVm: (world, vm, host) => shareOf(world, vm, host, resource),
});
const VIEWS = [viewOf(CPU), viewOf(MEMORY)];

function summaryOf(world: World, view: LoadView): Summary {
  const ratios = hostIndices(world.flat).map((host) => view.ofHost(world, host));
  const highest = ratios.map((ratio, host): [number, number] => [host, ratio]).toSorted((a, b) => b[1] - a[1]);
  return {
    ratios,
    total: ratios.reduce((sum, ratio) => sum + ratio, 0),
    squares: ratios.reduce((sum, ratio) => sum + ratio ** 2, 0),
    highest: highest.slice(0, 3),
  };
}

/** Which of the rows, of `weights.length` costs each, is nearest to the best and farthest from the worst; -1 of none. */
export function topsisBest(rows: ArrayLike<number>, weights: readonly number[]): number {
  const columns = weights.map((weight, column) => columnOf(rows, weights.length, column, weight));
  let best = -1;
  let nearest = -1;
  for (let row = 0; row * columns.length < rows.length; row++) {
    let toBest = 0;
    let toWorst = 0;
    columns.forEach(({ least, most, factor }, column) => {
      const value = rows[row * columns.length + column] ?? 0;
      toBest += ((value - least) * factor) ** 2;
      toWorst += ((value - most) * factor) ** 2;
    });
    const distance = Math.sqrt(toBest) + Math.sqrt(toWorst);
    const closeness = distance > 0 ? Math.sqrt(toWorst) / distance : 0;
    if (closeness <= nearest) continue;
    nearest = closeness;
    best = row;
  }
  return best;
}

/** A criterion's extremes, and what its values are multiplied by: its weight over the norm of them all. */
function columnOf(rows: ArrayLike<number>, stride: number, column: number, weight: number) {
  let squares = 0;
  let least = Infinity;
  let most = -Infinity;
  for (let at = column; at < rows.length; at += stride) {
    const value = rows[at] ?? 0;
    squares += value ** 2;
    least = Math.min(least, value);
    most = Math.max(most, value);
  }
  return { least, most, factor: squares > 0 ? weight / Math.sqrt(squares) : 0 };
}

/** The motion that TOPSIS ranks first, with the variation of the nodes' loads after it. */
export function topsisMove(
  world: World,
  units: readonly (readonly number[])[],
  permitted: (unit: readonly number[], host: number) => boolean,
): BestMove | null {
  const { hosts } = world.flat;
  const summaries = VIEWS.map((view) => summaryOf(world, view));
  const motions: { vms: readonly number[]; to: number }[] = [];
  const rows: number[] = [];
  for (const unit of units) {
    const from = world.hostOf[unit[0] ?? 0] ?? 0;
    const lost = VIEWS.map((view) => loadOf(world, view, unit, from));
    for (let to = 0; to < hosts; to++) {
      if (to === from || !hasCapacity(world, unit, to) || !permitted(unit, to)) continue;
      motions.push({ vms: unit, to });
      VIEWS.forEach((view, index) => {
        const summary = summaries[index];
        if (summary !== undefined)
          rows.push(...criteriaAfter(summary, from, to, lost[index] ?? 0, loadOf(world, view, unit, to)));
      });
    }
  }
  const motion = motions[topsisBest(rows, WEIGHTS)];
  return motion === undefined
    ? null
    : { ...motion, variation: variationAfter(world, summaries, motion.vms, motion.to) };
}

/** 1 is added so that tiny differences are not made great ones. */
function criteriaAfter(
  { ratios, squares, highest }: Summary,
  from: number,
  to: number,
  lost: number,
  won: number,
): number[] {
  const [source, target] = [ratios[from] ?? 0, ratios[to] ?? 0];
  const square = squares - source ** 2 - target ** 2 + (source - lost) ** 2 + (target + won) ** 2;
  const others = highest.find(([host]) => host !== from && host !== to)?.[1] ?? 0;
  return [1 + Math.sqrt(Math.max(0, square) / ratios.length), 1 + Math.max(others, source - lost, target + won)];
}

function variationAfter(world: World, summaries: readonly Summary[], unit: readonly number[], to: number): number {
  const from = world.hostOf[unit[0] ?? 0] ?? 0;
  const loads = hostIndices(world.flat).map((host) => {
    const parts = VIEWS.map((view, index) => {
      const now = summaries[index]?.ratios[host] ?? 0;
      if (host === from) return now - loadOf(world, view, unit, from);
      return host === to ? now + loadOf(world, view, unit, to) : now;
    });
    return parts.reduce((sum, part) => sum + part, 0) / VIEWS.length;
  });
  const mean = loads.reduce((sum, load) => sum + load, 0) / loads.length;
  const variance = loads.reduce((sum, load) => sum + (load - mean) ** 2, 0) / loads.length;
  return mean === 0 ? 0 : Math.sqrt(variance) / mean;
}
