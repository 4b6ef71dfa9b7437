// Whether the VMs of hosts that fail would find room on the others.
import { copyWorld, hostAt, knownHostIndexes, place, type World } from "./world.ts";
import { fits } from "./constraints.ts";

/**
 * Whether any single host, and the `failures` hosts that have committed the most memory at once, may fail and every running
 * VM of theirs still finds a place, the biggest first, each where most is left. First fit is no proof of the contrary: a
 * cleverer packing might exist where this says no.
 */
export function survives(world: World, failures: number): boolean {
  return unsurvivable(world, failures) === null;
}

/** The hosts whose failure would leave a VM without a place, and that VM; null: none would. */
export function unsurvivable(world: World, failures: number): { hosts: number[]; vm: number } | null {
  for (const hosts of failureCases(world, failures)) {
    const [vm] = withoutPlace(world, hosts);
    if (vm !== undefined) return { hosts, vm };
  }
  return null;
}

/** Sets of hosts that may fail at once: each by itself, and the `failures` fullest; none where no failure is tolerated. */
export function failureCases(world: World, failures: number): number[][] {
  if (failures <= 0) return [];
  const known = knownHostIndexes(world);
  const byCommitted = known.toSorted((a, b) => (world.committed[b] ?? 0) - (world.committed[a] ?? 0));
  const single = known.map((host) => [host]);
  return failures === 1 ? single : [...single, byCommitted.slice(0, failures)];
}

/** The running VMs of hosts that fail for which no other host has room, the biggest first. */
export function withoutPlace(world: World, failed: readonly number[]): number[] {
  const state = withoutHosts(world, failed);
  const out = new Set(failed);
  const others = knownHostIndexes(world).filter((host) => !out.has(host));
  const room = (host: number): number => (state.ceiling[host] ?? 0) - (state.committed[host] ?? 0);
  const vms = [...new Set(failed.flatMap((host) => [...(world.vmsOn[host] ?? [])]))];
  const running = vms.filter((vm) => world.vms[vm]?.state === "running");
  const left: number[] = [];
  for (const vm of running.sort((a, b) => (world.vmBytes[b] ?? 0) - (world.vmBytes[a] ?? 0) || a - b)) {
    let to = -1;
    // Room first: it is known at once, and `fits` is not.
    for (const host of others) if ((to === -1 || room(host) > room(to)) && fits(state, vm, host)) to = host;
    if (to === -1) left.push(vm);
    else place(state, vm, to);
  }
  return left;
}

/**
 * The world in which these hosts are to be emptied: groups that were together there may go elsewhere, one after the other. What
 * decides whether a VM fits is a copy; which VMs are where is not kept.
 */
function withoutHosts(world: World, failed: readonly number[]): World {
  const hostIds = [...(world.parameters.hostIds ?? []), ...failed.map((host) => hostAt(world, host).hostId)];
  const copied = copyWorld({ ...world, vmsOn: [] });
  return { ...copied, parameters: { ...world.parameters, hostIds } };
}
