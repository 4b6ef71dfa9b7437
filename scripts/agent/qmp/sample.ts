// One moment's figures of this host and its VMs, by catalogue name. What cannot be read is absent, never 0.
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";
import { DriverError, type DriverSample } from "../driver.ts";
import { estimateNonzeroBytes } from "../linux/memory.ts";
import { TICKS_PER_SECOND, findGuestMapping, parseStat, type Mapping } from "../linux/proc.ts";
import { createDirtyRates, createRates, present, sampleMachine, sumOf, type Figures } from "../linux/sample.ts";
import { readText } from "../linux/text.ts";
import { blockStatsAnswer, cpusAnswer } from "./answers.ts";
import type { QmpSettings } from "./config.ts";
import { isUndisturbed } from "./dirty.ts";
import type { ProcessId } from "./process.ts";
import { neverRan, type Vm } from "./vm.ts";

export type Sampler = {
  sample: (vms: Vm[]) => Promise<DriverSample>;
  /** Hands over the newest curve of a VM, from which its dirty rate is taken. */
  noteCurve: (uuid: string, curve: DirtyCurveReport) => void;
  forget: (uuid: string) => void;
};

async function vcpuTicks(vm: Vm, id: ProcessId): Promise<number | null> {
  const cpus = await vm.query(cpusAnswer, "query-cpus-fast");
  const stats = await Promise.all(
    cpus.map(async (each) => parseStat((await readText(`/proc/${id.pid}/task/${each["thread-id"]}/stat`)) ?? "")),
  );
  return stats.reduce<number | null>((sum, each) => (sum === null || each === null ? null : sum + each.cpuTicks), 0);
}

async function diskBytes(vm: Vm): Promise<{ read: number; written: number } | null> {
  const drives = await vm.query(blockStatsAnswer, "query-blockstats");
  if (drives.length === 0) return null;
  const sum = (pick: (stats: (typeof drives)[number]["stats"]) => number): number =>
    drives.reduce((total, each) => total + pick(each.stats), 0);
  return { read: sum((stats) => stats.rd_bytes), written: sum((stats) => stats.wr_bytes) };
}

/** Where the guest's memory lies in its process; null when it cannot be told. */
export async function guestMemory(vm: Vm, id: ProcessId): Promise<Mapping | null> {
  return findGuestMapping((await readText(`/proc/${id.pid}/smaps`)) ?? "", vm.descriptor().vm.memoryBytes);
}

/** `root`: where the machine's `/sys` and its arrays are. */
export function createSampler(settings: QmpSettings, root = "/"): Sampler {
  const rates = createRates();
  const curves = createDirtyRates();

  const sampleVm = async (vm: Vm): Promise<Figures> => {
    const id = await vm.process();
    if (id === null || neverRan(vm.descriptor())) return {};
    const { runState } = await vm.truth();
    if (runState !== "running" && runState !== "paused") return {};
    const [ticks, mapping, disk] = [await vcpuTicks(vm, id), await guestMemory(vm, id), await diskBytes(vm)];
    const nowMs = Date.now();
    const mayRead = settings.measureNonzero && mapping !== null && (await isUndisturbed(vm));
    const usedTicks = rates.rate(`${vm.uuid} cpu`, ticks, nowMs);
    return present({
      cpu_used_cores: usedTicks === null ? null : usedTicks / TICKS_PER_SECOND,
      memory_used_bytes: mapping?.residentBytes,
      memory_nonzero_bytes: mayRead ? await estimateNonzeroBytes(id.pid, mapping, nowMs) : null,
      memory_dirty_bytes_per_second: curves.rate(vm.uuid, nowMs),
      disk_read_bytes_per_second: rates.rate(`${vm.uuid} read`, disk?.read ?? null, nowMs),
      disk_write_bytes_per_second: rates.rate(`${vm.uuid} written`, disk?.written ?? null, nowMs),
    });
  };

  return {
    sample: async (vms) => {
      // A VM that ends or falls silent meanwhile must not cost the others their figures.
      const unless = (error: unknown): Figures => {
        if (error instanceof DriverError) return {};
        throw error;
      };
      const figures = await Promise.all(
        vms.map(async (vm): Promise<[string, Figures]> => [vm.uuid, await sampleVm(vm).catch(unless)]),
      );
      const known = Object.fromEntries(figures);
      return {
        host: settings.scope === "vms" ? sumOf(Object.values(known)) : await sampleMachine(rates.rate, root),
        vms: known,
      };
    },
    noteCurve: curves.note,
    forget: (uuid) => {
      curves.forget(uuid);
      rates.forget(uuid);
    },
  };
}
