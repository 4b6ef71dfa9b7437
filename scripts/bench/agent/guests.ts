// Fifty VMs for an agent to look after: real QEMU processes whose processors are halted, alone or under a libvirt of their own, or
// guests of the simulated hypervisor.
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { GIB, MIB } from "../../../worker/model/units.ts";
import type { AgentConfig } from "../../agent/config.ts";
import { listDomains } from "../../agent/libvirt/domains.ts";
import { qmpConfig, type QmpConfig } from "../../agent/qmp/config.ts";
import { listDescriptors } from "../../agent/qmp/descriptor.ts";
import { launch } from "../../agent/qmp/machine.ts";
import { findProcess } from "../../agent/qmp/process.ts";
import { serveWorld } from "../../agent/simulated/daemon.ts";
import { createWorld } from "../../agent/simulated/world.ts";
import { startLibvirt, whyNoLibvirt } from "../../lab/libvirt.ts";
import { endGuests } from "../../lab/machine.ts";

export const HOST_ID = "bench-01";

const BINARY = "qemu-system-x86_64";
const MACHINE = "pc-i440fx-7.2";
const VCPUS = 2;
/** From 128 MiB on dirty curves are measured. */
const MEMORY_BYTES = 256 * MIB;
const SEED = 1;

/** The `driver` of the agent's configuration; how many VMs run; `end` ends them. */
export type Guests = { driver: AgentConfig["driver"]; running: () => Promise<number>; end: () => Promise<void> };

const uuidOf = (index: number): string => `be000000-0000-4000-8000-${String(index).padStart(12, "0")}`;

/** Firmware that halts the processor with interrupts off: the guest runs, and costs nothing. */
function writeHaltingFirmware(file: string): void {
  const rom = Buffer.alloc(65_536, 0xf4);
  // At the reset vector: hlt; jmp to it again.
  rom.set([0xf4, 0xeb, 0xfd], 0xfff0);
  writeFileSync(file, rom);
}

const domainXml = (index: number, firmware: string): string =>
  `<domain type='qemu'>
  <name>guest-${index}</name>
  <uuid>${uuidOf(index)}</uuid>
  <memory unit='MiB'>${MEMORY_BYTES / MIB}</memory>
  <vcpu>${VCPUS}</vcpu>
  <os><type arch='x86_64' machine='${MACHINE}'>hvm</type><loader type='rom'>${firmware}</loader></os>
  <features><tcg><tb-cache unit='MiB'>1</tb-cache></tcg></features>
  <cpu mode='custom' match='exact' check='none'><model>qemu64</model></cpu>
</domain>
`;

/** Null when no libvirt can run here. */
export async function libvirtGuests(folder: string, count: number): Promise<Guests | null> {
  if (whyNoLibvirt() !== null) return null;
  const firmware = path.join(folder, "halt.rom");
  writeHaltingFirmware(firmware);
  const host = await startLibvirt(folder, "bench", 0);
  try {
    for (let index = 0; index < count; index++) {
      const file = path.join(folder, "domain.xml");
      writeFileSync(file, domainXml(index, firmware));
      await host.virsh("create", file);
    }
  } catch (error) {
    await host.stop();
    throw error;
  }
  const running = async (): Promise<number> => (await listDomains(host.virsh)).length;
  return { driver: { ...host.config, scope: "machine" }, running, end: host.stop };
}

/** Null when there is no QEMU here. */
export async function qemuGuests(folder: string, count: number): Promise<Guests | null> {
  const version = await promisify(execFile)(BINARY, ["--version"]).catch(() => null);
  if (version === null) return null;
  const [directory, firmware] = [path.join(folder, "vms"), path.join(folder, "halt.rom")];
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeHaltingFirmware(firmware);
  const board = ["-accel", "tcg,tb-size=1", "-cpu", "qemu64", "-nodefaults", "-display", "none", "-bios", firmware];
  const drive = [
    "-blockdev",
    "driver=null-co,node-name=disk,size=1073741824,read-only=on",
    "-device",
    "virtio-blk-pci,drive=disk",
  ];
  const driver: QmpConfig = {
    name: "qmp",
    directory,
    address: "127.0.0.1",
    cores: 64,
    machines: [{ type: MACHINE, binary: BINARY, arguments: [...board, ...drive] }],
  };
  const settings = qmpConfig.parse(driver);
  const end = () => endGuests(directory);
  try {
    for (let index = 0; index < count; index++)
      await launch(settings, {
        uuid: uuidOf(index),
        name: `guest-${index}`,
        vcpus: VCPUS,
        memoryBytes: MEMORY_BYTES,
        machineType: MACHINE,
      });
  } catch (error) {
    await end();
    throw error;
  }
  const running = async (): Promise<number> => {
    const processes = await Promise.all(listDescriptors(directory).map((each) => findProcess(each)));
    return processes.filter((id) => id !== null).length;
  };
  return { driver, running, end };
}

export async function simulatedGuests(folder: string, count: number): Promise<Guests> {
  const world = createWorld({
    seed: SEED,
    timeScale: 1,
    hosts: [{ id: HOST_ID, cores: 64, memoryBytes: 256 * GIB, linkBytesPerSecond: 1.177e9 }],
    vms: Array.from({ length: count }, (_, index) => ({
      hostId: HOST_ID,
      inventory: { uuid: uuidOf(index), name: `guest-${index}`, vcpus: VCPUS, memoryBytes: 2 * GIB },
      nonzeroRatio: 0.5,
      writes: { pagesPerSecond: 1000, hotBytes: 32 * MIB, coldBytes: 128 * MIB, hotShare: 0.8 },
      cpu: { meanCores: 0.5 },
    })),
  });
  const socket = path.join(folder, "world.sock");
  const served = await serveWorld(world, socket);
  return { driver: { name: "simulated", host: HOST_ID, socket }, running: async () => count, end: served.close };
}
