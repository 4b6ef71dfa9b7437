// OpenStack Watcher, strategy `workload_stabilization`, restated.
import { randomOf } from "../../../../../worker/model/forecast/random.ts";
import { CPU, MEMORY } from "../flat.ts";
import type { Flat } from "../flat.ts";
import { hasCapacity, hostIndices, meanAndDeviation, migrate, ratioOf, rounds, shareOf, worldOf } from "./world.ts";
import type { Peer, PeerRun, World } from "./world.ts";

const METRICS = [CPU, MEMORY];
/** Of either metric; both weigh 1. */
const THRESHOLD = 0.1;
const AUDITS_MAX = 100;

type Sums = { total: number; squares: number }[];
type Case = { vm: number; from: number; to: number; value: number };

/** Sum of the standard deviations of the hosts' CPU and memory ratios: what Watcher makes smaller. */
export function watcherDeviation(world: World): number {
  return deviationsOf(world).reduce((sum, deviation) => sum + deviation, 0);
}

const deviationsOf = (world: World): number[] =>
  METRICS.map(
    (metric) => meanAndDeviation(hostIndices(world.flat).map((host) => ratioOf(world, host, metric))).deviation,
  );

function sumsOf(world: World): Sums {
  return METRICS.map((metric) => {
    const ratios = hostIndices(world.flat).map((host) => ratioOf(world, host, metric));
    return {
      total: ratios.reduce((sum, ratio) => sum + ratio, 0),
      squares: ratios.reduce((sum, ratio) => sum + ratio ** 2, 0),
    };
  });
}

/** The standard deviations once the VM has moved. */
function deviationsAfter(world: World, sums: Sums, vm: number, from: number, to: number): number[] {
  const { hosts } = world.flat;
  return METRICS.map((metric, index) => {
    const { total, squares } = sums[index] ?? { total: 0, squares: 0 };
    const [source, target] = [ratioOf(world, from, metric), ratioOf(world, to, metric)];
    const [less, more] = [source - shareOf(world, vm, from, metric), target + shareOf(world, vm, to, metric)];
    const mean = (total - source - target + less + more) / hosts;
    const square = (squares - source ** 2 - target ** 2 + less ** 2 + more ** 2) / hosts;
    return Math.sqrt(Math.max(0, square - mean ** 2));
  });
}

const added = (deviations: readonly number[]): number => deviations.reduce((sum, value) => sum + value, 0);

/** Moves that by themselves lower the weighted deviation, the lowest first; a VM has one for each better host met. */
function casesOf(world: World, candidates: (from: number) => readonly number[]): Case[] {
  const { flat, residents } = world;
  const sums = sumsOf(world);
  const now = added(
    sums.map(({ total, squares }) => Math.sqrt(Math.max(0, squares / flat.hosts - (total / flat.hosts) ** 2))),
  );
  const cases: Case[] = [];
  for (const from of hostIndices(flat))
    for (const vm of residents[from] ?? []) {
      let least = now;
      for (const to of candidates(from)) {
        if (to === from) continue;
        const value = added(deviationsAfter(world, sums, vm, from, to));
        if (value >= least) continue;
        least = value;
        cases.push({ vm, from, to, value });
      }
    }
  return cases.toSorted((a, b) => a.value - b.value);
}

/** Nova carries a move out only where the VM can be migrated, the host has room and the server groups allow it. */
const carriedOut = (world: World, { vm, to }: Case): boolean =>
  world.flat.movable[vm] !== 0 && hasCapacity(world, [vm], to) && world.rules.fits(vm, to, -1);

function audit(world: World, candidates: (from: number) => readonly number[]): void {
  if (deviationsOf(world).every((deviation) => deviation <= THRESHOLD)) return;
  let least = 1;
  const cases = casesOf(world, candidates);
  let sums = sumsOf(world);
  for (const found of cases) {
    const { vm, from, to } = found;
    // The model would take the VM from a host where it is no longer; the action could not.
    if (world.hostOf[vm] !== from) continue;
    const after = deviationsAfter(world, sums, vm, from, to);
    const accepted = added(after) < least;
    if (accepted) least = added(after);
    if (accepted && carriedOut(world, found)) {
      migrate(world, vm, to);
      sums = sumsOf(world);
    }
    if (after.some((deviation) => deviation < THRESHOLD)) return;
  }
}

function run(flat: Flat, seed: number, hostChoice: "retry" | "fullsearch"): PeerRun {
  const world = worldOf(flat);
  const random = randomOf(seed);
  const all = hostIndices(flat);
  // `retry` with its default count of 1: one host at random for each VM.
  const one = (from: number): number[] => {
    const drawn = Math.floor(random() * (flat.hosts - 1));
    return [drawn < from ? drawn : drawn + 1];
  };
  return rounds(world, AUDITS_MAX, () => audit(world, hostChoice === "retry" ? one : () => all));
}

/**
 * An audit starts where the standard deviation of the hosts' CPU or memory ratios is over 0.1. For every VM the hosts chosen
 * are tried (`retry`, the default: one at random; `fullsearch`: all); single moves that lower the sum of both deviations are
 * sorted by it and made one after the other where they still lower it, until either deviation is under 0.1. A continuous
 * audit repeats that: until one moves nothing. Server groups are Nova's to honour; a refused move is not repeated.
 */
export const watcher: Peer = {
  name: "watcher",
  rule: "workload_stabilization, defaults: one random host a VM, thresholds 0.1",
  run: (flat, seed) => run(flat, seed, "retry"),
};

export const watcherFullSearch: Peer = {
  name: "watcher-fullsearch",
  rule: "workload_stabilization with host_choice fullsearch, thresholds 0.1",
  run: (flat, seed) => run(flat, seed, "fullsearch"),
};
