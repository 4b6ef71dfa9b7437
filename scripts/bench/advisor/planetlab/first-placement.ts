// Where VMs are placed before the day begins: full reservations, the smallest power above idle.
import { VMS_PER_HOST_MAX, wattsOf } from "./machines.ts";
import type { SimHost, SimVm, World } from "./world.ts";

type Reserved = { mips: number; memoryMegabytes: number };

/**
 * VMs in order, each to the host whose power exceeds its idle power least, the first of equals. An empty host is charged no idle
 * power, so big VMs spread. Overload tests never bind here: nobody else wants anything yet.
 */
export function placeFirst({ hosts, vms }: World): void {
  const reserved = new Map<SimHost, Reserved>(hosts.map((host) => [host, { mips: 0, memoryMegabytes: 0 }]));
  for (const vm of vms) {
    let best: SimHost | null = null;
    let bestWatts = Number.POSITIVE_INFINITY;
    for (const [host, taken] of reserved) {
      if (!fits(vm, host, taken)) continue;
      const watts = wattsOf(host.machine, (taken.mips + vm.mips) / host.mips) - wattsOf(host.machine, 0);
      if (watts < bestWatts) [best, bestWatts] = [host, watts];
    }
    const taken = best === null ? undefined : reserved.get(best);
    if (best === null || taken === undefined) throw new Error(`no host has room for VM ${vm.id}`);
    taken.mips += vm.mips;
    taken.memoryMegabytes += vm.memoryMegabytes;
    best.vms.push(vm);
    vm.host = best;
  }
}

const fits = (vm: SimVm, { machine, mips, vms }: SimHost, taken: Reserved): boolean =>
  machine.coreMips >= vm.mips &&
  mips - taken.mips >= vm.mips &&
  machine.memoryMegabytes - taken.memoryMegabytes >= vm.memoryMegabytes &&
  vms.length < VMS_PER_HOST_MAX;
