// QEMU processes: started detached, so that they outlive the agent, and found again by their exact command line.
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { setTimeout as wait } from "node:timers/promises";
import { DriverError } from "../driver.ts";
import { parseStat } from "../linux/proc.ts";
import { readText, readTextSync } from "../linux/text.ts";
import type { Descriptor } from "./descriptor.ts";

/** A pid alone may be given to another process; with its start time it cannot be mistaken. */
export type ProcessId = { pid: number; startTicks: number };

/** For reports: one list serves all VMs that are asked about together. */
export const LIST_MS = 1000;
const DEATH_POLL_MS = 5;
const LOG_TAIL = 1000;

function identify(pid: number, commandLine: string): ProcessId | null {
  // A zombie's command line is empty, so that it never matches.
  if (readTextSync(`/proc/${pid}/cmdline`) !== commandLine) return null;
  const parsed = parseStat(readTextSync(`/proc/${pid}/stat`) ?? "");
  return parsed === null ? null : { pid, startTicks: parsed.startTicks };
}

/** Command lines of all processes of this machine. */
async function listProcesses(): Promise<Map<string, number>> {
  const found = new Map<string, number>();
  for (const name of await readdir("/proc"))
    if (/^\d+$/.test(name)) found.set(readTextSync(`/proc/${name}/cmdline`) ?? "", Number(name));
  return found;
}

let listed: { atMs: number; processes: Promise<Map<string, number>> } | null = null;

/**
 * The VM's process, or null when there is none on this machine. `listMs`: how old a list of all processes may be, where the pid
 * file does not help; above 0 a process that has just been started may be missed, so that nothing may be decided on it.
 */
export async function findProcess(of: Pick<Descriptor, "argv" | "pidFile">, listMs = 0): Promise<ProcessId | null> {
  const commandLine = `${of.argv.join("\0")}\0`;
  const pid = Number(readTextSync(of.pidFile)?.trim());
  const known = Number.isInteger(pid) && pid > 0 ? identify(pid, commandLine) : null;
  if (known !== null) return known;
  // QEMU writes its pid file a little after it started, and a crash between the two must not hide it.
  const nowMs = performance.now();
  if (listed === null || listMs === 0 || nowMs - listed.atMs > listMs)
    listed = { atMs: nowMs, processes: listProcesses() };
  const found = (await listed.processes).get(commandLine);
  return found === undefined ? null : identify(found, commandLine);
}

export async function isAlive(id: ProcessId): Promise<boolean> {
  const stat = parseStat((await readText(`/proc/${id.pid}/stat`)) ?? "");
  return stat !== null && stat.startTicks === id.startTicks && stat.state !== "Z" && stat.state !== "X";
}

/** Resolves true once the process is gone, false after `timeoutMs`. */
export async function waitForDeath(id: ProcessId, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs;
  while (await isAlive(id)) {
    if (Date.now() >= deadline) return false;
    await wait(DEATH_POLL_MS);
  }
  return true;
}

/** SIGKILL, then waits. Throws `still-alive` when the kernel has not ended the process within `timeoutMs`. */
export async function killAndProve(id: ProcessId, timeoutMs: number): Promise<void> {
  if (await isAlive(id)) {
    try {
      process.kill(id.pid, "SIGKILL");
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ESRCH"))
        throw new DriverError("still-alive", `process ${id.pid} could not be killed: ${String(error)}`);
    }
  }
  if (!(await waitForDeath(id, timeoutMs)))
    throw new DriverError("still-alive", `process ${id.pid} still exists ${timeoutMs} ms after SIGKILL`);
}

/** Starts the command line, detached, its output appended to the log. Rejects when it cannot be executed at all. */
export async function startProcess(argv: string[], logFile: string): Promise<void> {
  const [program, ...rest] = argv;
  if (program === undefined) throw new DriverError("bad-machine", "the machine's command line is empty");
  const log = openSync(logFile, "a", 0o600);
  try {
    const child = spawn(program, rest, { detached: true, stdio: ["ignore", log, log] });
    await new Promise<void>((resolve, reject) => {
      child.once("spawn", resolve);
      child.once("error", (error) => reject(new DriverError("not-started", `${program}: ${error.message}`)));
    });
    child.unref();
  } finally {
    closeSync(log);
  }
}

/** The last lines that QEMU wrote, for people. */
export async function logTail(logFile: string): Promise<string> {
  return ((await readText(logFile)) ?? "").trim().slice(-LOG_TAIL);
}
