// What a host costs an hour now, and what it costs less without some of its VMs.
import { hostRate, totalOf, wattsAt, weightsOf } from "../score.ts";
import type { StrategyInput } from "../strategy.ts";
import { arrive, CPU, depart, knownHostIndexes, RESOURCES, type World } from "../world.ts";

const WATTS_PER_KW = 1000;

export type Rates = {
  /** What the host costs an hour; remembered until it is forgotten. */
  now: (host: number) => number;
  /** The same in the state of this moment. */
  fresh: (host: number) => number;
  forget: (host: number) => void;
  /** Watts that one more core in use draws at least, wherever. */
  wattsPerCoreMin: number;
};

export function ratesOf({ world, counted, means }: StrategyInput): Rates {
  const weights = weightsOf(world.parameters);
  const known = new Float64Array(world.hosts.length).fill(Number.NaN);
  const fresh = (host: number): number => totalOf(hostRate(world, host, counted, means, weights));
  // A soft rule over racks or zones may cost a host more that no VM has left or reached.
  const isKept = world.groups.groups.every(({ hard }) => hard);
  return {
    fresh,
    now: (host) => {
      const before = known[host] ?? Number.NaN;
      if (isKept && !Number.isNaN(before)) return before;
      return (known[host] = fresh(host));
    },
    forget: (host) => {
      known[host] = Number.NaN;
    },
    wattsPerCoreMin: wattsPerCoreMin(world),
  };
}

function wattsPerCoreMin(world: World): number {
  let least = Number.POSITIVE_INFINITY;
  for (const host of knownHostIndexes(world)) {
    const { power } = world.hosts[host] ?? {};
    const cores = world.capacity[host * RESOURCES + CPU] ?? 0;
    for (let tenth = 0; tenth < 10; tenth++) {
      const step = (wattsAt(power, (tenth + 1) / 10) ?? 0) - (wattsAt(power, tenth / 10) ?? 0);
      least = Math.min(least, cores > 0 ? (10 * step) / cores : 0);
    }
  }
  return Number.isFinite(least) ? least : 0;
}

/**
 * An hour: what the source costs without the unit, and how much less that is than now, less the watts that the unit draws
 * wherever it goes. Soft rules may gain at a destination what no source can tell: then there is no bound.
 */
export function reliefOf(
  { world, counted }: StrategyInput,
  rates: Rates,
  unit: readonly number[],
): { reliefMax: number; sourceAfter: number } {
  const from = world.hostOf[unit[0] ?? 0] ?? 0;
  const { groups, parameters } = world;
  const isSoft = unit.some((vm) => groups.ofVm[vm]?.some((group) => groups.groups[group]?.hard === false));
  // Evenness may gain at both ends.
  if (isSoft || counted.imbalance) return { reliefMax: Number.POSITIVE_INFINITY, sourceAfter: 0 };
  const before = rates.now(from);
  for (const vm of unit) depart(world, vm, from);
  const sourceAfter = rates.fresh(from);
  for (const vm of unit) arrive(world, vm, from);
  const cores = unit.reduce((sum, vm) => sum + (world.demand[vm * RESOURCES + CPU] ?? 0), 0);
  const drawn = (parameters.prices.energyPerKwh * rates.wattsPerCoreMin * cores) / WATTS_PER_KW;
  return { reliefMax: before - sourceAfter - drawn, sourceAfter };
}
