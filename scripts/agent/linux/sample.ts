// What every driver on Linux samples alike: rates of counters, sums over VMs, and the machine itself. What cannot be read is
// absent, never 0.
import { SECOND_MS } from "../../../worker/model/units.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";
import { readHardware } from "../hardware.ts";
import { TICKS_PER_SECOND, parseBusyTicks, parseMeminfo, parseNetDev, parsePressure } from "./proc.ts";
import { readText } from "./text.ts";

export type Figures = Record<string, number>;
type Measured = { [name: string]: number | null | undefined };

/** Without what is not known. */
export const present = (all: Measured): Figures =>
  Object.fromEntries(
    Object.entries(all).filter((each): each is [string, number] => each[1] !== null && each[1] !== undefined),
  );

export type Rates = {
  rate: (key: string, value: number | null, atMs: number) => number | null;
  forget: (prefix: string) => void;
};

/** Rising counters become rates per second between two looks; the first look, and a counter that fell, give none. */
export function createRates(): Rates {
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

/** An older dirty curve says nothing of now. */
const CURVE_AGE_MS_MAX = 600_000;

export type DirtyRates = {
  note: (uuid: string, curve: DirtyCurveReport) => void;
  /** Bytes per second in the shortest window of the newest curve; null when there is none of the last ten minutes. */
  rate: (uuid: string, nowMs: number) => number | null;
  forget: (uuid: string) => void;
};

export function createDirtyRates(): DirtyRates {
  const curves = new Map<string, DirtyCurveReport>();
  return {
    note: (uuid, curve) => void curves.set(uuid, curve),
    rate: (uuid, nowMs) => {
      const curve = curves.get(uuid);
      const [windowMs, bytes] = curve?.points[0] ?? [];
      if (curve === undefined || nowMs - curve.at > CURVE_AGE_MS_MAX) return null;
      return windowMs === undefined || bytes === undefined ? null : (bytes * SECOND_MS) / windowMs;
    },
    forget: (uuid) => void curves.delete(uuid),
  };
}

/** The VMs of this host taken together; absent while one of them has no figure yet. */
export function sumOf(vms: Figures[]): Figures {
  const sum = (name: string): number | null =>
    vms.reduce<number | null>((total, each) => {
      const value = each[name];
      return total === null || value === undefined ? null : total + value;
    }, 0);
  return present({ cpu_used_cores: sum("cpu_used_cores"), memory_used_bytes: sum("memory_used_bytes") });
}

/** `root`: where the machine's `/sys` and its arrays are. */
export async function sampleMachine(rate: Rates["rate"], root: string): Promise<Figures> {
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
