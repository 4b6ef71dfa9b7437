// One moment's figures of this host and its VMs, by catalogue name. What cannot be read is absent, never 0.
import { SECOND_MS } from "../../../worker/model/units.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";
import { DriverError, type DriverSample } from "../driver.ts";
import { readHardware } from "../hardware.ts";
import { blockStatsAnswer, cpusAnswer } from "./answers.ts";
import type { QmpSettings } from "./config.ts";
import { isUndisturbed } from "./dirty.ts";
import { estimateNonzeroBytes } from "./memory.ts";
import {
  TICKS_PER_SECOND,
  findGuestMapping,
  parseBusyTicks,
  parseMeminfo,
  parseNetDev,
  parsePressure,
  parseStat,
  type Mapping,
} from "./proc.ts";
import { readText, type ProcessId } from "./process.ts";
import { neverRan, type Vm } from "./vm.ts";

/** An older dirty curve says nothing of now. */
const CURVE_AGE_MS_MAX = 600_000;

type Figures = Record<string, number>;
type Measured = { [name: string]: number | null | undefined };

const present = (all: Measured): Figures =>
  Object.fromEntries(
    Object.entries(all).filter((each): each is [string, number] => each[1] !== null && each[1] !== undefined),
  );

export type Sampler = {
  sample: (vms: Vm[]) => Promise<DriverSample>;
  /** Hands over the newest curve of a VM, from which its dirty rate is taken. */
  noteCurve: (uuid: string, curve: DirtyCurveReport) => void;
  forget: (uuid: string) => void;
};

/** Rising counters become rates per second between two looks; the first look, and a counter that fell, give none. */
export function createRates(): {
  rate: (key: string, value: number | null, atMs: number) => number | null;
  forget: (prefix: string) => void;
} {
  const last = new Map<string, { value: number; atMs: number }>();
  return {
    rate: (key, value, atMs) => {
      if (value === null) return null;
      const before = last.get(key);
      last.set(key, { value, atMs });
      if (before === undefined || value < before.value || atMs <= before.atMs) return null;
      return ((value - before.value) * SECOND_MS) / (atMs - before.atMs);
    },
    forget: (prefix) => {
      for (const key of last.keys()) if (key.startsWith(prefix)) last.delete(key);
    },
  };
}

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
  const curves = new Map<string, DirtyCurveReport>();

  const dirtyRate = (uuid: string, nowMs: number): number | null => {
    const curve = curves.get(uuid);
    const [windowMs, bytes] = curve?.points[0] ?? [];
    if (curve === undefined || nowMs - curve.at > CURVE_AGE_MS_MAX) return null;
    return windowMs === undefined || bytes === undefined ? null : (bytes * SECOND_MS) / windowMs;
  };

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
      memory_dirty_bytes_per_second: dirtyRate(vm.uuid, nowMs),
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
    noteCurve: (uuid, curve) => void curves.set(uuid, curve),
    forget: (uuid) => {
      curves.delete(uuid);
      rates.forget(uuid);
    },
  };
}

/** The VMs of this host taken together; absent while one of them has no figure yet. */
function sumOf(vms: Figures[]): Figures {
  const sum = (name: string): number | null =>
    vms.reduce<number | null>((total, each) => {
      const value = each[name];
      return total === null || value === undefined ? null : total + value;
    }, 0);
  return present({ cpu_used_cores: sum("cpu_used_cores"), memory_used_bytes: sum("memory_used_bytes") });
}

async function sampleMachine(rate: ReturnType<typeof createRates>["rate"], root: string): Promise<Figures> {
  const hardware = await readHardware(root);
  const [stat, meminfo, cpuPressure, memoryPressure, netDev] = await Promise.all(
    ["/proc/stat", "/proc/meminfo", "/proc/pressure/cpu", "/proc/pressure/memory", "/proc/net/dev"].map(
      async (file) => (await readText(file)) ?? "",
    ),
  );
  const nowMs = Date.now();
  const busyTicks = rate("host cpu", parseBusyTicks(stat ?? ""), nowMs);
  const memory = parseMeminfo(meminfo ?? "");
  const network = parseNetDev(netDev ?? "");
  return present({
    cpu_used_cores: busyTicks === null ? null : busyTicks / TICKS_PER_SECOND,
    memory_used_bytes: memory === null ? null : memory.totalBytes - memory.availableBytes,
    cpu_pressure_ratio: parsePressure(cpuPressure ?? ""),
    memory_pressure_ratio: parsePressure(memoryPressure ?? ""),
    network_receive_bytes_per_second: rate("host received", network.receivedBytes, nowMs),
    network_transmit_bytes_per_second: rate("host transmitted", network.transmittedBytes, nowMs),
    temperature_celsius: hardware.temperatureCelsius,
    ecc_corrected_errors_per_second: rate("host ecc corrected", hardware.eccCorrected, nowMs),
    ecc_uncorrected_errors_per_second: rate("host ecc uncorrected", hardware.eccUncorrected, nowMs),
    disk_failed_ratio: hardware.diskFailedRatio,
  });
}
