// Could this host run the VM? Reads, and changes nothing.
import { isPreparedForPostCopy } from "../../../worker/model/migration/in-flight-rules.ts";
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import type { PreflightCheck } from "../../../worker/model/wire/question.ts";
import { lookedAt, type MigrationSpec } from "../driver.ts";
import { freePortOf } from "../linux/listening.ts";
import { parseMeminfo } from "../linux/proc.ts";
import { readText } from "../linux/text.ts";
import { parameterReasons } from "../qemu-parameters.ts";
import type { QmpSettings } from "./config.ts";
import { readDescriptor } from "./descriptor.ts";
import { hostMemoryBytes, type Binary } from "./host.ts";
import { findTemplate } from "./machine.ts";
import { findProcess } from "./process.ts";
import { guestMemory } from "./sample.ts";
import { tlsCheck } from "./tls.ts";
import { neverRan, type Vm } from "./vm.ts";

function storageReasons({ disks = [] }: VmInventory): string[] {
  return disks.flatMap(({ id, shared, readOnly }) => {
    if (shared !== true) return [`disk ${id} is on its host only, and the qmp driver copies no disks`];
    return readOnly === true
      ? []
      : [`disk ${id} is shared and writable: nothing fences it if both hosts' QEMUs opened it`];
  });
}

function networkReasons({ nics = [] }: VmInventory, networks: readonly string[]): string[] {
  return nics.flatMap(({ network }) =>
    networks.includes(network)
      ? []
      : [`network ${network} is not on this host; it has ${networks.join(", ") || "none"}`],
  );
}

function deviceReasons({ blockers = [], hugepageBytes }: VmInventory): string[] {
  return [
    ...(blockers.length > 0 ? [`the VM cannot be migrated: ${blockers.join(", ")}`] : []),
    ...(hugepageBytes === undefined
      ? []
      : [`the VM's memory is in pages of ${hugepageBytes} bytes: the qmp driver starts machines without hugepages`]),
  ];
}

/** Template and QEMU: whether the machine is known here, and with that CPU. */
function templateChecks({ machines }: QmpSettings, binary: Binary, vm: VmInventory): PreflightCheck[] {
  const { machineType, cpuMode } = vm;
  const template = findTemplate(machines, vm);
  const cpu = `the VM's CPU mode is ${cpuMode ?? "not stated"}`;
  if (typeof template !== "string") {
    const { type, binary: program } = template;
    const reasons = binary.machineTypes.includes(type)
      ? []
      : [`${program} on this host cannot be executed or has no machine type ${type}`];
    const found = `${program} ${binary.version ?? ""} has machine type ${type}`;
    return [lookedAt("machine", reasons, found), lookedAt("cpu", [], `${cpu}; there is a template for it`)];
  }
  // The type alone is there: it is the CPU that is not.
  const isCpu = typeof findTemplate(machines, machineType === undefined ? {} : { machineType }) !== "string";
  return isCpu
    ? [lookedAt("machine", [], `machine type ${machineType} is known here`), lookedAt("cpu", [template], cpu)]
    : [lookedAt("machine", [template], "")];
}

/** The machine itself: template, QEMU, devices. */
export function machineChecks(settings: QmpSettings, binary: Binary, vm: VmInventory): PreflightCheck[] {
  return [
    ...templateChecks(settings, binary, vm),
    lookedAt("devices", deviceReasons(vm), "no device is in the way"),
    lookedAt("storage", storageReasons(vm), `${vm.disks?.length ?? 0} disks, all shared and read-only`),
    lookedAt("network", networkReasons(vm, settings.host.networks ?? []), "every network of the VM is here"),
  ];
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

async function placeReasons({ directory }: QmpSettings, { uuid }: VmInventory): Promise<string[]> {
  const here = readDescriptor(directory, uuid);
  if (here === null || (neverRan(here) && (await findProcess(here)) === null)) return [];
  return [`VM ${uuid} is on this host already, as ${here.vm.name}: end it and remove its descriptor first`];
}

async function portCheck({ address }: QmpSettings): Promise<PreflightCheck> {
  const free = await freePortOf(address.replace(/^\[|\]$/g, ""), [0]);
  const reasons = "why" in free ? [`QEMU could not listen at ${address}: ${free.why}`] : [];
  return lookedAt("ports", reasons, `QEMU can listen at ${address}, on a port that it finds`);
}

const memoryFound = ({ neededBytes, availableBytes, promisedBytes, committedBytes, totalBytes }: MemoryView): string =>
  `the VM may use ${neededBytes} bytes; ${availableBytes - promisedBytes} are available here beyond what this host's VMs may still take, ${totalBytes - committedBytes} are not committed`;

export async function preflight(
  settings: QmpSettings,
  binary: Binary,
  vms: Vm[],
  spec: MigrationSpec,
): Promise<PreflightCheck[]> {
  const neededBytes = spec.vm.memoryBytes + (spec.vm.overheadBytes ?? 0);
  const memory = await viewMemory(settings, vms, neededBytes);
  const parameters = [...parameterReasons(spec), ...(await postCopyReasons(spec))];
  return [
    ...machineChecks(settings, binary, spec.vm),
    lookedAt("parameters", parameters, `QEMU can run ${spec.mechanism} with these parameters`),
    lookedAt("place", await placeReasons(settings, spec.vm), "nothing of the VM is here"),
    lookedAt("memory", memoryReasons(memory), memoryFound(memory)),
    await portCheck(settings),
    await tlsCheck(settings, Date.now()),
  ];
}
