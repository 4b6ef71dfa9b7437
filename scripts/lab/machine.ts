// The lab's machines: several hosts on one machine, each a folder with its own settings of the qmp driver.
import { randomUUID } from "node:crypto";
import path from "node:path";
import { MIB } from "../../worker/model/units.ts";
import { qmpConfig, type QmpConfig, type QmpSettings } from "../agent/qmp/config.ts";
import { listDescriptors, removeDescriptor, type Descriptor } from "../agent/qmp/descriptor.ts";
import { launch, type Machine } from "../agent/qmp/machine.ts";
import { findProcess, killAndProve } from "../agent/qmp/process.ts";
import type { Guest } from "./build-guest.ts";

const MACHINE_TYPE = "pc-i440fx-7.2";
const CPU = "qemu64";
const KILL_TIMEOUT_MS = 10_000;
/**
 * Guest memory is a whole number of MiB and this: an odd size keeps QEMU 7.2 off a fast path of dirty logging that is suspected
 * of losing writes under TCG.
 */
const ODD_BYTES = 131_072;

/** What a guest does, as its init takes it from the kernel's command line. */
export type Workload = {
  filledMib: number;
  /** Share of the filled pages that have content, 0…1. */
  nonzeroRatio: number;
  workingSetMib: number;
  pagesPerSecond: number;
};

const IDLE: Workload = { filledMib: 16, nonzeroRatio: 1, workingSetMib: 8, pagesPerSecond: 0 };

function commandLine(work: Workload): string {
  const percent = Math.round(work.nonzeroRatio * 100);
  return [
    "console=ttyS0 quiet panic=-1 tsc=reliable",
    `drover.fill=${work.filledMib} drover.nonzero=${percent}`,
    `drover.set=${work.workingSetMib} drover.rate=${work.pagesPerSecond}`,
  ].join(" ");
}

function machineArguments(guest: Guest, work: Workload): string[] {
  // TCG: nested KVM is often broken where a lab runs. A small translation buffer keeps the process small.
  const board = ["-accel", "tcg,thread=multi,tb-size=64", "-cpu", CPU, "-nodefaults", "-display", "none", "-no-reboot"];
  const boot = ["-kernel", guest.kernel, "-initrd", guest.initrd, "-append", commandLine(work)];
  // A file loses nothing, whoever reads it and whenever.
  return [...board, ...boot, "-chardev", "file,id=serial,path={directory}/{uuid}.serial", "-serial", "chardev:serial"];
}

export type LabHost = { directory: string; cores: number; memoryBytes: number; migrationBytesPerSecond: number };

/** Settings of the qmp driver for one host of the lab. A guest that arrives has its workload in its memory. */
export function labHostConfig(guest: Guest, host: LabHost, work: Workload = IDLE): QmpConfig {
  return {
    name: "qmp",
    address: "127.0.0.1",
    measureNonzero: true,
    // All hosts of the lab are this machine: each speaks of its own VMs only.
    scope: "vms",
    machines: [{ type: MACHINE_TYPE, cpuMode: CPU, arguments: machineArguments(guest, work) }],
    ...host,
  };
}

export type LabVm = { name: string; memoryMib: number; vcpus: number; work: Workload };

/** Starts a guest on the host. It is up when its serial line says `FILLED`. */
export async function startGuest(guest: Guest, host: LabHost, vm: LabVm): Promise<Descriptor> {
  const settings: QmpSettings = qmpConfig.parse(labHostConfig(guest, host, vm.work));
  const machine: Machine = {
    uuid: randomUUID(),
    name: vm.name,
    vcpus: vm.vcpus,
    memoryBytes: vm.memoryMib * MIB + ODD_BYTES,
    cpuMode: CPU,
    machineType: MACHINE_TYPE,
  };
  return launch(settings, machine);
}

/** Where a guest on this host writes its serial line. */
export const serialFile = (directory: string, uuid: string): string => path.join(directory, `${uuid}.serial`);

/** Kills every guest that was started or arrived on this host, by the process its descriptor names, and nothing else. */
export async function endGuests(directory: string): Promise<void> {
  for (const each of listDescriptors(directory)) {
    const id = await findProcess(each);
    if (id !== null) await killAndProve(id, KILL_TIMEOUT_MS);
    removeDescriptor(directory, each);
  }
}
