// One agent a state folder. The lock names its process so exactly (boot, pid, start time) that a number taken again by
// another process after a crash or a reboot does not keep the agent from starting.
import { linkSync, readFileSync, renameSync, unlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { removeFile } from "./files.ts";

/** Folders locked by this process: a killed agent in the same process (demo, tests) leaves its file, not its entry. */
const heldHere = new Set<string>();

function readText(file: string): string | null {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return null;
  }
}

/** What no other process shares, as far as this system tells it. Null: no such process. */
function identify(pid: number): string | null {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return null;
  }
  const boot = readText("/proc/sys/kernel/random/boot_id") ?? "";
  // The process's name stands in brackets and may hold blanks; its start time is field 22, the 20th after the name.
  const started = readText(`/proc/${pid}/stat`)?.split(") ").at(-1)?.split(" ")[19] ?? "";
  return `${pid} ${boot} ${started}`;
}

function isHeld(content: string, folder: string): boolean {
  const pid = Number.parseInt(content, 10);
  if (!Number.isInteger(pid) || pid <= 0) return false;
  if (pid === process.pid) return heldHere.has(folder);
  return identify(pid) === content;
}

/** The process that works on the folder now; null: none does. */
export function holderOf(stateDir: string): number | null {
  const folder = path.resolve(stateDir);
  const content = readText(path.join(folder, "agent.lock"));
  return content !== null && isHeld(content, folder) ? Number.parseInt(content, 10) : null;
}

/** Takes the lock or throws, telling which process has it. `release` gives it back; `abandon` leaves it as a crash would. */
export function lockFolder(stateDir: string): { release: () => void; abandon: () => void } {
  const folder = path.resolve(stateDir);
  const file = path.join(folder, "agent.lock");
  const content = identify(process.pid) ?? String(process.pid);
  const mine = `${file}.${process.pid}`;
  const present = readText(file);
  const refusal = (holder: string) =>
    new Error(
      `another agent (pid ${Number.parseInt(holder, 10)}) works on ${folder}; stop it, or give this one its own stateDir`,
    );
  if (heldHere.has(folder) || (present !== null && isHeld(present, folder))) throw refusal(present ?? content);
  if (present !== null) {
    // Moved aside and looked at again: another agent may have taken the stale lock over just now.
    renameSync(file, mine);
    const moved = readText(mine) ?? "";
    if (moved !== present) {
      linkSync(mine, file);
      unlinkSync(mine);
      throw refusal(moved);
    }
  }
  writeFileSync(mine, content, { mode: 0o600 });
  try {
    linkSync(mine, file);
  } catch {
    throw refusal(readText(file) ?? "0");
  } finally {
    unlinkSync(mine);
  }
  heldHere.add(folder);
  return {
    release: () => {
      if (heldHere.delete(folder)) removeFile(file);
    },
    abandon: () => void heldHere.delete(folder),
  };
}
