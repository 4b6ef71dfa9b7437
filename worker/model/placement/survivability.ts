// Whether the VMs of hosts that fail would find room on the others.
import { copyWorld, hostAt, place, type World } from "./world.ts";
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
  if (failures <= 0) return null;
  const known = world.hosts.flatMap((_, host) => (world.unknown[host] === null ? [host] : []));
  const byCommitted = known.toSorted((a, b) => (world.committed[b] ?? 0) - (world.committed[a] ?? 0));
  const cases = [...known.map((host) => [host]), byCommitted.slice(0, failures)];
  for (const hosts of failures === 1 ? cases.slice(0, -1) : cases) {
    const vm = withoutPlace(world, hosts);
    if (vm !== null) return { hosts, vm };
  }
  return null;
}

function withoutPlace(world: World, failed: readonly number[]): number | null {
  const state = withoutHosts(world, failed);
  const out = new Set(failed);
  const others = world.hosts.flatMap((_, host) => (out.has(host) || world.unknown[host] !== null ? [] : [host]));
  const room = (host: number): number => (state.ceiling[host] ?? 0) - (state.committed[host] ?? 0);
  const vms = failed
    .flatMap((host) => [...(world.vmsOn[host] ?? [])])
    .filter((vm) => world.vms[vm]?.state === "running");
  for (const vm of vms.sort((a, b) => (world.vmBytes[b] ?? 0) - (world.vmBytes[a] ?? 0) || a - b)) {
    const to = others
      .filter((host) => fits(state, vm, host))
      .reduce((best, host) => (best === -1 || room(host) > room(best) ? host : best), -1);
    if (to === -1) return vm;
    place(state, vm, to);
  }
  return null;
}

/** The world in which these hosts are to be emptied: groups that were together there may go elsewhere, one after the other. */
function withoutHosts(world: World, failed: readonly number[]): World {
  const hostIds = [...(world.parameters.hostIds ?? []), ...failed.map((host) => hostAt(world, host).hostId)];
  return { ...copyWorld(world), parameters: { ...world.parameters, hostIds } };
}
