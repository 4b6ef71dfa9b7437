// Could this host run the VM? Reads, and changes nothing. libvirt's own checks come with the migration; these come before, with
// their numbers.
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import type { PreflightCheck } from "../../../worker/model/wire/question.ts";
import { DriverError, lookedAt, type MigrationSpec } from "../driver.ts";
import { freePortOf } from "../linux/listening.ts";
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

function storageReasons({ disks = [] }: VmInventory, { pools }: Here): string[] {
  const names = pools.map(({ name }) => name).join(", ") || "none";
  return disks.flatMap(({ id, shared, pool }) => {
    if (shared !== true) return [`disk ${id} is on its host only, and the libvirt driver copies no disks`];
    if (pool === undefined || pools.some(({ name }) => name === pool)) return [];
    return [`storage pool ${pool} of disk ${id} is not active on this host; it has ${names}`];
  });
}

function networkReasons({ nics = [] }: VmInventory, { networks }: Here): string[] {
  return nics.flatMap(({ network }) =>
    networks.includes(network)
      ? []
      : [`network ${network} is not on this host; it has ${networks.join(", ") || "none"}`],
  );
}

function machineReasons({ machineType }: VmInventory, { machineTypes }: Here): string[] {
  if (machineType === undefined || machineTypes.includes(machineType)) return [];
  return [`machine type ${machineType} is unknown to this host's QEMU; it has ${machineTypes.join(", ")}`];
}

function cpuCheck({ cpuMode }: VmInventory, { cpuModels }: Here): PreflightCheck {
  const isUsable = cpuMode === undefined ? undefined : cpuModels?.get(cpuMode);
  if (isUsable === false) return lookedAt("cpu", [`this host cannot give a guest the CPU ${cpuMode}`], "");
  const found = `this host can give a guest the CPU ${cpuMode}`;
  const unknown = `libvirt does not say whether this host can give a guest the CPU ${cpuMode ?? "that it has, which is not known"}`;
  return { check: "cpu", ok: isUsable ?? null, detail: isUsable === undefined ? unknown : found };
}

function deviceReasons({ blockers = [] }: VmInventory): string[] {
  return blockers.length > 0 ? [`the VM cannot be migrated: ${blockers.join(", ")}`] : [];
}

function hugepageReasons({ hugepageBytes, memoryBytes }: VmInventory, { freeHugepages }: Here): string[] {
  const freeBytes = hugepageBytes === undefined ? 0 : (freeHugepages.get(hugepageBytes) ?? 0);
  if (hugepageBytes === undefined || freeBytes >= memoryBytes) return [];
  return [`needs ${memoryBytes} bytes in pages of ${hugepageBytes}; ${freeBytes} are free here`];
}

/** The machine itself: type, processor, devices. */
export function machineChecks(vm: VmInventory, here: Here): PreflightCheck[] {
  return [
    lookedAt("machine", machineReasons(vm, here), `machine type ${vm.machineType ?? "not stated"} is known here`),
    cpuCheck(vm, here),
    lookedAt("devices", [...deviceReasons(vm), ...hugepageReasons(vm, here)], "no device is in the way"),
    lookedAt("storage", storageReasons(vm, here), "every disk of the VM is shared, and its pool is here"),
    lookedAt("network", networkReasons(vm, here), "every network of the VM is here"),
  ];
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

/** The range that libvirt takes ports from unless qemu.conf says another. */
const [PORT_MIN, PORT_MAX] = [49_152, 49_215];

async function portCheck({ settings }: Libvirt): Promise<PreflightCheck> {
  const ports = Array.from({ length: PORT_MAX - PORT_MIN + 1 }, (_, index) => PORT_MIN + index);
  const free = await freePortOf(settings.migrateAddress, ports);
  const range = `${PORT_MIN} to ${PORT_MAX}, libvirt's own range unless qemu.conf has another`;
  if ("port" in free) return lookedAt("ports", [], `port ${free.port} is free, of ${range}`);
  // qemu.conf is not ours to read: with another range nothing is in the way.
  return { check: "ports", ok: null, detail: `no port is free of ${range}: ${free.why}` };
}

function tlsCheck({ settings: { tls } }: Libvirt): PreflightCheck {
  if (!tls) return lookedAt("tls", [], "memory crosses unencrypted, as this host's settings permit");
  return {
    check: "tls",
    ok: null,
    detail: "QEMU encrypts with the certificates of qemu.conf, which nobody can see here",
  };
}

const memoryFound = (memory: MemoryView & { promisedBytes: number }): string =>
  `the VM may use ${memory.neededBytes} bytes; ${memory.availableBytes - memory.promisedBytes} are available here beyond what this host's VMs may still take, ${memory.totalBytes - memory.committedBytes} are not committed`;

export async function preflight(libvirt: Libvirt, spec: MigrationSpec): Promise<PreflightCheck[]> {
  const { vm } = spec;
  const [here, memory, names] = await Promise.all([
    lookHere(libvirt, vm),
    viewMemory(libvirt, vm),
    nameReasons(libvirt, vm),
  ]);
  return [
    ...machineChecks(vm, here),
    lookedAt("parameters", libvirtReasons(spec), `libvirt can run ${spec.mechanism} with these parameters`),
    lookedAt("place", names, "nothing of the VM is here, and nothing of its name"),
    lookedAt("memory", memoryReasons(memory), memoryFound(memory)),
    await portCheck(libvirt),
    tlsCheck(libvirt),
  ];
}
