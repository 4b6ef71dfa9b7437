// What this host is, and which VMs it has.
import { readdir } from "node:fs/promises";
import { existsSync } from "node:fs";
import path from "node:path";
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import { DriverError, type DriverInventory } from "../driver.ts";
import { parseCpuinfo } from "../linux/proc.ts";
import { readText } from "../linux/text.ts";
import { hugepagePoolsOf, machineTypesOf, numaNodesOf, readNodeInfo, readVersion } from "./capabilities.ts";
import { diskPaths } from "./devices.ts";
import { toVm } from "./domain-xml.ts";
import { readDomains, type Domain } from "./domains.ts";
import type { Libvirt } from "./libvirt.ts";
import { numberOf, parseDomstats, parseFreePages, parseNames, type Stats } from "./raw.ts";
import { isOnSharedFileSystem, readPool, type Pool } from "./storage.ts";

const INTERFACES = "/sys/class/net";

/** An answer of something that not every libvirt or hypervisor has. */
const orNothing = (asked: Promise<string>): Promise<string> =>
  asked.catch((error: unknown) => {
    if (error instanceof DriverError && error.reason === "hypervisor-refused") return "";
    throw error;
  });

async function bridges(): Promise<string[]> {
  const names = await readdir(INTERFACES).catch(() => []);
  return names.filter((name) => existsSync(path.join(INTERFACES, name, "bridge")));
}

/** libvirt's active networks and the kernel's bridges; what the settings name wins. */
export async function networksOf({ virsh, settings }: Libvirt): Promise<string[]> {
  if (settings.host.networks !== undefined) return settings.host.networks;
  const known = parseNames(await orNothing(virsh("net-list", "--name")));
  return [...new Set([...known, ...(await bridges())])].sort();
}

export async function poolsOf({ virsh, definitions, settings }: Libvirt): Promise<Pool[]> {
  const names = parseNames(await orNothing(virsh("pool-list", "--name")));
  const pools = await Promise.all(
    names.map(async (name) => readPool(await definitions.pool(name), settings.sharedPools)),
  );
  return pools.filter((pool) => pool !== null);
}

/** Virtual sizes of a domain's disks, by target. */
function capacitiesOf(stats: Stats): Map<string, number> {
  const sizes = new Map<string, number>();
  for (let index = 0; index < (numberOf(stats, "block.count") ?? 0); index++) {
    const bytes = numberOf(stats, `block.${index}.capacity`);
    const name = stats[`block.${index}.name`];
    if (bytes !== null && name !== undefined) sizes.set(name, bytes);
  }
  return sizes;
}

async function vmsOf(libvirt: Libvirt, pools: Pool[]): Promise<VmInventory[]> {
  const { virsh, definitions } = libvirt;
  const [domains, stats] = await Promise.all([readDomains(virsh), virsh("domstats", "--raw", "--nowait", "--block")]);
  const blocks = parseDomstats(stats);
  const read = async ({ uuid, name, state }: Domain): Promise<VmInventory | null> => {
    try {
      const xml = await definitions.domain(uuid, name);
      const shared = await Promise.all(
        diskPaths(xml).map(async (file) => ((await isOnSharedFileSystem(file)) ? file : null)),
      );
      const sharedPaths = new Set(shared.filter((file) => file !== null));
      return toVm(xml, state, { pools, sharedPaths, capacities: capacitiesOf(blocks.get(name) ?? {}) });
    } catch (error) {
      // Gone between the list and the question.
      if (error instanceof DriverError && error.reason === "unknown-vm") return null;
      throw error;
    }
  };
  return (await Promise.all(domains.map(read))).filter((vm) => vm !== null);
}

/** Throws when libvirt does not answer: a half-known host is not reported. */
export async function inventory(libvirt: Libvirt): Promise<DriverInventory> {
  const { virsh, definitions, settings, events } = libvirt;
  events.open();
  const [nodeinfo, version, free, networks, pools, capabilities, cpuinfo] = await Promise.all([
    virsh("nodeinfo"),
    virsh("version"),
    orNothing(virsh("freepages", "--all")),
    networksOf(libvirt),
    poolsOf(libvirt),
    definitions.capabilities(),
    readText("/proc/cpuinfo"),
  ]);
  const node = readNodeInfo(nodeinfo);
  const { libvirt: libvirtVersion, hypervisor } = readVersion(version);
  const [numaNodes, hugepagePools] = [numaNodesOf(capabilities), hugepagePoolsOf(capabilities, parseFreePages(free))];
  return {
    hypervisor: "kvm",
    ...(hypervisor === undefined ? {} : { hypervisorVersion: hypervisor }),
    driver: { name: "libvirt", ...(libvirtVersion === undefined ? {} : { version: libvirtVersion }) },
    cpu: { ...parseCpuinfo(cpuinfo ?? ""), cores: settings.cores ?? node.cores },
    memoryBytes: settings.memoryBytes ?? node.memoryBytes,
    ...(numaNodes.length > 0 ? { numaNodes } : {}),
    ...(hugepagePools.length > 0 ? { hugepagePools } : {}),
    machineTypes: machineTypesOf(capabilities),
    pools: pools.map(({ name, shared }) => ({ name, shared })),
    ...(settings.migrationBytesPerSecond === undefined
      ? {}
      : { migration: { bytesPerSecond: settings.migrationBytesPerSecond } }),
    ...settings.host,
    networks,
    vms: await vmsOf(libvirt, pools),
  };
}
