// CPU that server processes have used, read from the kernel.
import { readdirSync, readFileSync } from "node:fs";

const TICKS_PER_SECOND = 100;

type Stat = { name: string; parent: number; cpuSeconds: number };

function statOf(pid: number | string): Stat | null {
  try {
    const [, name = "", rest = ""] = /^\d+ \((.*)\) (.*)$/s.exec(readFileSync(`/proc/${pid}/stat`, "utf8")) ?? [];
    const fields = rest.split(" ");
    // Fields 14 and 15 of proc(5), utime and stime; `rest` begins with the third.
    const ticks = Number(fields[11]) + Number(fields[12]);
    return { name, parent: Number(fields[1]), cpuSeconds: ticks / TICKS_PER_SECOND };
  } catch {
    return null;
  }
}

/** utime + stime of a process, s. Throws when it has ended. */
export function processCpuSeconds(pid: number): number {
  const stat = statOf(pid);
  if (stat === null) throw new Error(`process ${pid} has ended`);
  return stat.cpuSeconds;
}

/** utime + stime of the workerd processes that this one has started, s: the Worker, the D1 shim and SQLite. */
export const workerdCpuSeconds = (): number =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(statOf)
    .reduce((sum, stat) => sum + (stat?.name === "workerd" && stat.parent === process.pid ? stat.cpuSeconds : 0), 0);

/** The peak of a process's resident memory, MB. */
export function residentMegabytesMax(pid: number): number {
  const line = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(line?.[1] ?? 0) / 1024;
}
