// What a process has used, as the kernel counts it (proc(5)).
import { readFileSync } from "node:fs";
import { TICKS_PER_SECOND } from "../../agent/linux/proc.ts";

const PAGE_BYTES = 4096;

/** `cpuSeconds`: its own, and those of its children that have ended (programs that a driver runs). */
export type Usage = { cpuSeconds: number; rssBytes: number };

/** Throws when the process is gone. */
export function usageOf(pid: number): Usage {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  // The second field is the command in parentheses and may hold blanks; utime, stime, cutime and cstime are fields 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  return { cpuSeconds: ticks / TICKS_PER_SECOND, rssBytes: pages * PAGE_BYTES };
}
