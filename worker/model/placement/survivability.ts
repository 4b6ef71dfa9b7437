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
  const trial = trialOf(world);
  for (const hosts of failureCases(world, failures)) {
    const [vm] = withoutPlace(world, hosts, trial);
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

/** A copy in which failures are tried one after the other. It serves as long as the world stays as it is. */
export const trialOf = (world: World): World => copyWorld({ ...world, vmsOn: [] });

/** The running VMs of hosts that fail for which no other host has room, the biggest first. `trial`: as `trialOf` makes it. */
export function withoutPlace(world: World, failed: readonly number[], trial: World): number[] {
  const state = withoutHosts(trial, failed);
  const out = new Set(failed);
  const others = knownHostIndexes(world).filter((host) => !out.has(host));
  const room = (host: number): number => (state.ceiling[host] ?? 0) - (state.committed[host] ?? 0);
  const left: number[] = [];
  const placed: number[] = [];
  for (const vm of runningOn(world, failed)) {
    let to = -1;
    // Room first: it is known at once, and `fits` is not.
    for (const host of others) if ((to === -1 || room(host) > room(to)) && fits(state, vm, host)) to = host;
    if (to === -1) left.push(vm);
    else {
      place(state, vm, to);
      placed.push(vm);
    }
  }
  for (const vm of placed) place(state, vm, world.hostOf[vm] ?? 0);
  // There and back leaves the sums as they were but for rounding, which a next failure must not see.
  state.used.set(world.used);
  state.variance.set(world.variance);
  return left;
}

/** The biggest first. */
export function runningOn(world: World, hosts: readonly number[]): number[] {
  const vms = [...new Set(hosts.flatMap((host) => [...(world.vmsOn[host] ?? [])]))];
  return vms
    .filter((vm) => world.vms[vm]?.state === "running")
    .sort((a, b) => (world.vmBytes[b] ?? 0) - (world.vmBytes[a] ?? 0) || a - b);
}

/** The trial in which these hosts are to be emptied: groups that were together there may go elsewhere, one after the other. */
function withoutHosts(trial: World, failed: readonly number[]): World {
  const hostIds = [...(trial.parameters.hostIds ?? []), ...failed.map((host) => hostAt(trial, host).hostId)];
  return { ...trial, parameters: { ...trial.parameters, hostIds } };
}
