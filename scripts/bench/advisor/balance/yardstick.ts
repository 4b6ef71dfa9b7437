// One measure for everybody, and each peer's own beside it, so that nobody is judged by a measure that was chosen for another.
import type { Flat } from "./flat.ts";
import { cloudstackMemory } from "./peers/cloudstack.ts";
import { pveImbalance } from "./peers/pve.ts";
import { variationOf } from "./peers/spread.ts";
import { watcherDeviation } from "./peers/watcher.ts";
import { worldOf } from "./peers/world.ts";
import { xoHosts } from "./peers/xen-orchestra.ts";
import { imbalanceOf, makeMove, stateOf } from "../../../../worker/model/placement/search/state.ts";

/** The cluster with another placement. */
export function placed(flat: Flat, hostOf: Int32Array): Flat {
  const state = stateOf({ ...flat, rules: { fits: () => true } });
  hostOf.forEach((host, vm) => {
    if (host !== flat.hostOf[vm]) makeMove(state, vm, host);
  });
  return { ...flat, hostOf, used: state.used, committed: state.committed };
}

/**
 * The yardstick: the root of the mean, over hosts and over CPU, memory and network alike, of the squared deviation of the
 * host's ratio from the cluster's (all that is used over all that there is). Every host counts the same, every resource too.
 */
export const imbalance = (flat: Flat): number => imbalanceOf(stateOf({ ...flat, rules: { fits: () => true } }));

/** What each peer itself makes smaller. */
export function ownMeasures(flat: Flat): { metric: string; value: number; unit: string }[] {
  const world = worldOf(flat);
  return [
    { metric: "watcherDeviation", value: watcherDeviation(world), unit: "ratio" },
    { metric: "pveImbalance", value: pveImbalance(world), unit: "ratio" },
    { metric: "cloudstackImbalance", value: variationOf(world, cloudstackMemory), unit: "ratio" },
    { metric: "xoHosts", value: xoHosts(world), unit: "hosts" },
  ];
}
