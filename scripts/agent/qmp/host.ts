// What this host is, and which VMs it has.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Disk, VmInventory } from "../../../worker/model/wire/inventory.ts";
import type { DriverInventory } from "../driver.ts";
import { parseCpuinfo, parseMeminfo } from "../linux/proc.ts";
import { readText } from "../linux/text.ts";
import { blockAnswer, kvmAnswer, type BlockAnswer } from "./answers.ts";
import type { QmpSettings } from "./config.ts";
import { LIST_MS } from "./process.ts";
import { neverRan, type Vm } from "./vm.ts";

const run = promisify(execFile);

export type Binary = { version?: string; machineTypes: string[] };

/** What a QEMU binary says of itself; no machine types when it cannot be executed. */
export async function askBinary(binary: string): Promise<Binary> {
  try {
    const [version, machines] = await Promise.all([run(binary, ["--version"]), run(binary, ["-machine", "help"])]);
    const number = /version ([\d.]+)/.exec(version.stdout)?.[1];
    return { ...(number === undefined ? {} : { version: number }), machineTypes: parseMachineHelp(machines.stdout) };
  } catch {
    return { machineTypes: [] };
  }
}

/** First words of `-machine help`, without its headline. */
export function parseMachineHelp(text: string): string[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.split(" ")[0] ?? "")
    .filter((name) => name !== "");
}

/** Memory that VMs may use here, in bytes; null when not even /proc says. */
export async function hostMemoryBytes(settings: QmpSettings): Promise<number | null> {
  return settings.memoryBytes ?? parseMeminfo((await readText("/proc/meminfo")) ?? "")?.totalBytes ?? null;
}

const cacheModeOf = (cache: { writeback: boolean; direct: boolean }): string =>
  cache.direct ? (cache.writeback ? "none" : "directsync") : cache.writeback ? "writeback" : "writethrough";

/** QEMU knows the drives; whether one is shared, and its pool, only the descriptor can say. */
export function mergeDisks(drives: BlockAnswer, described: Disk[]): Disk[] {
  return drives.flatMap((drive) => {
    if (drive.inserted === undefined) return [];
    const id = drive.device || drive.qdev || "unnamed";
    const { ro, cache, image } = drive.inserted;
    return [
      {
        ...described.find((each) => each.id === id),
        id,
        readOnly: ro,
        ...(image === undefined ? {} : { bytes: image["virtual-size"] }),
        ...(cache === undefined ? {} : { cacheMode: cacheModeOf(cache) }),
      },
    ];
  });
}

async function inventoryOf(vm: Vm): Promise<VmInventory | null> {
  const [known, state] = [vm.descriptor(), await vm.state(LIST_MS)];
  if (state === null) return null;
  // A drive of a VM that arrives belongs to the source still.
  const asked = state !== "shutoff" && !neverRan(known);
  const drives = asked ? await vm.query(blockAnswer, "query-block") : null;
  const disks = drives === null ? known.vm.disks : mergeDisks(drives, known.vm.disks ?? []);
  const accelerator = asked ? await acceleratorOf(vm) : undefined;
  return {
    ...known.vm,
    state,
    ...(accelerator === undefined ? {} : { accelerator }),
    ...(disks === undefined || disks.length === 0 ? {} : { disks }),
  };
}

async function acceleratorOf(vm: Vm): Promise<"kvm" | "tcg"> {
  return (await vm.query(kvmAnswer, "query-kvm")).enabled ? "kvm" : "tcg";
}

/** Throws when QEMU or the machine's memory size cannot be read: a half-known host is not reported. */
export async function inventory(settings: QmpSettings, binaries: Binary[], vms: Vm[]): Promise<DriverInventory> {
  const memoryBytes = await hostMemoryBytes(settings);
  if (memoryBytes === null) throw new Error("/proc/meminfo cannot be read: set memoryBytes in the driver's settings");
  const supported = new Set(binaries.flatMap((each) => each.machineTypes));
  const version = binaries.find((each) => each.version !== undefined)?.version;
  return {
    hypervisor: "kvm",
    ...(version === undefined ? {} : { hypervisorVersion: `QEMU ${version}` }),
    driver: { name: "qmp" },
    cpu: { ...parseCpuinfo((await readText("/proc/cpuinfo")) ?? ""), cores: settings.cores },
    memoryBytes,
    machineTypes: settings.machines.map((each) => each.type).filter((type) => supported.has(type)),
    ...(settings.migrationBytesPerSecond === undefined
      ? {}
      : { migration: { bytesPerSecond: settings.migrationBytesPerSecond } }),
    ...settings.host,
    vms: (await Promise.all(vms.map(inventoryOf))).filter((each) => each !== null),
  };
}
