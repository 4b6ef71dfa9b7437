// What a state of the cluster costs an hour, in the currency of the prices: gain and cost of moves are compared in it.
import { softPriceAt } from "./affinity.ts";
import { normalExcess } from "./normal.ts";
import { memoryOverloadRatio } from "./thresholds.ts";
import type { PlanParameters, Goal } from "./types.ts";
import { GIB, HOUR_MS, SECOND_MS } from "../units.ts";
import type { PowerModel } from "../wire/inventory.ts";
import { CPU, DISK, deviationOf, MEMORY, NETWORK, ratioOf, RESOURCES, type World } from "./world.ts";
import { distanceIn, sitesOf } from "./sites.ts";

const WATTS_PER_KW = 1000;
const SECONDS_PER_HOUR = HOUR_MS / SECOND_MS;

/** Terms of the cost of a state, an hour. */
export type Rate = { overload: number; imbalance: number; energy: number; rules: number; traffic: number };

/** What the goal counts besides overload, rules and traffic. */
export type Counted = { imbalance: boolean; emptyHostsOff: boolean };

export const countedBy = (goal: Goal, { powerOffPermitted }: PlanParameters): Counted => ({
  imbalance: goal === "balance",
  emptyHostsOff: powerOffPermitted || goal === "consolidate" || goal === "save-energy",
});

/** Means of the hosts' ratios by resource, weighted by capacity: moves within the cluster leave them as they are. */
export type Means = Float64Array;

export function meansOf(world: World): Means {
  const means = new Float64Array(RESOURCES);
  for (let resource = 0; resource < RESOURCES; resource++) {
    let [used, capacity] = [0, 0];
    world.hosts.forEach((_, host) => {
      const size = world.capacity[host * RESOURCES + resource] ?? 0;
      if (world.unknown[host] !== null || size <= 0) return;
      used += ratioOf(world, host, resource) * size;
      capacity += size;
    });
    means[resource] = capacity === 0 ? 0 : used / capacity;
  }
  return means;
}

export const weightsOf = ({ weights }: PlanParameters): Float64Array => {
  const list = new Float64Array(RESOURCES);
  list[CPU] = weights.cpu;
  list[MEMORY] = weights.memory;
  list[NETWORK] = weights.network;
  list[DISK] = weights.disk;
  return list;
};

/** Weighted mean of the squared distances of a host's ratios from the cluster's. */
export function unevennessOf(world: World, host: number, means: Means, weights: Float64Array): number {
  let [sum, total] = [0, 0];
  for (let resource = 0; resource < RESOURCES; resource++) {
    if ((world.capacity[host * RESOURCES + resource] ?? 0) <= 0) continue;
    const weight = weights[resource] ?? 0;
    sum += weight * (ratioOf(world, host, resource) - (means[resource] ?? 0)) ** 2;
    total += weight;
  }
  return total === 0 ? 0 : sum / total;
}

/** Cores' worth of demand above `hotRatio` that a host is to expect: CPU by its mean and spread, the rest by their means. */
export function overloadedCores(world: World, host: number): number {
  const { hotRatio } = world.parameters;
  const cores = world.capacity[host * RESOURCES + CPU] ?? 0;
  const cpu = normalExcess(ratioOf(world, host, CPU), deviationOf(world, host, CPU), hotRatio);
  const memory = Math.max(0, ratioOf(world, host, MEMORY) - memoryOverloadRatio(world.parameters));
  const network = normalExcess(ratioOf(world, host, NETWORK), deviationOf(world, host, NETWORK), hotRatio);
  return cores * (cpu + memory + network);
}

/** Watts of a host at a share of its cores in use; null: its power model is not known. */
export function wattsAt(power: PowerModel | undefined, ratio: number): number | null {
  if (power === undefined) return null;
  const load = Math.min(1, Math.max(0, ratio));
  if (!("tableWatts" in power)) return power.idleWatts + (power.peakWatts - power.idleWatts) * load;
  const below = Math.min(9, Math.floor(load * 10));
  const [low, high] = [power.tableWatts[below] ?? 0, power.tableWatts[below + 1] ?? 0];
  return low + (high - low) * (load * 10 - below);
}

/** What a host draws in this state; one without VMs that may be switched off draws its standby. */
export function wattsOf(world: World, host: number, counted: Counted): number {
  const it = world.hosts[host];
  if (it?.power === undefined) return 0;
  if (counted.emptyHostsOff && world.vmsOn[host]?.size === 0) return world.parameters.standbyWatts;
  return wattsAt(it.power, ratioOf(world, host, CPU)) ?? 0;
}

/** What one host costs an hour, without traffic; hosts of unknown load cost nothing, for nothing changes there. */
export function hostRate(world: World, host: number, counted: Counted, means: Means, weights: Float64Array): Rate {
  const rate: Rate = { overload: 0, imbalance: 0, energy: 0, rules: 0, traffic: 0 };
  if (world.unknown[host] !== null) return rate;
  const { prices } = world.parameters;
  const cores = world.capacity[host * RESOURCES + CPU] ?? 0;
  rate.overload = prices.overloadPerCoreHour * overloadedCores(world, host);
  rate.energy = (prices.energyPerKwh * wattsOf(world, host, counted)) / WATTS_PER_KW;
  if (counted.imbalance)
    rate.imbalance = prices.imbalancePerCoreHour * cores * unevennessOf(world, host, means, weights);
  for (const vm of world.vmsOn[host] ?? []) rate.rules += softPriceAt(world, vm, host);
  return rate;
}

/** Bytes a second between these VMs and any others, each pair once, times how far apart the two are. */
export function crossing(world: World, vms: readonly number[]): number {
  const { hostOf, peers } = world;
  const sites = sitesOf(world);
  const counted = vms.length > 1 ? new Set<number>() : null;
  let sum = 0;
  for (const vm of vms) {
    counted?.add(vm);
    for (const peer of peers[vm] ?? [])
      if (counted?.has(peer.vm) !== true)
        sum += peer.bytesPerSecond * distanceIn(sites, hostOf[vm] ?? 0, hostOf[peer.vm] ?? 0);
  }
  return sum;
}

/** What so much traffic between hosts, as `crossing` counts it, costs an hour. */
export const trafficPrice = ({ prices }: PlanParameters, crossingBytesPerSecond: number): number =>
  (prices.crossTrafficPerGib * crossingBytesPerSecond * SECONDS_PER_HOUR) / GIB;

/** What the traffic of these VMs with each other and with the rest costs an hour. */
export const trafficRate = (world: World, vms: readonly number[]): number =>
  trafficPrice(world.parameters, crossing(world, vms));

/** What the whole state costs an hour. */
export function stateRate(world: World, counted: Counted, means: Means = meansOf(world)): Rate {
  const weights = weightsOf(world.parameters);
  const sum: Rate = { overload: 0, imbalance: 0, energy: 0, rules: 0, traffic: 0 };
  world.hosts.forEach((_, host) => {
    const rate = hostRate(world, host, counted, means, weights);
    for (const term of ["overload", "imbalance", "energy", "rules"] as const) sum[term] += rate[term];
  });
  sum.traffic = trafficRate(world, [...world.vms.keys()]);
  return sum;
}

export const totalOf = (rate: Rate): number => rate.overload + rate.imbalance + rate.energy + rate.rules + rate.traffic;
