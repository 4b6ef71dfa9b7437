// Sandpiper's volume (Wood et al. 2007): how full a host is in all dimensions, as one figure.
import { GIB } from "../units.ts";
import { shareOf } from "./hotspots.ts";
import { CPU, MEMORY, NETWORK, ratioOf, vmAt, type World } from "./world.ts";

/** A full resource would make every volume infinite, and hosts could not be told apart. */
const RATIO_MAX = 0.99;

/** 1 / ((1 - cpu)(1 - network)(1 - memory)), each ratio at most 0.99. 1: idle. */
export function volumeOf(cpu: number, network: number, memory: number): number {
  const left = (used: number): number => 1 - Math.min(RATIO_MAX, Math.max(0, used));
  return 1 / (left(cpu) * left(network) * left(memory));
}

/** Volume-to-size ratio: volume for each GiB that would have to be sent. */
export const volumeToSize = (volume: number, bytes: number): number => (volume * GIB) / Math.max(1, bytes);

export const hostVolume = (world: World, host: number): number =>
  volumeOf(ratioOf(world, host, CPU), ratioOf(world, host, NETWORK), ratioOf(world, host, MEMORY));

/** A VM's volume is that of its shares of the host that it is on. */
export function vmVsr(world: World, vm: number): number {
  const host = world.hostOf[vm] ?? 0;
  const share = (resource: number): number => shareOf(world, vm, host, resource);
  return volumeToSize(volumeOf(share(CPU), share(NETWORK), share(MEMORY)), sentBytes(world, vm));
}

/** What a migration sends once: memory that is not zero, all of it where that is unknown. */
export function sentBytes(world: World, vm: number): number {
  const { memoryBytes, load } = vmAt(world, vm);
  return Math.min(memoryBytes, load.memoryNonzeroBytes ?? memoryBytes);
}
