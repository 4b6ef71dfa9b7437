// What some strategies need to act at all, added to any cluster: power models and newest samples.
import type { HostLoad, Recent, Snapshot, VmLoad } from "../../worker/model/cluster.ts";
import { MINUTE_MS } from "../../worker/model/units.ts";

/** Every host draws 100 W when it idles and 250 W at its peak. */
export const powered = (snapshot: Snapshot): Snapshot => ({
  ...snapshot,
  hosts: snapshot.hosts.map((host) => ({ ...host, power: { idleWatts: 100, peakWatts: 250 } })),
});

/** CPU samples a minute apart, the last one taken at `at`: multiples of what is used now. */
export function samplesOf(used: number | undefined, shape: readonly number[], at: number): { recent?: Recent } {
  if (used === undefined || shape.length === 0) return {};
  return { recent: { at, stepMs: MINUTE_MS, series: { cpu_used_cores: shape.map((factor) => factor * used) } } };
}

/** Hosts in turn get the shapes, and their VMs the same; an empty one: no samples. */
export function sampled(snapshot: Snapshot, shapes: readonly (readonly number[])[]): Snapshot {
  const shapeOf = (index: number): readonly number[] => shapes[index % shapes.length] ?? [];
  const of = <Load extends HostLoad | VmLoad>(load: Load, index: number): Load => ({
    ...load,
    ...samplesOf(load.cpuUsedCores, shapeOf(index), load.at ?? snapshot.at),
  });
  return {
    ...snapshot,
    hosts: snapshot.hosts.map((host) => {
      // By its id, not its place: the order of reading must not matter.
      const index = Number.parseInt(host.hostId.replaceAll(/\D/g, ""), 10) || 0;
      return {
        ...host,
        load: of(host.load, index),
        vms: host.vms.map((vm) => ({ ...vm, load: of(vm.load, index) })),
      };
    }),
  };
}
