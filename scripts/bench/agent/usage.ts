// What a process has used, as the kernel counts it (proc(5)).
import { readFileSync } from "node:fs";
import { TICKS_PER_SECOND } from "../../agent/linux/proc.ts";
import { readTextSync } from "../../agent/linux/text.ts";

const PAGE_BYTES = 4096;

/** `cpuSeconds`: its own, and those of the programs that a driver runs, ended or not; `rssBytes`: its own. */
export type Usage = { cpuSeconds: number; rssBytes: number };

/** Ticks of a process and of its children that have ended; null: it is gone. */
function ticksOf(pid: number): number | null {
  const stat = readTextSync(`/proc/${pid}/stat`);
  if (stat === null) return null;
  // The second field is the command in parentheses and may hold blanks; utime, stime, cutime and cstime are fields 14 to 17.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
}

/** Throws when the process is gone. */
export function usageOf(pid: number): Usage {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  const children = (readTextSync(`/proc/${pid}/task/${pid}/children`) ?? "").split(" ").filter((each) => each !== "");
  // One that ends between two looks is counted with its parent from then on.
  const ticks = [pid, ...children.map(Number)].reduce((sum, each) => sum + (ticksOf(each) ?? 0), 0);
  return { cpuSeconds: ticks / TICKS_PER_SECOND, rssBytes: pages * PAGE_BYTES };
}
