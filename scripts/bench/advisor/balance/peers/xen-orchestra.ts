// Xen Orchestra's load balancer, performance plan, restated.
import { MIB } from "../../../../../worker/model/units.ts";
import { CPU } from "../flat.ts";
import type { Flat } from "../flat.ts";
import { hasCapacity, hostIndices, migrate, ratioOf, rounds, shareOf, worldOf } from "./world.ts";
import type { Peer, PeerRun, World } from "./world.ts";

type Thresholds = { cpu: { high: number; low: number }; memoryFree: { high: number; low: number } };
type Averages = { cpu: number; memoryFree: number };

/** From the settings' defaults: CPU 90 %, free memory 1000 MiB. */
const DEFAULTS: Thresholds = {
  cpu: { high: 0.9 * 0.85, low: 0.9 * 0.65 },
  memoryFree: { high: 1.2 * 1000 * MIB, low: 1.5 * 1000 * MIB },
};
/** `preventive`: a host so far over the pool's mean is relieved until it is so near to it, if it is busy at all. */
const PREVENTIVE = { high: 1.5, low: 1.25, cpuRatioMin: 0.25 };
const TICKS_MAX = 1000;

/** Xen gives a VM all its memory: what is free is what no VM was given. */
const averagesOf = (world: World, host: number): Averages => ({
  cpu: ratioOf(world, host, CPU),
  memoryFree: (world.flat.committedMax[host] ?? 0) - (world.committed[host] ?? 0),
});

const stateOf = ({ cpu, memoryFree }: Averages, thresholds: Thresholds) => ({
  cpu: cpu >= thresholds.cpu.high,
  memory: memoryFree <= thresholds.memoryFree.high,
});

const nearlyEqual = (a: number, b: number, tolerance: number): boolean =>
  Math.abs(a - b) <= Math.min(Math.abs(a), Math.abs(b)) * tolerance ||
  (Math.abs(a) <= tolerance && Math.abs(b) <= tolerance);

/** The better destination first: fewer thresholds reached, then less CPU, then more free memory. */
function byLoad(a: Averages, b: Averages, thresholds: Thresholds): number {
  const [one, other] = [stateOf(a, thresholds), stateOf(b, thresholds)];
  if (one.cpu === other.cpu && one.memory === other.memory)
    return nearlyEqual(100 * a.cpu, 100 * b.cpu, 0.001) ? b.memoryFree - a.memoryFree : a.cpu - b.cpu;
  const reached = (state: { cpu: boolean; memory: boolean }): number => Number(state.cpu) + Number(state.memory);
  if (reached(one) !== reached(other)) return reached(one) - reached(other);
  return one.cpu ? 1 : -1;
}

/** The busiest VM first; of those within three times of each other the one with the most memory. */
function byUse(world: World, host: number) {
  const cpu = (vm: number): number => 100 * shareOf(world, vm, host, CPU);
  const bytes = (vm: number): number => world.flat.vmBytes[vm] ?? 0;
  return (a: number, b: number): number => (nearlyEqual(cpu(a), cpu(b), 3) ? bytes(b) - bytes(a) : cpu(b) - cpu(a));
}

/** VMs leave the host for the best destination until it is under the low thresholds. */
function relieve(world: World, host: number, thresholds: Thresholds): void {
  const { flat, residents } = world;
  const others = hostIndices(flat).filter((other) => other !== host);
  for (const vm of [...(residents[host] ?? [])].toSorted(byUse(world, host))) {
    const source = averagesOf(world, host);
    if (source.cpu <= thresholds.cpu.low && source.memoryFree >= thresholds.memoryFree.low) return;
    const to = others.reduce((best, other) =>
      byLoad(averagesOf(world, other), averagesOf(world, best), DEFAULTS) < 0 ? other : best,
    );
    const target = averagesOf(world, to);
    const cpu = shareOf(world, vm, host, CPU);
    const bytes = flat.vmBytes[vm] ?? 0;
    const worse = source.cpu - cpu < target.cpu + cpu || source.memoryFree + bytes > target.memoryFree - bytes;
    if (target.cpu + cpu >= thresholds.cpu.low || target.memoryFree - bytes <= thresholds.memoryFree.high) continue;
    if (!stateOf(source, thresholds).cpu && worse) continue;
    if (flat.movable[vm] !== 0 && hasCapacity(world, [vm], to)) migrate(world, vm, to);
  }
}

/** Hosts over a threshold, the worst first. */
function exceeded(world: World, over: (averages: Averages) => boolean, thresholds: Thresholds): number[] {
  const averages = hostIndices(world.flat).map((host) => averagesOf(world, host));
  const of = (host: number): Averages => averages[host] ?? { cpu: 0, memoryFree: 0 };
  return hostIndices(world.flat)
    .filter((host) => over(of(host)))
    .toSorted((a, b) => byLoad(of(b), of(a), thresholds));
}

const meanCpu = (world: World): number =>
  hostIndices(world.flat).reduce((sum, host) => sum + ratioOf(world, host, CPU), 0) / world.flat.hosts;

const isOver = (averages: Averages): boolean => {
  const { cpu, memory } = stateOf(averages, DEFAULTS);
  return cpu || memory;
};

/** Hosts that the plan would relieve, `preventive` ones included. */
export const xoHosts = (world: World): number => {
  const mean = meanCpu(world);
  const ahead = ({ cpu }: Averages): boolean => cpu >= PREVENTIVE.high * mean && cpu >= PREVENTIVE.cpuRatioMin;
  return exceeded(world, (averages) => isOver(averages) || ahead(averages), DEFAULTS).length;
};

function tick(world: World, preventive: boolean): void {
  const over = exceeded(world, isOver, DEFAULTS);
  for (const host of over) relieve(world, host, DEFAULTS);
  if (over.length > 0 || !preventive) return;
  const mean = meanCpu(world);
  const thresholds = { ...DEFAULTS, cpu: { high: PREVENTIVE.high * mean, low: PREVENTIVE.low * mean } };
  const ahead = ({ cpu }: Averages): boolean => cpu >= thresholds.cpu.high && cpu >= PREVENTIVE.cpuRatioMin;
  for (const host of exceeded(world, ahead, thresholds)) relieve(world, host, thresholds);
}

function run(flat: Flat, preventive: boolean): PeerRun {
  const world = worldOf(flat);
  return rounds(world, TICKS_MAX, () => tick(world, preventive));
}

/**
 * Each minute hosts at 76.5 % CPU or with under 1200 MiB free are relieved: VMs in order of their use go to the best host
 * until the source is at 58.5 % with 1500 MiB free; never where the destination would reach 58.5 %. `preventive`: where no
 * host is over, those at 1.5 times the pool's mean and 25 % are relieved to 1.25 times. The load is what it is, so that the
 * mean of the last half hour is too. Anti-affinity tags hold moves back nowhere here: rules may be broken.
 */
export const xenOrchestra: Peer = {
  name: "xo-performance",
  rule: "performance plan, defaults: CPU 90 %, 1000 MiB free, conservative",
  run: (flat) => run(flat, false),
};
export const xenOrchestraPreventive: Peer = {
  name: "xo-preventive",
  rule: "performance plan, submode preventive",
  run: (flat) => run(flat, true),
};
