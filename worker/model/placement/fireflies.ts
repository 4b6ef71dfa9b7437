// Hosts as fireflies (Yang 2009; for consolidation Kansal and Chana 2016, of which the abstract is known, not the constants): the
// less energy and load, the brighter, and the better a VM fills the room that is left, the more it is attracted.
import { shareOf } from "./hotspots.ts";
import { wattsAt } from "./score.ts";
import { CPU, hostAt, ratioOf, type World } from "./world.ts";

/** Attractiveness at no distance. */
const BETA_ZERO = 1;
/** How fast it fades: at 4 a host left half empty in both dimensions has an eighth of it. */
const GAMMA = 4;
/** A host whose power model is unknown draws what CloudSim's standard host does (Beloglazov and Buyya 2012). */
export const STANDARD_POWER = { idleWatts: 175, peakWatts: 250 };
/** A power model that is flat would make a host infinitely bright. */
const WATTS_MIN = 1;
const LOAD_MIN = 0.01;

/** β = β0·e^(−γr²). */
export const attractiveness = (distance: number): number => BETA_ZERO * Math.exp(-GAMMA * distance ** 2);

/** 1 / (energy · load). */
export const brightness = (watts: number, load: number): number =>
  1 / (Math.max(WATTS_MIN, watts) * Math.max(LOAD_MIN, load));

/** How a host looks to a VM. */
export type Sight = {
  /** Watts that the VM adds there. */
  watts: number;
  /** Mean of the host's shares of cores used and of memory committed, the VM included. */
  load: number;
  /** Between what the VM takes and what is left, in shares of cores and of memory. */
  distance: number;
  /** Brightness times attractiveness. */
  seen: number;
};

/** The VM is not there yet. */
export function sightOf(world: World, vm: number, host: number): Sight {
  const { parameters, committed, ceiling, vmBytes } = world;
  const it = hostAt(world, host);
  const [cpu, memory] = [ratioOf(world, host, CPU), (committed[host] ?? 0) / it.memoryBytes];
  const takes = { cpu: shareOf(world, vm, host, CPU), memory: (vmBytes[vm] ?? 0) / it.memoryBytes };
  const power = it.power ?? STANDARD_POWER;
  const watts = (wattsAt(power, cpu + takes.cpu) ?? 0) - (wattsAt(power, cpu) ?? 0);
  const load = (cpu + takes.cpu + memory + takes.memory) / 2;
  const left = {
    cpu: Math.min(parameters.cpuRatioMax, parameters.hotRatio) - cpu,
    memory: (ceiling[host] ?? 0) / it.memoryBytes - memory,
  };
  const distance = Math.hypot(left.cpu - takes.cpu, left.memory - takes.memory);
  return { watts, load, distance, seen: brightness(watts, load) * attractiveness(distance) };
}

/** What a VM takes of a host: the mean of its shares of cores and of memory. */
export const loadOf = (world: World, vm: number, host: number): number =>
  (shareOf(world, vm, host, CPU) + (world.vmBytes[vm] ?? 0) / hostAt(world, host).memoryBytes) / 2;

/** Watts that an empty host draws; null: its power model is unknown. */
export const idleWattsOf = (world: World, host: number): number | null => wattsAt(hostAt(world, host).power, 0);
