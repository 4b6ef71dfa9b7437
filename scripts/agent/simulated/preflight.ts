// Whether a simulated host could run a VM: what a hypervisor would find out before it starts the incoming side.
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import type { PreflightCheck } from "../../../worker/model/wire/question.ts";
import { lookedAt, type MigrationSpec } from "../driver.ts";
import { HOST_SYSTEM_BYTES, OVERHEAD_BYTES, type SimulatedHost } from "./config.ts";
import { hostOf, instancesOn, keyOf, type World } from "./state.ts";

const gib = (bytes: number): string => `${(bytes / 1_073_741_824).toFixed(1)} GiB`;

function memoryReasons(world: World, host: SimulatedHost, vm: VmInventory): string[] {
  const withOverhead = (of: Pick<VmInventory, "memoryBytes" | "overheadBytes">): number =>
    of.memoryBytes + (of.overheadBytes ?? OVERHEAD_BYTES);
  const committed = instancesOn(world, host.id).reduce((sum, { inventory }) => sum + withOverhead(inventory), 0);
  const free = host.memoryBytes - HOST_SYSTEM_BYTES - committed;
  const reasons: string[] = [];
  if (withOverhead(vm) > free)
    reasons.push(
      `needs ${gib(withOverhead(vm))} of memory with overhead, ${gib(Math.max(0, free))} is not committed here`,
    );
  if (vm.hugepageBytes === undefined) return reasons;
  const pool = host.hugepagePools?.find((one) => one.pageBytes === vm.hugepageBytes);
  const poolBytes = pool?.freeBytes ?? 0;
  if (poolBytes < vm.memoryBytes)
    reasons.push(
      `needs ${gib(vm.memoryBytes)} in hugepages of ${vm.hugepageBytes} bytes, ${gib(poolBytes)} are free here`,
    );
  return reasons;
}

function storageReasons(host: SimulatedHost, vm: VmInventory): string[] {
  const known = host.pools?.map((pool) => pool.name);
  return (vm.disks ?? []).flatMap(({ id, pool, shared }) => {
    if (shared === false) return [`disk ${id} lies on the source only`];
    return pool === undefined || known === undefined || known.includes(pool)
      ? []
      : [`storage pool ${pool} of disk ${id} is missing here`];
  });
}

export function preflight(world: World, hostId: string, { vm }: MigrationSpec): PreflightCheck[] {
  const host = hostOf(world, hostId);
  const { machineTypes, networks } = host;
  const isUnknown =
    vm.machineType !== undefined && machineTypes !== undefined && !machineTypes.includes(vm.machineType);
  const missing = (vm.nics ?? []).filter(({ network }) => networks !== undefined && !networks.includes(network));
  const isHere = world.instances.has(keyOf(hostId, vm.uuid));
  return [
    lookedAt("memory", memoryReasons(world, host, vm), `${gib(vm.memoryBytes)} are free`),
    lookedAt(
      "cpu",
      vm.vcpus > host.cores ? [`has ${vm.vcpus} vCPUs, this host has ${host.cores} cores`] : [],
      `${host.cores} cores for ${vm.vcpus} vCPUs`,
    ),
    lookedAt(
      "machine",
      isUnknown ? [`machine type ${vm.machineType} is unknown here, known are ${machineTypes.join(", ")}`] : [],
      `machine type ${vm.machineType ?? "not stated"} is known here`,
    ),
    lookedAt("storage", storageReasons(host, vm), "every disk is here"),
    lookedAt(
      "network",
      missing.map(({ network }) => `network ${network} is missing here`),
      "every network is here",
    ),
    lookedAt(
      "devices",
      (vm.blockers ?? []).map((blocker) => `cannot be live-migrated: ${blocker}`),
      "no device is in the way",
    ),
    lookedAt("place", isHere ? [`VM ${vm.uuid} already has a process on ${hostId}`] : [], "nothing of the VM is here"),
  ];
}
