// Two libvirts on this machine and one real guest that counts and checks its memory, wherever the last test left it.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { createLibvirtDriver } from "../../../scripts/agent/libvirt/driver.ts";
import { lookAt } from "../../../scripts/agent/libvirt/domains.ts";
import { isJobActive } from "../../../scripts/agent/libvirt/state.ts";
import type { Driver } from "../../../scripts/agent/driver.ts";
import { buildGuest, whyNoLab, type Guest } from "../../../scripts/lab/build-guest.ts";
import {
  startLibvirt,
  startLibvirtGuest,
  whyNoLibvirt,
  type LibvirtGuest,
  type LibvirtHost,
} from "../../../scripts/lab/libvirt.ts";
import { compareBeats, lineProblems, readSerial, type SerialReader } from "../../../scripts/lab/serial.ts";
import type { VmInventory } from "../../../worker/model/wire/inventory.ts";

const STATE = path.join(import.meta.dirname, "../../../.drover");
const BOOT_TIMEOUT_MS = 90_000;
const QUIET_TIMEOUT_MS = 60_000;
const POLL_MS = 100;
const BEATS = 20;
const BEATS_TIMEOUT_MS = 30_000;

/** Why it cannot be tested here, or null. In CI missing packages are an error; missing rights are a reason. */
export function whyNoPair(): string | null {
  const guest = whyNoLab();
  const libvirt = whyNoLibvirt();
  const why = guest ?? libvirt?.reason ?? null;
  if (why !== null && process.env["CI"] && (guest !== null || libvirt?.isSoftware === true)) throw new Error(why);
  return why;
}

export type Side = { host: LibvirtHost; driver: Driver };

/** The guest runs on `source`; both drivers know nothing of what was before. */
export type Stage = { source: Side; destination: Side; vm: VmInventory };

export type Pair = {
  /** A fresh pair of drivers around the guest; it is booted anew when it is gone. */
  stage: () => Promise<Stage>;
  /** The driver of a side anew, as after a restart of its agent. */
  restart: (side: Side) => Promise<void>;
  /**
   * Ends a migration that a test has left under way, and the drivers. Returns what was wrong with the guest since it was staged;
   * once, for it is staged anew then.
   */
  quiet: () => Promise<string[]>;
  stop: () => Promise<void>;
};

export async function startPair(work: Omit<LibvirtGuest, "uuid" | "name">): Promise<Pair> {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-lv-"));
  const guest: Guest = buildGuest(STATE);
  const hosts = await Promise.all(["a", "b"].map((name, index) => startLibvirt(folder, name, index)));
  const drivers: Driver[] = [];
  let lines: { from: SerialReader; to: SerialReader } | null = null;
  let machine: LibvirtGuest = { ...work, uuid: randomUUID(), name: "counter" };
  let vm: VmInventory | null = null;
  let stages = 0;

  const open = (host: LibvirtHost): Side => {
    const directory = path.join(folder, `${host.name}-${stages}`);
    const driver = createLibvirtDriver({ ...host.config, directory, measureNonzero: true });
    drivers.push(driver);
    return { host, driver };
  };
  const serial = (host: LibvirtHost): SerialReader => readSerial(host.serialFile(machine.uuid));
  const boot = async (host: LibvirtHost): Promise<void> => {
    machine = { ...machine, uuid: randomUUID() };
    vm = null;
    await startLibvirtGuest(host, guest, machine);
    const reader = serial(host);
    await reader.waitFor("FILLED", BOOT_TIMEOUT_MS);
    reader.close();
  };
  const look = () => Promise.all(hosts.map(({ virsh }) => lookAt(virsh, machine.uuid)));
  const endJobs = async (): Promise<void> => {
    for (const deadline = Date.now() + QUIET_TIMEOUT_MS; Date.now() < deadline; await wait(POLL_MS)) {
      const seen = await look();
      for (const [index, { job }] of seen.entries())
        if (job !== "arriving" && isJobActive(job))
          await hosts[index]?.virsh("domjobabort", machine.uuid).catch(() => undefined);
      const isBusy = seen.some(({ job }) => job === "arriving" || isJobActive(job));
      if (!isBusy && seen.filter(({ domain }) => domain !== null).length <= 1) return;
    }
  };
  /** It counts on, on the one line or the other. */
  const examine = async ({ from, to }: NonNullable<typeof lines>): Promise<string[]> => {
    const hasMoved = to.beats.length > 0;
    const now = hasMoved ? to : from;
    const problem = await now.waitForBeats(now.beats.length + BEATS, BEATS_TIMEOUT_MS).then(
      () => [],
      (error: Error) => [error.message],
    );
    from.close();
    to.close();
    return [
      ...problem,
      ...(hasMoved ? compareBeats(from.beats, to.beats).problems : lineProblems("source", from.beats)),
    ];
  };
  const quiet = async (): Promise<string[]> => {
    await endJobs();
    for (const each of drivers.splice(0)) await each.close();
    const problems = lines === null ? [] : await examine(lines);
    lines = null;
    return problems;
  };
  const stage = async (): Promise<Stage> => {
    const at = (await look()).findIndex(({ domain }) => domain?.state === 1);
    const [from, to] = at === 1 ? [hosts[1], hosts[0]] : [hosts[0], hosts[1]];
    if (from === undefined || to === undefined) throw new Error("two hosts were started");
    if (at < 0) await boot(from);
    rmSync(to.serialFile(machine.uuid), { force: true });
    stages += 1;
    const [source, destination] = [open(from), open(to)];
    vm ??= (await source.driver.inventory()).vms.find(({ uuid }) => uuid === machine.uuid) ?? null;
    if (vm === null) throw new Error(`the guest is not on ${from.name}`);
    // Both listen to libvirt's events before anything happens, as under an agent that samples.
    await Promise.all([source.driver.vmStates(), destination.driver.observeIncoming(vm.uuid)]);
    lines = { from: serial(from), to: serial(to) };
    return { source, destination, vm };
  };
  return {
    stage,
    restart: async (side) => {
      await side.driver.close();
      side.driver = open(side.host).driver;
    },
    quiet,
    stop: async () => {
      await quiet();
      await Promise.all(hosts.map((host) => host.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
