// Apache CloudStack, cluster DRS with the algorithm `balanced`, restated.
import type { Flat } from "../flat.ts";
import { CPU } from "../flat.ts";
import { bestMove, variationOf } from "./spread.ts";
import type { LoadView } from "./spread.ts";
import { migrate, rounds, worldOf } from "./world.ts";
import type { Peer, PeerRun, World } from "./world.ts";

const MIGRATIONS_PER_PLAN = 50;
const PLANS_MAX = 100;

/** Allocated, not measured: memory that VMs were given over what the host may give. */
export const cloudstackMemory: LoadView = {
  ofHost: ({ flat, committed }, host) => (committed[host] ?? 0) / (flat.committedMax[host] ?? 1),
  ofVm: ({ flat }, vm, host) => (flat.vmBytes[vm] ?? 0) / (flat.committedMax[host] ?? 1),
};

/** Allocated vCPUs over the host's cores, whatever the overprovisioning factor. */
export const cloudstackCpu: LoadView = {
  ofHost: ({ flat, residents }, host) =>
    [...(residents[host] ?? [])].reduce((sum, vm) => sum + (flat.vcpus[vm] ?? 0), 0) / coresOf(flat, host),
  ofVm: ({ flat }, vm, host) => (flat.vcpus[vm] ?? 0) / coresOf(flat, host),
};

const coresOf = ({ capacity, resources }: Flat, host: number): number => capacity[host * resources + CPU] ?? 1;

function plan(world: World, view: LoadView, threshold: number): void {
  const { flat } = world;
  const home = world.hostOf.slice();
  const units = Array.from({ length: flat.vms }, (_, vm) => [vm]).filter(([vm]) => flat.movable[vm ?? -1] !== 0);
  for (let migration = 0; migration < MIGRATIONS_PER_PLAN; migration++) {
    const now = variationOf(world, view);
    if (now <= threshold) return;
    const found = bestMove(world, view, units, ([vm], host) => world.rules.fits(vm ?? -1, host, -1));
    const vm = found?.vms[0];
    if (found === null || vm === undefined || found.variation >= now * (1 - 1e-12) || home[vm] === found.to) return;
    migrate(world, vm, found.to);
  }
}

function run(flat: Flat, view: LoadView, threshold: number): PeerRun {
  const world = worldOf(flat);
  return rounds(world, PLANS_MAX, () => plan(world, view, threshold));
}

/**
 * Where the standard deviation of the hosts' allocated ratios over their mean is above 1 - `drs.imbalance` (0.4: above 0.6),
 * a plan takes the move that lowers it most, up to 50 times, and ends where a VM would return to the host it came from. The
 * metric is memory or CPU. Affinity groups are honoured. Plans follow each other until one is empty. `eager`:
 * `drs.imbalance` 1, that is until no move helps.
 */
export const cloudstack: Peer = {
  name: "cloudstack",
  rule: "DRS balanced, defaults: allocated memory, imbalance over 0.6",
  run: (flat) => run(flat, cloudstackMemory, 0.6),
};
export const cloudstackEager: Peer = {
  name: "cloudstack-eager",
  rule: "DRS balanced on allocated memory, drs.imbalance 1",
  run: (flat) => run(flat, cloudstackMemory, 0),
};
export const cloudstackEagerCpu: Peer = {
  name: "cloudstack-eager-cpu",
  rule: "DRS balanced on allocated CPU, drs.imbalance 1",
  run: (flat) => run(flat, cloudstackCpu, 0),
};
