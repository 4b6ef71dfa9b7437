// VMs of hosts that are silent. Nothing is left there that could be migrated: a list of what would have to be started again,
// and where it would fit, should the host be dead. Whether it is, only a person or a fencing device knows.
import { fits } from "./constraints.ts";
import { duration } from "./format.ts";
import type { PlanContent } from "./types.ts";
import { copyWorld, hostAt, hostOfVm, place, vmAt, type World } from "./world.ts";

/** Silent for longer than this: more than a restart of its agent, ms. */
const DEAD_AFTER_MS = 180_000;

/** The VMs of every host that has been silent for long, the biggest first, each where most room is left. */
export function restartsOf(world: World): PlanContent["restarts"] {
  const state = copyWorld(world);
  const { snapshot } = world;
  const dead = world.hosts.flatMap(({ heardAt }, host) =>
    heardAt !== undefined && snapshot.at - heardAt > DEAD_AFTER_MS ? [host] : [],
  );
  const vms = dead
    .flatMap((host) => [...(world.vmsOn[host] ?? [])])
    .filter((vm) => world.vms[vm]?.state === "running" && !world.migrating.has(vm))
    .sort((a, b) => (world.vmBytes[b] ?? 0) - (world.vmBytes[a] ?? 0) || a - b);
  return vms.map((vm) => {
    const { uuid, name } = vmAt(world, vm);
    const from = hostOfVm(world, vm);
    const to = roomiest(state, vm);
    if (to !== null) place(state, vm, to);
    const toHostId = to === null ? null : hostAt(world, to).hostId;
    const silent = duration(snapshot.at - (from.heardAt ?? snapshot.at));
    const where = toHostId === null ? "no host has room for it" : `${toHostId} has room for it`;
    const why = `${from.hostId} has been silent for ${silent}: a dead host has nothing left to migrate. Once it is certain that ${name} does not run there any more, start it elsewhere; ${where}.`;
    return { vm: uuid, vmName: name, fromHostId: from.hostId, toHostId, why };
  });
}

function roomiest(world: World, vm: number): number | null {
  const room = (host: number): number => (world.ceiling[host] ?? 0) - (world.committed[host] ?? 0);
  const best = world.hosts.reduce(
    (found, _, host) => (fits(world, vm, host) && (found === -1 || room(host) > room(found)) ? host : found),
    -1,
  );
  return best === -1 ? null : best;
}
