// What every restated peer acts on: a placement that changes move by move, and what nobody may break.
import type { Flat } from "../flat.ts";
import { CPU, MEMORY, rulesOf } from "../flat.ts";

/** How a peer is run: what it does from the start until it stops acting, and what that cost. */
export type PeerRun = {
  hostOf: Int32Array;
  /** Migrations, those of the same VM included. */
  moves: number;
  /** Memory of the migrated VMs, in bytes. */
  movedBytes: number;
  /** Rounds in which it moved something. */
  rounds: number;
};

export type Peer = {
  name: string;
  /** Its rule in a sentence. */
  rule: string;
  run: (flat: Flat, seed: number) => PeerRun;
  /** More hosts than this it is not run on: why, in `rule`. */
  hostsMax?: number;
};

export type World = {
  flat: Flat;
  used: Float64Array;
  committed: Float64Array;
  hostOf: Int32Array;
  /** Of each host, which VMs run there. */
  residents: Set<number>[];
  rules: ReturnType<typeof rulesOf>;
  moves: number;
  movedBytes: number;
};

export function worldOf(flat: Flat): World {
  const residents = Array.from({ length: flat.hosts }, () => new Set<number>());
  flat.hostOf.forEach((host, vm) => residents[host]?.add(vm));
  return {
    flat,
    residents,
    used: flat.used.slice(),
    committed: flat.committed.slice(),
    hostOf: flat.hostOf.slice(),
    rules: rulesOf(flat),
    moves: 0,
    movedBytes: 0,
  };
}

export const ratioOf = ({ flat, used }: World, host: number, resource: number): number =>
  (used[host * flat.resources + resource] ?? 0) / (flat.capacity[host * flat.resources + resource] ?? 1);

/** Share of a host that a VM uses or would use. */
export const shareOf = ({ flat }: World, vm: number, host: number, resource: number): number =>
  (flat.demand[vm * flat.resources + resource] ?? 0) / (flat.capacity[host * flat.resources + resource] ?? 1);

/** Hard capacity, the same for everybody: the memory that a host may commit, and the cores that it has. */
export function hasCapacity(world: World, vms: readonly number[], host: number): boolean {
  const { flat, committed } = world;
  let bytes = committed[host] ?? 0;
  let cpu = ratioOf(world, host, CPU);
  let memory = ratioOf(world, host, MEMORY);
  for (const vm of vms) {
    bytes += flat.vmBytes[vm] ?? 0;
    cpu += shareOf(world, vm, host, CPU);
    memory += shareOf(world, vm, host, MEMORY);
  }
  return bytes <= (flat.committedMax[host] ?? 0) && cpu <= 1 && memory <= 1;
}

export function migrate(world: World, vm: number, to: number): void {
  const { flat, used, committed, hostOf, residents, rules } = world;
  const from = hostOf[vm] ?? 0;
  for (let r = 0; r < flat.resources; r++) {
    const demand = flat.demand[vm * flat.resources + r] ?? 0;
    used[from * flat.resources + r] = (used[from * flat.resources + r] ?? 0) - demand;
    used[to * flat.resources + r] = (used[to * flat.resources + r] ?? 0) + demand;
  }
  committed[from] = (committed[from] ?? 0) - (flat.vmBytes[vm] ?? 0);
  committed[to] = (committed[to] ?? 0) + (flat.vmBytes[vm] ?? 0);
  hostOf[vm] = to;
  residents[from]?.delete(vm);
  residents[to]?.add(vm);
  rules.moved(vm, from, to);
  world.moves++;
  world.movedBytes += flat.moveBytes?.[vm] ?? 0;
}

export const runOf = ({ hostOf, moves, movedBytes }: World, rounds: number): PeerRun => ({
  hostOf,
  moves,
  movedBytes,
  rounds,
});

/** Rounds until one moves nothing, at most `roundsMax`. */
export function rounds(world: World, roundsMax: number, round: () => void): PeerRun {
  let acted = 0;
  while (acted < roundsMax) {
    const before = world.moves;
    round();
    if (world.moves === before) break;
    acted++;
  }
  return runOf(world, acted);
}

/** Mean and population standard deviation. */
export function meanAndDeviation(values: readonly number[]): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) };
}

export const hostIndices = ({ hosts }: Flat): number[] => Array.from({ length: hosts }, (_, host) => host);
