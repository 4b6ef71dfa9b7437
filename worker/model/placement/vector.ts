// VectorDot's figures (Singh, Korupolu and Mohapatra, SC 2008), from knowledge of the paper: how far nodes are above their
// threshold, and how badly a VM and a path from a host to its storage go together.
import { shareOf } from "./hotspots.ts";
import { CPU, DISK, MEMORY, NETWORK, ratioOf, RESOURCES, type World } from "./world.ts";

/** How much a share of a resource weighs where a fraction `used` is in use: 1 at the threshold, more above it. */
export const weightAt = (used: number, threshold: number): number => Math.exp((used - threshold) / threshold);

/** 0 below the threshold, e^((f - T)/T) from there on: 1 at it. */
export const imbalanceScore = (used: number, threshold: number): number =>
  used < threshold ? 0 : weightAt(used, threshold);

/** Of a host: cores, memory, network and disks. */
const OF_HOST = [CPU, MEMORY, NETWORK, DISK] as const;

/** Sum of the scores of a host's resources. */
export function hostScore(world: World, host: number): number {
  let score = 0;
  for (const resource of OF_HOST) {
    if ((world.capacity[host * RESOURCES + resource] ?? 0) > 0)
      score += imbalanceScore(ratioOf(world, host, resource), world.parameters.hotRatio);
  }
  return score;
}

/** What paths lead over besides hosts. None of it changes as VMs move: planned migrations run one wave after another. */
export type Paths = {
  /** By host: share of its places for migrations, out and in, that running ones take. */
  linkUsed: Float64Array;
  /** What one migration takes of a link. */
  linkShare: number;
  /** By storage pool: what its hosts read and write, as a share of what their disks can do. */
  pools: ReadonlyMap<string, Pool>;
};
export type Pool = { used: number; capacityBytesPerSecond: number };

export function pathsOf(world: World): Paths {
  const { concurrencyPerHost, concurrencyIntoHost } = world.parameters;
  const places = concurrencyPerHost + concurrencyIntoHost;
  const linkUsed = new Float64Array(world.hosts.length);
  for (const { fromHostId, toHostId } of world.snapshot.reservations) {
    for (const host of [world.hostIndex.get(fromHostId), world.hostIndex.get(toHostId)])
      if (host !== undefined) linkUsed[host] = (linkUsed[host] ?? 0) + 1 / places;
  }
  return { linkUsed, linkShare: 1 / places, pools: poolsOf(world) };
}

function poolsOf(world: World): Map<string, Pool> {
  const sums = new Map<string, { used: number; capacity: number }>();
  world.hosts.forEach(({ pools = [] }, host) => {
    const capacity = world.capacity[host * RESOURCES + DISK] ?? 0;
    if (world.unknown[host] !== null || capacity <= 0) return;
    for (const { name, shared } of pools) {
      if (!shared) continue;
      const sum = sums.get(name) ?? { used: 0, capacity: 0 };
      sum.used += Math.max(0, world.used[host * RESOURCES + DISK] ?? 0);
      sum.capacity += capacity;
      sums.set(name, sum);
    }
  });
  return new Map(
    [...sums].map(([name, { used, capacity }]) => [name, { used: used / capacity, capacityBytesPerSecond: capacity }]),
  );
}

/**
 * Extended vector product of a VM and the path by way of a host: its shares of host, link and storage, each weighted by how
 * full that would be. Always as if the VM were there and nowhere else, so that what it is compared with never depends on
 * where it is now, and it does not go to and fro.
 */
export function vectorProduct(world: World, paths: Paths, vm: number, host: number): number {
  const threshold = world.parameters.hotRatio;
  const isThere = world.hostOf[vm] === host;
  let product = 0;
  for (const resource of OF_HOST) {
    const share = shareOf(world, vm, host, resource);
    if (share > 0) product += share * weightAt(ratioOf(world, host, resource) + (isThere ? 0 : share), threshold);
  }
  if (isThere) return product;
  const { linkUsed, linkShare } = paths;
  return product + linkShare * weightAt((linkUsed[host] ?? 0) + linkShare, threshold);
}

/** The part of the product that storage adds: the same by way of every host that has the VM's pools. */
export function storageProduct(world: World, { pools }: Paths, vm: number): number {
  const threshold = world.parameters.hotRatio;
  const names = new Set((world.vms[vm]?.disks ?? []).flatMap(({ pool }) => (pool === undefined ? [] : [pool])));
  let product = 0;
  for (const name of names) {
    const pool = pools.get(name);
    if (pool === undefined) continue;
    const share = (world.demand[vm * RESOURCES + DISK] ?? 0) / pool.capacityBytesPerSecond / names.size;
    product += share * weightAt(pool.used, threshold);
  }
  return product;
}
