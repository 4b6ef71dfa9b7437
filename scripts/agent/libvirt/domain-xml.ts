// A domain's XML as the inventory of a VM. Pure.
import { MIB } from "../../../worker/model/units.ts";
import type { VmInventory, VmState } from "../../../worker/model/wire/inventory.ts";
import { blockersOf, disksOf, hugepageBytesOf, nicsOf, type Storage } from "./devices.ts";
import { all, attribute, one, sizeOf, type Element } from "./xml.ts";

/** Of x86-64, where the XML leaves the size to the host. */
const HUGEPAGE_BYTES = 2 * MIB;

const ACCELERATORS: Record<string, VmInventory["accelerator"]> = { kvm: "kvm", qemu: "tcg" };

/** A named model's name, else the mode. */
function cpuModeOf(domain: Element): string | undefined {
  const cpu = one(domain, "cpu");
  const mode = attribute(cpu, "mode");
  const model = one(cpu, "model")?.text;
  // `host-model` of a running VM is shown as the model that it became.
  return mode === undefined || mode === "custom" ? model : mode;
}

const isPinned = (domain: Element): boolean =>
  attribute(one(domain, "vcpu"), "cpuset") !== undefined || all(domain, "cputune", "vcpupin").length > 0;

/** `strict` memory from a set that names a single node. */
function isNumaBound(domain: Element): boolean {
  const memory = one(domain, "numatune", "memory");
  return attribute(memory, "mode") !== "preferred" && /^\d+$/.test(attribute(memory, "nodeset") ?? "");
}

const unlessUndefined = <T extends object>(all: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };

/** `maxMemory` is what could be plugged in; `memory` is what the guest may use now, the balloon let out. */
function sizesOf(domain: Element): Pick<VmInventory, "uuid" | "name" | "vcpus" | "memoryBytes"> {
  const [uuid, name] = [one(domain, "uuid")?.text, one(domain, "name")?.text];
  const memoryBytes = sizeOf(one(domain, "memory"));
  const vcpu = one(domain, "vcpu");
  const vcpus = Number(attribute(vcpu, "current") ?? vcpu?.text);
  if (uuid === undefined || name === undefined || memoryBytes === null || !(vcpus >= 1))
    throw new Error(`a domain's XML lacks its uuid, name, memory or vcpu: ${name ?? uuid ?? "unnamed"}`);
  return { uuid, name, vcpus, memoryBytes };
}

const unlessEmpty = <T>(list: T[]): T[] | undefined => (list.length > 0 ? list : undefined);

/** Throws for a domain without UUID, name or memory: a half-known VM is not reported. */
export function toVm(domain: Element, state: VmState, storage: Storage): VmInventory {
  const [disks, nics] = [disksOf(domain, storage), nicsOf(domain)];
  return {
    ...sizesOf(domain),
    state,
    ...unlessUndefined({
      cpuMode: cpuModeOf(domain)?.slice(0, 64),
      accelerator: ACCELERATORS[attribute(domain, "type") ?? ""],
      machineType: attribute(one(domain, "os", "type"), "machine"),
      hugepageBytes: hugepageBytesOf(domain, HUGEPAGE_BYTES),
      pinned: isPinned(domain) || undefined,
      numaBound: isNumaBound(domain) || undefined,
      disks: unlessEmpty(disks),
      nics: unlessEmpty(nics),
      blockers: unlessEmpty(blockersOf(domain, disks)),
    }),
  };
}
