// What libvirt says of its host and its emulators. Pure.
import type { HostInventory } from "../../../worker/model/wire/inventory.ts";
import { parseFields } from "./raw.ts";
import { all, attribute, one, scaled, sizeOf, type Element } from "./xml.ts";

/** `nodeinfo`: processors, and memory in bytes. Throws when it says neither. */
export function readNodeInfo(text: string): { cores: number; memoryBytes: number } {
  const fields = parseFields(text);
  const [memory, unit] = (fields["Memory size"] ?? "").split(" ");
  const [cores, memoryBytes] = [Number(fields["CPU(s)"]), scaled(memory, unit)];
  if (!(cores > 0) || memoryBytes === null) throw new Error(`no answer of nodeinfo: ${text.slice(0, 200)}`);
  return { cores, memoryBytes };
}

/** `version`: libvirt's own and the hypervisor's. */
export function readVersion(text: string): { libvirt?: string; hypervisor?: string } {
  const fields = parseFields(text);
  const libvirt = /libvirt ([\d.]+)/.exec(fields["Using library"] ?? "")?.[1];
  const hypervisor = fields["Running hypervisor"];
  return { ...(libvirt === undefined ? {} : { libvirt }), ...(hypervisor === undefined ? {} : { hypervisor }) };
}

const cellsOf = (capabilities: Element): Element[] => all(capabilities, "host", "topology", "cells", "cell");

export function numaNodesOf(capabilities: Element): NonNullable<HostInventory["numaNodes"]> {
  return cellsOf(capabilities).flatMap((cell) => {
    const [cores, memoryBytes] = [Number(attribute(one(cell, "cpus"), "num")), sizeOf(one(cell, "memory"))];
    return cores > 0 && memoryBytes !== null ? [{ cores, memoryBytes }] : [];
  });
}

/** Pools of pages larger than the smallest that the host has; `free` by page size in bytes, from `freepages`. */
export function hugepagePoolsOf(
  capabilities: Element,
  free: ReadonlyMap<number, number>,
): NonNullable<HostInventory["hugepagePools"]> {
  const totals = new Map<number, number>();
  for (const pages of cellsOf(capabilities).flatMap((cell) => all(cell, "pages"))) {
    const pageBytes = scaled(attribute(pages, "size"), attribute(pages, "unit"));
    if (pageBytes !== null) totals.set(pageBytes, (totals.get(pageBytes) ?? 0) + Number(pages.text));
  }
  const smallest = Math.min(...totals.keys());
  return [...totals]
    .filter(([pageBytes, count]) => pageBytes > smallest && count > 0)
    .map(([pageBytes, count]) => ({
      pageBytes,
      totalBytes: count * pageBytes,
      freeBytes: (free.get(pageBytes) ?? 0) * pageBytes,
    }));
}

/** Machine types of the host's own architecture, aliases included, sorted. */
export function machineTypesOf(capabilities: Element): string[] {
  const arch = one(capabilities, "host", "cpu", "arch")?.text;
  const guests = all(capabilities, "guest", "arch").filter((each) => attribute(each, "name") === arch);
  const machines = guests.flatMap((guest) => [...all(guest, "machine"), ...all(guest, "domain", "machine")]);
  return [...new Set(machines.map((machine) => machine.text))].filter((name) => name !== "").sort();
}

/** Named CPU models and CPU modes that guests can have here, by `domcapabilities`: name to whether it is usable. */
export function cpuModelsOf(domainCapabilities: Element): Map<string, boolean> {
  const models = new Map<string, boolean>();
  for (const mode of all(domainCapabilities, "cpu", "mode")) {
    const name = attribute(mode, "name") ?? "";
    if (name !== "custom") models.set(name, attribute(mode, "supported") === "yes");
    else for (const model of all(mode, "model")) models.set(model.text, attribute(model, "usable") !== "no");
  }
  return models;
}
