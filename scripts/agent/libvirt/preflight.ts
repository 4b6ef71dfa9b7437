// Could this host run the VM? Reads, and changes nothing. libvirt's own checks come with the migration; these come before, with
// their numbers.
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import { DriverError, type MigrationSpec, type PreflightResult } from "../driver.ts";
import { parseMeminfo } from "../linux/proc.ts";
import { readText } from "../linux/text.ts";
import { libvirtReasons } from "./arguments.ts";
import { cpuModelsOf, hugepagePoolsOf, machineTypesOf, readNodeInfo } from "./capabilities.ts";
import { listDomains, lookAt } from "./domains.ts";
import { networksOf, poolsOf } from "./host.ts";
import type { Libvirt } from "./libvirt.ts";
import { numberOf, parseDomstats, parseFreePages } from "./raw.ts";
import { hasLeft } from "./state.ts";
import type { Pool } from "./storage.ts";
import { parseXml } from "./xml.ts";

const KIB = 1024;

/** What the VM needs besides memory, against what is here; `cpuModels`: null where libvirt does not tell. */
export type Here = {
  machineTypes: readonly string[];
  cpuModels: ReadonlyMap<string, boolean> | null;
  networks: readonly string[];
  pools: readonly Pick<Pool, "name" | "shared">[];
  freeHugepages: ReadonlyMap<number, number>;
};

function deviceReasons(vm: VmInventory, { networks, pools }: Here): string[] {
  const reasons: string[] = [];
  const names = pools.map(({ name }) => name).join(", ") || "none";
  for (const { id, shared, pool } of vm.disks ?? []) {
    if (shared !== true) reasons.push(`disk ${id} is on its host only, and the libvirt driver copies no disks`);
    else if (pool !== undefined && !pools.some(({ name }) => name === pool))
      reasons.push(`storage pool ${pool} of disk ${id} is not active on this host; it has ${names}`);
  }
  for (const { network } of vm.nics ?? [])
    if (!networks.includes(network))
      reasons.push(`network ${network} is not on this host; it has ${networks.join(", ") || "none"}`);
  return reasons;
}

/** The machine itself: type, processor, devices. */
export function machineReasons(vm: VmInventory, here: Here): string[] {
  const reasons: string[] = [];
  const { machineType, cpuMode, hugepageBytes, memoryBytes, blockers = [] } = vm;
  if (machineType !== undefined && !here.machineTypes.includes(machineType))
    reasons.push(`machine type ${machineType} is unknown to this host's QEMU; it has ${here.machineTypes.join(", ")}`);
  const isUsable = cpuMode === undefined ? undefined : here.cpuModels?.get(cpuMode);
  if (isUsable === false) reasons.push(`this host cannot give a guest the CPU ${cpuMode}`);
  if (blockers.length > 0) reasons.push(`the VM cannot be migrated: ${blockers.join(", ")}`);
  const freeBytes = hugepageBytes === undefined ? 0 : (here.freeHugepages.get(hugepageBytes) ?? 0);
  if (hugepageBytes !== undefined && freeBytes < memoryBytes)
    reasons.push(`needs ${memoryBytes} bytes in pages of ${hugepageBytes}; ${freeBytes} are free here`);
  return [...reasons, ...deviceReasons(vm, here)];
}

export type MemoryView = { neededBytes: number; committedBytes: number; totalBytes: number; availableBytes: number };

/** `promisedBytes`: what the VMs of this host may still take of what is available. */
export function memoryReasons(memory: MemoryView & { promisedBytes: number }): string[] {
  const { neededBytes, committedBytes, totalBytes, availableBytes, promisedBytes } = memory;
  const reasons: string[] = [];
  if (availableBytes - promisedBytes < neededBytes)
    reasons.push(
      `the VM may use ${neededBytes} bytes of memory; ${availableBytes} are available here, of which the VMs of this host may still take ${promisedBytes}`,
    );
  if (committedBytes + neededBytes > totalBytes)
    reasons.push(
      `the VM may use ${neededBytes} bytes of memory; ${committedBytes} of this host's ${totalBytes} are committed`,
    );
  return reasons;
}

async function viewMemory(
  { virsh, settings }: Libvirt,
  vm: VmInventory,
): Promise<MemoryView & { promisedBytes: number }> {
  const [nodeinfo, text, meminfo] = await Promise.all([
    virsh("nodeinfo"),
    virsh("domstats", "--raw", "--nowait", "--balloon", "--list-active"),
    readText("/proc/meminfo"),
  ]);
  let [promisedBytes, committedBytes] = [0, 0];
  for (const stats of parseDomstats(text).values()) {
    const [maximum, rss] = [numberOf(stats, "balloon.maximum") ?? 0, numberOf(stats, "balloon.rss") ?? 0];
    promisedBytes += Math.max(0, maximum - rss) * KIB;
    committedBytes += maximum * KIB;
  }
  return {
    neededBytes: vm.hugepageBytes === undefined ? vm.memoryBytes + (vm.overheadBytes ?? 0) : (vm.overheadBytes ?? 0),
    committedBytes,
    promisedBytes,
    availableBytes: parseMeminfo(meminfo ?? "")?.availableBytes ?? 0,
    totalBytes: settings.memoryBytes ?? readNodeInfo(nodeinfo).memoryBytes,
  };
}

/** A VM of that UUID, or another of that name: libvirt would refuse to define it. */
async function nameReasons({ virsh }: Libvirt, { uuid, name }: VmInventory): Promise<string[]> {
  const { domain } = await lookAt(virsh, uuid);
  if (!hasLeft(domain)) return [`VM ${uuid} is on this host already: end and undefine it first`];
  const other = (await listDomains(virsh)).find((each) => each.name === name && each.uuid !== uuid);
  return other === undefined ? [] : [`this host has another VM named ${name} (${other.uuid}): rename one of them`];
}

/** CPU models for the machine type; null where this libvirt cannot tell. */
async function cpuModels({ virsh }: Libvirt, vm: VmInventory): Promise<Map<string, boolean> | null> {
  const machine = vm.machineType === undefined ? [] : ["--machine", vm.machineType];
  const type = vm.accelerator === undefined ? [] : ["--virttype", vm.accelerator === "tcg" ? "qemu" : "kvm"];
  try {
    return cpuModelsOf(parseXml(await virsh("domcapabilities", ...type, ...machine)));
  } catch (error) {
    if (error instanceof DriverError && error.reason === "hypervisor-refused") return null;
    throw error;
  }
}

async function lookHere(libvirt: Libvirt, vm: VmInventory): Promise<Here> {
  const { virsh, definitions } = libvirt;
  const [capabilities, models, networks, pools] = await Promise.all([
    definitions.capabilities(),
    cpuModels(libvirt, vm),
    networksOf(libvirt),
    poolsOf(libvirt),
  ]);
  const free = vm.hugepageBytes === undefined ? "" : await virsh("freepages", "--all");
  const hugepages = hugepagePoolsOf(capabilities, parseFreePages(free));
  return {
    machineTypes: machineTypesOf(capabilities),
    cpuModels: models,
    networks,
    pools,
    freeHugepages: new Map(hugepages.map(({ pageBytes, freeBytes }) => [pageBytes, freeBytes])),
  };
}

export async function preflight(libvirt: Libvirt, spec: MigrationSpec): Promise<PreflightResult> {
  const { vm } = spec;
  const [here, memory, names] = await Promise.all([
    lookHere(libvirt, vm),
    viewMemory(libvirt, vm),
    nameReasons(libvirt, vm),
  ]);
  const reasons = [...machineReasons(vm, here), ...libvirtReasons(spec), ...names, ...memoryReasons(memory)];
  return reasons.length === 0 ? { ok: true } : { ok: false, reasons };
}
