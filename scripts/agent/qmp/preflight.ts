// Could this host run the VM? Reads, and changes nothing.
import { isPreparedForPostCopy } from "../../../worker/model/migration/in-flight-rules.ts";
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import type { MigrationSpec, PreflightResult } from "../driver.ts";
import { parseMeminfo } from "../linux/proc.ts";
import { readText } from "../linux/text.ts";
import { parameterReasons } from "../qemu-parameters.ts";
import type { QmpSettings } from "./config.ts";
import { readDescriptor } from "./descriptor.ts";
import { hostMemoryBytes, type Binary } from "./host.ts";
import { findTemplate } from "./machine.ts";
import { findProcess } from "./process.ts";
import { guestMemory } from "./sample.ts";
import { neverRan, type Vm } from "./vm.ts";

function deviceReasons(vm: VmInventory, networks: string[]): string[] {
  const reasons: string[] = [];
  for (const disk of vm.disks ?? []) {
    if (disk.shared !== true) reasons.push(`disk ${disk.id} is on its host only, and the qmp driver copies no disks`);
    else if (disk.readOnly !== true)
      reasons.push(`disk ${disk.id} is shared and writable: nothing fences it if both hosts' QEMUs opened it`);
  }
  for (const { network } of vm.nics ?? [])
    if (!networks.includes(network))
      reasons.push(`network ${network} is not on this host; it has ${networks.join(", ") || "none"}`);
  return reasons;
}

/** The machine itself: template, QEMU, devices. */
export function machineReasons(settings: QmpSettings, binary: Binary, vm: VmInventory): string[] {
  const reasons: string[] = [];
  const template = findTemplate(settings.machines, vm);
  if (typeof template === "string") reasons.push(template);
  else if (!binary.machineTypes.includes(template.type))
    reasons.push(`${template.binary} on this host cannot be executed or has no machine type ${template.type}`);
  if ((vm.blockers ?? []).length > 0) reasons.push(`the VM cannot be migrated: ${vm.blockers?.join(", ")}`);
  if (vm.hugepageBytes !== undefined)
    reasons.push(
      `the VM's memory is in pages of ${vm.hugepageBytes} bytes: the qmp driver starts machines without hugepages`,
    );
  reasons.push(...deviceReasons(vm, settings.host.networks ?? []));
  return reasons;
}

/** `promised`: what VMs here may still take of the available memory; `committed`: the most that all of them may use. */
export type MemoryView = {
  neededBytes: number;
  availableBytes: number;
  promisedBytes: number;
  committedBytes: number;
  totalBytes: number;
};

export function memoryReasons(memory: MemoryView): string[] {
  const reasons: string[] = [];
  if (memory.availableBytes - memory.promisedBytes < memory.neededBytes)
    reasons.push(
      `the VM may use ${memory.neededBytes} bytes of memory; ${memory.availableBytes} are available here, of which the VMs of this host may still take ${memory.promisedBytes}`,
    );
  if (memory.committedBytes + memory.neededBytes > memory.totalBytes)
    reasons.push(
      `the VM may use ${memory.neededBytes} bytes of memory; ${memory.committedBytes} of this host's ${memory.totalBytes} are committed`,
    );
  return reasons;
}

async function viewMemory(settings: QmpSettings, vms: Vm[], neededBytes: number): Promise<MemoryView> {
  let [promisedBytes, committedBytes] = [0, 0];
  for (const vm of vms) {
    const { memoryBytes, overheadBytes } = vm.descriptor().vm;
    const id = await vm.process();
    if (id === null) continue;
    const resident = (await guestMemory(vm, id))?.residentBytes ?? 0;
    promisedBytes += Math.max(0, memoryBytes - resident);
    committedBytes += memoryBytes + (overheadBytes ?? 0);
  }
  const meminfo = parseMeminfo((await readText("/proc/meminfo")) ?? "");
  const totalBytes = (await hostMemoryBytes(settings)) ?? 0;
  return { neededBytes, availableBytes: meminfo?.availableBytes ?? 0, promisedBytes, committedBytes, totalBytes };
}

async function postCopyReasons(spec: MigrationSpec): Promise<string[]> {
  if (!isPreparedForPostCopy(spec)) return [];
  const allowed = (await readText("/proc/sys/vm/unprivileged_userfaultfd"))?.trim();
  if (process.getuid?.() === 0 || allowed === "1") return [];
  return [
    `post-copy needs userfaultfd, and vm.unprivileged_userfaultfd is ${allowed ?? "absent"} for user ${process.getuid?.()}: set it to 1 or run QEMU as root`,
  ];
}

export async function preflight(
  settings: QmpSettings,
  binary: Binary,
  vms: Vm[],
  spec: MigrationSpec,
): Promise<PreflightResult> {
  const reasons = [...machineReasons(settings, binary, spec.vm), ...parameterReasons(spec)];
  const here = readDescriptor(settings.directory, spec.vm.uuid);
  if (here !== null && (!neverRan(here) || (await findProcess(here)) !== null))
    reasons.push(
      `VM ${spec.vm.uuid} is on this host already, as ${here.vm.name}: end it and remove its descriptor first`,
    );
  const neededBytes = spec.vm.memoryBytes + (spec.vm.overheadBytes ?? 0);
  reasons.push(...memoryReasons(await viewMemory(settings, vms, neededBytes)), ...(await postCopyReasons(spec)));
  return reasons.length === 0 ? { ok: true } : { ok: false, reasons };
}
