// Proxmox VE, dynamic load balancing of the HA manager, restated.
import { CPU, MEMORY } from "../flat.ts";
import type { Flat } from "../flat.ts";
import { bestMove, variationOf } from "./spread.ts";
import type { BestMove, LoadView } from "./spread.ts";
import { topsisMove } from "./topsis.ts";
import { migrate, ratioOf, rounds, shareOf, worldOf } from "./world.ts";
import type { Peer, PeerRun, World } from "./world.ts";

const MOTIONS_MAX = 20_000;

/** A node's load is the mean of its CPU and memory ratios. */
export const pveLoad: LoadView = {
  ofHost: (world, host) => (ratioOf(world, host, CPU) + ratioOf(world, host, MEMORY)) / 2,
  ofVm: (world, vm, host) => (shareOf(world, vm, host, CPU) + shareOf(world, vm, host, MEMORY)) / 2,
};

/** Variation of the nodes' loads over the highest that so many nodes can have: 0 to 1. */
export const pveImbalance = (world: World): number =>
  variationOf(world, pveLoad) / Math.sqrt(Math.max(1, world.flat.hosts - 1));

/** VMs that belong together are one bundle; a bundle with a VM that cannot move stays. */
export function bundlesOf({ together, vms, movable }: Flat): number[][] {
  const bound = new Set(together.flat());
  const single = Array.from({ length: vms }, (_, vm) => [vm]).filter(([vm]) => vm !== undefined && !bound.has(vm));
  return [...single, ...together].filter((unit) => unit.every((vm) => movable[vm] !== 0));
}

/** Node and anti-affinity rules; a bundle keeps its VMs together by moving as one. */
const permitted =
  (world: World) =>
  (unit: readonly number[], host: number): boolean =>
    unit.length > 1 || unit.every((vm) => world.rules.fits(vm, host, -1));

type Method = (world: World, bundles: readonly (readonly number[])[]) => BestMove | null;

const bruteforce: Method = (world, bundles) => bestMove(world, pveLoad, bundles, permitted(world));
const topsis: Method = (world, bundles) => topsisMove(world, bundles, permitted(world));

function run(flat: Flat, method: Method, threshold: number, margin: number): PeerRun {
  const world = worldOf(flat);
  const bundles = bundlesOf(flat);
  return rounds(world, MOTIONS_MAX, () => {
    const imbalance = pveImbalance(world);
    if (imbalance <= threshold) return;
    const found = method(world, bundles);
    if (found === null) return;
    const after = found.variation / Math.sqrt(flat.hosts - 1);
    const gain = (imbalance - after) / imbalance;
    if (gain < margin || gain <= 1e-12) return;
    for (const vm of found.vms) migrate(world, vm, found.to);
  });
}

/**
 * Where the imbalance (coefficient of variation of the nodes' loads, over its maximum √(n - 1)) was over 0.3 for three
 * rounds, the one motion that leaves the least is made if it lowers the imbalance by 10 %: `bruteforce` tries all, `topsis`
 * takes the best by RMS and maximum of CPU and memory ratios (weights 1, 2, 5, 10). One motion a round. Load that stays as
 * it is has been over the threshold for three rounds from the start. HA rules are honoured, bundles move as one.
 * `eager`: threshold and margin 0, that is until no motion helps.
 */
export const pveBruteforce: Peer = {
  name: "pve-bruteforce",
  rule: "dynamic load balancer, defaults: threshold 0.3, margin 10 %",
  run: (flat) => run(flat, bruteforce, 0.3, 0.1),
};
export const pveBruteforceEager: Peer = {
  name: "pve-bruteforce-eager",
  rule: "dynamic load balancer with threshold and margin 0",
  run: (flat) => run(flat, bruteforce, 0, 0),
};
export const pveTopsis: Peer = {
  name: "pve-topsis",
  rule: "dynamic load balancer, method topsis, defaults: threshold 0.3, margin 10 %",
  run: (flat) => run(flat, topsis, 0.3, 0.1),
};
export const pveTopsisEager: Peer = {
  name: "pve-topsis-eager",
  rule: "dynamic load balancer, method topsis, threshold and margin 0; its matrix of all motions is too big over 100 hosts",
  run: (flat) => run(flat, topsis, 0, 0),
  hostsMax: 100,
};
