// The coefficient of variation of hosts' loads, and the single move that lowers it most: what PVE and CloudStack do alike.
import { hasCapacity, hostIndices, meanAndDeviation } from "./world.ts";
import type { World } from "./world.ts";

/** How a peer reads loads: of a host, and of a VM on a host. */
export type LoadView = {
  ofHost: (world: World, host: number) => number;
  ofVm: (world: World, vm: number, host: number) => number;
};

/** Standard deviation over mean; 0 of idle hosts. */
export function variationOf(world: World, view: LoadView): number {
  const { mean, deviation } = meanAndDeviation(hostIndices(world.flat).map((host) => view.ofHost(world, host)));
  return mean === 0 ? 0 : deviation / mean;
}

export type BestMove = { vms: readonly number[]; to: number; variation: number };

/**
 * Of all moves of a unit (VMs that move together) to another host, the one after which the variation is least. Among hosts
 * of the same size the least loaded is always best, so that only one a size is valued.
 */
export function bestMove(
  world: World,
  view: LoadView,
  units: readonly (readonly number[])[],
  permitted: (unit: readonly number[], host: number) => boolean,
): BestMove | null {
  const { hosts } = world.flat;
  const loads = hostIndices(world.flat).map((host) => view.ofHost(world, host));
  const total = loads.reduce((sum, load) => sum + load, 0);
  const squares = loads.reduce((sum, load) => sum + load ** 2, 0);
  const sizes = sizesOf(world, loads);
  let best: BestMove | null = null;
  for (const unit of units) {
    const from = world.hostOf[unit[0] ?? 0] ?? 0;
    const source = loads[from] ?? 0;
    const less = source - loadOf(world, view, unit, from);
    for (const list of sizes) {
      const to = list.find((host) => host !== from && hasCapacity(world, unit, host) && permitted(unit, host));
      if (to === undefined) continue;
      const target = loads[to] ?? 0;
      const more = target + loadOf(world, view, unit, to);
      const mean = (total - source - target + less + more) / hosts;
      const square = (squares - source ** 2 - target ** 2 + less ** 2 + more ** 2) / hosts;
      const variation = mean === 0 ? 0 : Math.sqrt(Math.max(0, square - mean ** 2)) / mean;
      if (best === null || variation < best.variation) best = { vms: unit, to, variation };
    }
  }
  return best;
}

export const loadOf = (world: World, view: LoadView, unit: readonly number[], host: number): number =>
  unit.reduce((sum, vm) => sum + view.ofVm(world, vm, host), 0);

/** Hosts of the same capacities together, the least loaded first. */
function sizesOf({ flat }: World, loads: readonly number[]): number[][] {
  const { resources, capacity } = flat;
  const key = (host: number): string => capacity.subarray(host * resources, host * resources + 2).join();
  return [...Map.groupBy(hostIndices(flat), key).values()].map((list) =>
    list.toSorted((a, b) => (loads[a] ?? 0) - (loads[b] ?? 0) || a - b),
  );
}
