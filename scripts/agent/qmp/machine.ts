// From a template to a command line, and from a command line to a VM.
import { mkdirSync } from "node:fs";
import path from "node:path";
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";
import { DriverError } from "../driver.ts";
import type { MachineTemplate, QmpSettings } from "./config.ts";
import { writeDescriptor, type Descriptor } from "./descriptor.ts";
import { startProcess } from "./process.ts";

export type Machine = Descriptor["vm"];

/** The template for the VM's machine type and CPU mode, or why there is none. */
export function findTemplate(
  machines: MachineTemplate[],
  vm: Pick<VmInventory, "machineType" | "cpuMode">,
): MachineTemplate | string {
  const known = machines.map((each) => (each.cpuMode === undefined ? each.type : `${each.type} with ${each.cpuMode}`));
  if (vm.machineType === undefined) return "the VM's machine type is unknown: its inventory must say it";
  const sameCpu = (each: MachineTemplate): boolean =>
    each.cpuMode === undefined || vm.cpuMode === undefined || each.cpuMode === vm.cpuMode;
  return (
    machines.find((each) => each.type === vm.machineType && sameCpu(each)) ??
    `no template for machine type ${vm.machineType}, CPU mode ${vm.cpuMode ?? "unknown"}; this host has: ${known.join(", ")}`
  );
}

/** QEMU splits option values at commas; a doubled one is a comma. */
const quoteCommas = (value: string): string => value.replaceAll(",", ",,");

function fillIn(argument: string, vm: Machine, directory: string): string {
  return argument
    .replaceAll("{uuid}", vm.uuid)
    .replaceAll("{directory}", directory)
    .replaceAll("{name}", () => quoteCommas(vm.name));
}

/** The files of a VM and its command line, as an argument array that no shell ever sees. */
export function describeMachine(
  template: MachineTemplate,
  directory: string,
  vm: Machine,
  incoming: Descriptor["incoming"],
): Descriptor {
  const file = (ending: string): string => path.join(directory, `${vm.uuid}.${ending}`);
  const [qmpSocket, pidFile, logFile] = [file("qmp"), file("pid"), file("log")];
  const own = ["-name", `guest=${quoteCommas(vm.name)}`, "-uuid", vm.uuid, "-machine", template.type];
  const size = ["-m", `${Math.ceil(vm.memoryBytes / 1024)}k`, "-smp", String(vm.vcpus)];
  const control = ["-qmp", `unix:${qmpSocket},server=on,wait=off`, "-pidfile", pidFile];
  const extra = template.arguments.map((each) => fillIn(each, vm, directory));
  const waiting = incoming === undefined ? [] : ["-S", "-incoming", "defer"];
  const argv = [template.binary, ...own, ...size, ...extra, ...control, ...waiting];
  return { vm, argv, qmpSocket, pidFile, logFile, ...(incoming === undefined ? {} : { incoming }) };
}

/**
 * Starts a VM on the host of these settings: the descriptor first, then the process, so that no process is ever unknown.
 * Throws DriverError when the machine has no template or QEMU cannot be executed.
 */
export async function launch(
  settings: QmpSettings,
  vm: Machine,
  incoming?: Descriptor["incoming"],
): Promise<Descriptor> {
  const template = findTemplate(settings.machines, vm);
  if (typeof template === "string") throw new DriverError("bad-machine", template);
  mkdirSync(settings.directory, { recursive: true, mode: 0o700 });
  const machine = describeMachine(template, settings.directory, vm, incoming);
  writeDescriptor(settings.directory, machine);
  await startProcess(machine.argv, machine.logFile);
  return machine;
}
