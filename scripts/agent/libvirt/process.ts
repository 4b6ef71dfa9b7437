// The QEMU process of a VM, found by its UUID on its command line, so that its memory can be looked at from outside.
import { readdir } from "node:fs/promises";
import { findGuestMapping, type Mapping } from "../linux/proc.ts";
import { readText } from "../linux/text.ts";

async function isOf(pid: number, uuid: string): Promise<boolean> {
  const args = ((await readText(`/proc/${pid}/cmdline`)) ?? "").split("\0");
  return args[args.indexOf("-uuid") + 1] === uuid && args.includes("-uuid");
}

/** Null when there is none to be seen, or more than one: while a VM moves within one machine. */
export async function findQemu(uuid: string): Promise<number | null> {
  const pids = (await readdir("/proc").catch(() => [])).filter((name) => /^\d+$/.test(name)).map(Number);
  const matches = await Promise.all(pids.map(async (pid) => ((await isOf(pid, uuid)) ? pid : null)));
  const found = matches.filter((pid) => pid !== null);
  return found.length === 1 ? (found[0] ?? null) : null;
}

/** Where the guest's memory lies in its process; null when it cannot be told. */
export async function guestMemory(pid: number, memoryBytes: number): Promise<Mapping | null> {
  return findGuestMapping((await readText(`/proc/${pid}/smaps`)) ?? "", memoryBytes);
}
