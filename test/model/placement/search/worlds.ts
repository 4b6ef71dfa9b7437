// Inputs for the search from what is stated: hosts of 10 cores and 100 bytes, VMs that use and commit what they say.
import fc from "fast-check";
import type { SearchInput } from "../../../../worker/model/placement/search/types.ts";

export type HostSpec = { cores?: number; bytes?: number };
export type VmSpec = { on: number; cpu: number; memory: number; bytes?: number; movable?: boolean };
export type WorldSpec = {
  hosts: HostSpec[];
  vms: VmSpec[];
  /** Pairs of a VM and a host where it may not run. */
  never?: (readonly [vm: number, host: number])[];
  /** Groups of VMs of which no two may be on one host. */
  apart?: number[][];
  cpuRatioMax?: number;
};

const RESOURCES = 2;

export function loadsOn({ hosts, vms }: WorldSpec, hostOf: ArrayLike<number>): Float64Array {
  const used = new Float64Array(hosts.length * RESOURCES);
  vms.forEach(({ cpu, memory }, vm) => {
    const at = (hostOf[vm] ?? 0) * RESOURCES;
    used[at] = (used[at] ?? 0) + cpu;
    used[at + 1] = (used[at + 1] ?? 0) + memory;
  });
  return used;
}

export function committedOn({ hosts, vms }: WorldSpec, hostOf: ArrayLike<number>): Float64Array {
  const committed = new Float64Array(hosts.length);
  vms.forEach(({ memory, bytes = memory }, vm) => {
    const at = hostOf[vm] ?? 0;
    committed[at] = (committed[at] ?? 0) + bytes;
  });
  return committed;
}

/** The input, and where its rules believe that each VM is. */
export function inputOf(world: WorldSpec): { input: SearchInput; believed: Int32Array } {
  const { hosts, vms, never = [], apart = [], cpuRatioMax = 1 } = world;
  const hostOf = Int32Array.from(vms.map(({ on }) => on));
  const believed = hostOf.slice();
  const input: SearchInput = {
    resources: RESOURCES,
    weights: Float64Array.of(1, 1),
    capacity: Float64Array.from(hosts.flatMap(({ cores = 10, bytes = 100 }) => [cores, bytes])),
    used: loadsOn(world, hostOf),
    usedMax: Float64Array.from(hosts.flatMap(({ cores = 10 }) => [cores * cpuRatioMax, Infinity])),
    committed: committedOn(world, hostOf),
    committedMax: Float64Array.from(hosts.map(({ bytes = 100 }) => bytes)),
    demand: Float64Array.from(vms.flatMap(({ cpu, memory }) => [cpu, memory])),
    vmBytes: Float64Array.from(vms.map(({ memory, bytes = memory }) => bytes)),
    hostOf,
    movable: Uint8Array.from(vms.map(({ movable = true }) => Number(movable))),
    rules: {
      fits: (vm, host, without) =>
        !never.some(([of, on]) => of === vm && on === host) &&
        !apart.some(
          (group) =>
            group.includes(vm) && group.some((other) => other !== vm && other !== without && believed[other] === host),
        ),
      moved: (vm, _from, to) => {
        believed[vm] = to;
      },
    },
  };
  return { input, believed };
}

/** The imbalance of a placement, reckoned anew: root mean square of the ratios' deviations from the cluster's. */
export function imbalanceAnew(world: WorldSpec, hostOf: ArrayLike<number>): number {
  const used = loadsOn(world, hostOf);
  const capacity = Float64Array.from(world.hosts.flatMap(({ cores = 10, bytes = 100 }) => [cores, bytes]));
  const deviations = [0, 1].flatMap((resource) => {
    const at = world.hosts.map((_, host) => host * RESOURCES + resource);
    const sum = (of: Float64Array): number => at.reduce((total, index) => total + (of[index] ?? 0), 0);
    const mean = sum(used) / sum(capacity);
    return at.map((index) => (used[index] ?? 0) / (capacity[index] ?? 1) - mean);
  });
  return Math.sqrt(deviations.reduce((total, deviation) => total + deviation ** 2, 0) / deviations.length);
}

/** The least imbalance of all placements, by trying each. */
export function leastImbalance(world: WorldSpec): number {
  const { hosts, vms } = world;
  let least = Infinity;
  for (let code = 0; code < hosts.length ** vms.length; code++) {
    const hostOf = vms.map((_, vm) => Math.floor(code / hosts.length ** vm) % hosts.length);
    if (vms.some(({ movable, on }, vm) => movable === false && hostOf[vm] !== on)) continue;
    least = Math.min(least, imbalanceAnew(world, hostOf));
  }
  return least;
}

const anyVm = (hosts: number): fc.Arbitrary<VmSpec> =>
  fc.record({
    on: fc.nat(hosts - 1),
    cpu: fc.integer({ min: 0, max: 40 }).map((tenths) => tenths / 10),
    memory: fc.integer({ min: 1, max: 30 }),
    bytes: fc.integer({ min: 1, max: 40 }),
    movable: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  });

/** Clusters with rules that hold at the start; hosts may be overfull already. */
export const anyWorld: fc.Arbitrary<WorldSpec> = fc.integer({ min: 1, max: 6 }).chain((hosts) =>
  fc
    .record({
      hosts: fc.array(fc.record({ cores: fc.constantFrom(8, 10, 16), bytes: fc.constantFrom(80, 120, 200) }), {
        minLength: hosts,
        maxLength: hosts,
      }),
      vms: fc.array(anyVm(hosts), { maxLength: 24 }),
      never: fc.array(fc.tuple(fc.nat(23), fc.nat(hosts - 1)), { maxLength: 8 }),
      apart: fc.array(fc.array(fc.nat(23), { minLength: 2, maxLength: 3 }), { maxLength: 3 }),
      cpuRatioMax: fc.constantFrom(0.7, 0.9, 1),
    })
    .map((world) => ({
      ...world,
      never: world.never.filter(([vm, host]) => world.vms[vm]?.on !== host),
      apart: world.apart.filter((group) => new Set(group.map((vm) => world.vms[vm]?.on)).size === group.length),
    })),
);

/** Few VMs on few hosts without limits, so that all placements can be tried. */
export const tinyWorld: fc.Arbitrary<WorldSpec> = fc.integer({ min: 2, max: 3 }).chain((hosts) =>
  fc.record({
    hosts: fc.constant(Array.from({ length: hosts }, () => ({ bytes: 1000 }))),
    vms: fc.array(anyVm(hosts), { minLength: 1, maxLength: 6 }),
    cpuRatioMax: fc.constant(10),
  }),
);
