// A domain's devices: its disks, its networks, and what ties it to its host. Pure.
import type { Disk, VmInventory } from "../../../worker/model/wire/inventory.ts";
import { poolOf, type Pool } from "./storage.ts";
import { all, attribute, one, scaled, type Element } from "./xml.ts";

export type Storage = {
  pools: readonly Pool[];
  /** Paths on file systems that other hosts mount too. */
  sharedPaths: ReadonlySet<string>;
  /** Sizes of this domain's disks in bytes, by target. */
  capacities: ReadonlyMap<string, number>;
};

/** Attributes of a disk's source that name a place on this host. */
const PATHS = ["file", "dev", "dir"];

function pathOf(disk: Element): string | undefined {
  const source = one(disk, "source");
  return PATHS.map((name) => attribute(source, name)).find((path) => path !== undefined);
}

const disksIn = (domain: Element): Element[] =>
  // A drive without a medium holds nothing.
  all(domain, "devices", "disk").filter((disk) => one(disk, "source") !== null);

/** Local paths of all disks. */
export const diskPaths = (domain: Element): string[] =>
  disksIn(domain)
    .map(pathOf)
    .filter((path) => path !== undefined);

function placeOf(disk: Element, { pools, sharedPaths }: Storage): Pick<Disk, "pool" | "shared"> {
  if (attribute(disk, "type") === "network") return { shared: true };
  const named = attribute(one(disk, "source"), "pool");
  const path = pathOf(disk);
  const pool = pools.find(({ name }) => name === named) ?? (path === undefined ? null : poolOf(path, pools));
  if (pool !== null) return { pool: pool.name, shared: pool.shared };
  return { shared: path !== undefined && sharedPaths.has(path), ...(named === undefined ? {} : { pool: named }) };
}

export function disksOf(domain: Element, storage: Storage): Disk[] {
  return disksIn(domain).map((disk) => {
    const id = attribute(one(disk, "target"), "dev") ?? "unnamed";
    const bytes = storage.capacities.get(id);
    const cacheMode = attribute(one(disk, "driver"), "cache");
    return {
      id,
      ...placeOf(disk, storage),
      readOnly: one(disk, "readonly") !== null,
      ...(bytes === undefined ? {} : { bytes }),
      ...(cacheMode === undefined ? {} : { cacheMode }),
    };
  });
}

/** libvirt's networks and bridges; user-mode networking needs nothing of the host. */
export function nicsOf(domain: Element): NonNullable<VmInventory["nics"]> {
  return all(domain, "devices", "interface").flatMap((nic) => {
    const source = one(nic, "source");
    const network = attribute(source, "network") ?? attribute(source, "bridge") ?? attribute(source, "dev");
    return network === undefined || attribute(nic, "type") === "vhostuser" ? [] : [{ network }];
  });
}

const HOSTDEV: Record<string, string> = { pci: "vfio", mdev: "vfio" };
const INTERFACE: Record<string, string> = { hostdev: "vfio", vhostuser: "vhost-user", vdpa: "vdpa" };
const DISK: Record<string, string> = { vhostuser: "vhost-user", nvme: "vfio" };

/** What QEMU or libvirt would refuse to migrate, each once, in the inventory's words. */
export function blockersOf(domain: Element, disks: readonly Disk[]): string[] {
  const devices = (name: string): Element[] => all(domain, "devices", name);
  const type = (element: Element | null): string => attribute(element, "type") ?? "";
  const known = (names: Record<string, string>, name: string): string[] => [names[name] ?? []].flat();
  const tscIsFixed = all(domain, "clock", "timer").some(
    (timer) => attribute(timer, "name") === "tsc" && attribute(timer, "frequency") !== undefined,
  );
  const hasInvtsc = all(domain, "cpu", "feature").some(
    (feature) => attribute(feature, "name") === "invtsc" && attribute(feature, "policy") !== "disable",
  );
  const blockers = [
    ...devices("hostdev").map((each) => HOSTDEV[type(each)] ?? "hostdev"),
    ...devices("interface").flatMap((each) => known(INTERFACE, type(each))),
    ...devices("disk").flatMap((each) => known(DISK, type(each))),
    ...devices("filesystem").map((each) => (type(one(each, "driver")) === "virtiofs" ? "virtiofs" : "9p")),
    ...devices("shmem").map(() => "ivshmem"),
    ...devices("tpm").flatMap((each) => (type(one(each, "backend")) === "passthrough" ? ["local-tpm"] : [])),
    ...all(domain, "launchSecurity").map((each) => type(each) || "launch-security"),
    ...(attribute(one(domain, "cpu"), "migratable") === "off" ? ["cpu-not-migratable"] : []),
    ...(hasInvtsc && !tscIsFixed ? ["invtsc"] : []),
    ...(disks.some(({ shared }) => shared === false) ? ["local-disk"] : []),
  ];
  return [...new Set(blockers)];
}

/** Page size of the guest's memory where it lies in huge pages; the host's default size is not in the XML. */
export function hugepageBytesOf(domain: Element, defaultBytes: number): number | undefined {
  const hugepages = one(domain, "memoryBacking", "hugepages");
  if (hugepages === null) return undefined;
  const page = one(hugepages, "page");
  return scaled(attribute(page, "size"), attribute(page, "unit")) ?? defaultBytes;
}
