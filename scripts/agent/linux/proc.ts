// Parsers of /proc text, without reading anything: tested on captured files.
import { PAGE_BYTES } from "../../../worker/model/units.ts";

/** Ticks a second of every clock in /proc: USER_HZ is 100 on each Linux that QEMU runs on, whatever the kernel's HZ. */
export const TICKS_PER_SECOND = 100;

export type ProcessStat = { state: string; cpuTicks: number; startTicks: number };

/** `/proc/<pid>/stat` and `/proc/<pid>/task/<tid>/stat` (proc(5)); null if it is not one. */
export function parseStat(text: string): ProcessStat | null {
  // The second field is the command in parentheses and may hold anything, spaces and parentheses included.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state, utime, stime, start] = [fields[0], Number(fields[11]), Number(fields[12]), Number(fields[19])];
  if (state === undefined || ![utime, stime, start].every(Number.isFinite)) return null;
  return { state, cpuTicks: utime + stime, startTicks: start };
}

/** Busy ticks of all CPUs since boot, from `/proc/stat`: everything but idle and iowait; guest time is part of user. */
export function parseBusyTicks(text: string): number | null {
  const line = text.split("\n").find((each) => each.startsWith("cpu "));
  const ticks = line?.trim().split(/\s+/).slice(1, 9).map(Number);
  if (ticks === undefined || ticks.length < 8 || !ticks.every(Number.isFinite)) return null;
  return ticks.reduce((sum, value, index) => (index === 3 || index === 4 ? sum : sum + value), 0);
}

/** `/proc/meminfo` in bytes. */
export function parseMeminfo(text: string): { totalBytes: number; availableBytes: number } | null {
  const read = (name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? Number.NaN) * 1024;
  const [totalBytes, availableBytes] = [read("MemTotal"), read("MemAvailable")];
  return Number.isFinite(totalBytes) && Number.isFinite(availableBytes) ? { totalBytes, availableBytes } : null;
}

/** Share of the last 10 s in which some task waited, 0…1, from `/proc/pressure/*`. */
export function parsePressure(text: string): number | null {
  const avg10 = /^some avg10=([\d.]+)/m.exec(text)?.[1];
  return avg10 === undefined ? null : Number(avg10) / 100;
}

/** Bytes received and sent by all interfaces but loopback, from `/proc/net/dev`. */
export function parseNetDev(text: string): { receivedBytes: number; transmittedBytes: number } {
  let [receivedBytes, transmittedBytes] = [0, 0];
  for (const line of text.split("\n")) {
    const [name, rest] = line.split(":");
    const fields = rest?.trim().split(/\s+/).map(Number);
    if (name?.trim() === "lo" || fields?.[8] === undefined) continue;
    receivedBytes += fields[0] ?? 0;
    transmittedBytes += fields[8];
  }
  return { receivedBytes, transmittedBytes };
}

/** First CPU of `/proc/cpuinfo`. */
export function parseCpuinfo(text: string): { model?: string; features?: string[] } {
  const read = (name: RegExp): string | undefined => name.exec(text)?.[1]?.trim();
  const model = read(/^model name\s*:(.*)$/m);
  const features = read(/^(?:flags|Features)\s*:(.*)$/m)?.split(/\s+/);
  return {
    ...(model === undefined || model === "" ? {} : { model: model.slice(0, 128) }),
    ...(features === undefined ? {} : { features: features.slice(0, 512) }),
  };
}

/** Resident bytes of a process, from `/proc/<pid>/statm`; null if it is not one. */
export function parseResidentBytes(text: string): number | null {
  const pages = Number(text.split(" ")[1] ?? Number.NaN);
  return Number.isFinite(pages) ? pages * PAGE_BYTES : null;
}

export type Mapping = {
  startAddress: number;
  sizeBytes: number;
  residentBytes: number;
  swappedBytes: number;
};

/**
 * The mapping of the guest's RAM in `/proc/<pid>/smaps`: the smallest anonymous, readable and writable, not executable
 * mapping that holds `memoryBytes`. (TCG's translation buffer is executable and may be larger than the guest.) Null when
 * there is none, as with file-backed or split memory: then nothing is reported, rather than something wrong.
 */
export function findGuestMapping(smaps: string, memoryBytes: number): Mapping | null {
  let best: Mapping | null = null;
  // Hundreds of mappings are passed over for one, so that no others are taken apart.
  for (const found of smaps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) rw-p [0-9a-f]+ \S+ 0[ \t]*(\[anon:.*)?$/gm)) {
    const [header, start, end] = found;
    if (start === undefined || end === undefined) continue;
    const startAddress = Number.parseInt(start, 16);
    const sizeBytes = Number.parseInt(end, 16) - startAddress;
    if (sizeBytes < memoryBytes || (best !== null && best.sizeBytes <= sizeBytes)) continue;
    const figure = (name: string): number => figureAfter(smaps, found.index + header.length, name) * 1024;
    best = { startAddress, sizeBytes, residentBytes: figure("Rss"), swappedBytes: figure("Swap") };
  }
  return best;
}

/** kB of the first line of that name after a mapping's header, which is the mapping's own; 0 where it has none. */
function figureAfter(smaps: string, from: number, name: string): number {
  const line = new RegExp(`\n(?:${name}:\\s+(\\d+) kB|[0-9a-f]+-[0-9a-f]+ )`, "g");
  line.lastIndex = from;
  return Number(line.exec(smaps)?.[1] ?? 0);
}
