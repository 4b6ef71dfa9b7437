// How good a placement is, before and after. Hosts whose load is unknown take no part.
import { isEmptied } from "./affinity.ts";
import { othersInDomain } from "./groups.ts";
import { type Counted, meansOf, overloadedCores, unevennessOf, wattsOf, weightsOf } from "./score.ts";
import type { Efficacy } from "./types.ts";
import { CPU, knownHostIndexes, MEMORY, NETWORK, ratioOf, type World } from "./world.ts";

/** Population standard deviation; 0 of nothing. */
export function standardDeviation(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return Math.sqrt(variance);
}

/** The standard deviation of the hosts' ratios from the cluster's, over all resources by their weights. */
export function imbalanceOf(world: World): number {
  const known = knownHostIndexes(world);
  if (known.length === 0) return 0;
  const [means, weights] = [meansOf(world), weightsOf(world.parameters)];
  const sum = known.reduce((total, host) => total + unevennessOf(world, host, means, weights), 0);
  return Math.sqrt(sum / known.length);
}

/** The indicators of a placement. Ratios are those once running migrations have ended. */
export function efficacyOf(world: World, counted: Counted): Efficacy {
  const known = knownHostIndexes(world);
  const cpu = known.map((host) => ratioOf(world, host, CPU));
  const { hotRatio } = world.parameters;
  const hot = known.filter((host) =>
    [CPU, MEMORY, NETWORK].some((resource) => ratioOf(world, host, resource) > hotRatio),
  );
  const powered = known.filter((host) => world.hosts[host]?.power !== undefined);
  return {
    cpuImbalance: standardDeviation(cpu),
    imbalance: imbalanceOf(world),
    cpuRatioMax: Math.max(0, ...cpu),
    memoryRatioMax: Math.max(0, ...known.map((host) => ratioOf(world, host, MEMORY))),
    hotHosts: hot.length,
    emptyHosts: known.filter((host) => world.vmsOn[host]?.size === 0).length,
    toEvacuate: world.hosts.reduce(
      (sum, _, host) => sum + (isEmptied(world, host) ? (world.vmsOn[host]?.size ?? 0) : 0),
      0,
    ),
    watts: powered.length === 0 ? null : powered.reduce((sum, host) => sum + wattsOf(world, host, counted), 0),
    overloadedCores: known.reduce((sum, host) => sum + overloadedCores(world, host), 0),
    brokenRules: brokenRules(world),
    crossBytesPerSecond: crossBytesPerSecond(world),
  };
}

/** Rules that do not hold as VMs stand, each counted once. */
export function brokenRules(world: World): number {
  return world.groups.groups.filter((_, group) => isGroupBroken(world, group)).length;
}

/** Whether a rule does not hold as its VMs stand. */
export function isGroupBroken(world: World, group: number): boolean {
  const it = world.groups.groups[group];
  if (it === undefined) return false;
  return it.members.some((vm) => {
    const host = world.hostOf[vm] ?? 0;
    if (it.kind === "host-affinity") return it.named[host] === 0;
    if (it.kind === "host-anti-affinity") return it.named[host] === 1;
    const others = othersInDomain(world.groups, group, host, vm, world.hostOf);
    return it.kind === "vm-anti-affinity" ? others > 0 : others < it.members.length - 1;
  });
}

function crossBytesPerSecond(world: World): number {
  let sum = 0;
  world.peers.forEach((peers, vm) => {
    for (const peer of peers)
      if (peer.vm > vm && world.hostOf[vm] !== world.hostOf[peer.vm]) sum += peer.bytesPerSecond;
  });
  return sum;
}
