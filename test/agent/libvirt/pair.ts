// Two libvirts on this machine, and some real guests that count and check their memory, wherever the last test left them.
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import type { LibvirtConfig } from "../../../scripts/agent/libvirt/config.ts";
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
import { createPool } from "../pool.ts";

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

/** A guest runs on `source`; both drivers know nothing of what was before. */
export type Stage = {
  source: Side;
  destination: Side;
  vm: VmInventory;
  /** The driver of a side anew, as after a restart of its agent. */
  restart: (side: Side) => Promise<void>;
  /** Ends a migration that is left under way, and the drivers; the guest must have gone on counting, no page of it damaged. */
  close: () => Promise<void>;
};

export type Pair = {
  /** Fresh drivers around a guest that no other stage has; it is booted anew when it is gone. */
  stage: (settings?: Partial<LibvirtConfig>) => Promise<Stage>;
  stop: () => Promise<void>;
};

/** A guest, and how it was left. */
type Lane = { machine: LibvirtGuest; vm: VmInventory | null; stages: number };

/** What all stages of a pair have in common. */
type Ground = { folder: string; guest: Guest; hosts: LibvirtHost[] };

const lookEverywhere = ({ hosts }: Ground, { machine }: Lane) =>
  Promise.all(hosts.map(({ virsh }) => lookAt(virsh, machine.uuid)));

async function boot({ guest }: Ground, lane: Lane, host: LibvirtHost): Promise<void> {
  lane.machine = { ...lane.machine, uuid: randomUUID() };
  lane.vm = null;
  await startLibvirtGuest(host, guest, lane.machine);
  const reader = readSerial(host.serialFile(lane.machine.uuid));
  await reader.waitFor("FILLED", BOOT_TIMEOUT_MS);
  reader.close();
}

async function endJobs(ground: Ground, lane: Lane): Promise<void> {
  for (const deadline = Date.now() + QUIET_TIMEOUT_MS; Date.now() < deadline; await wait(POLL_MS)) {
    const seen = await lookEverywhere(ground, lane);
    for (const [index, { job }] of seen.entries())
      if (job !== "arriving" && isJobActive(job))
        await ground.hosts[index]?.virsh("domjobabort", lane.machine.uuid).catch(() => undefined);
    const isBusy = seen.some(({ job }) => job === "arriving" || isJobActive(job));
    if (!isBusy && seen.filter(({ domain }) => domain !== null).length <= 1) return;
  }
}

/** It counts on, on the one line or the other. */
async function examine(from: SerialReader, to: SerialReader): Promise<string[]> {
  const hasMoved = to.beats.length > 0;
  const now = hasMoved ? to : from;
  const problem = await now.waitForBeats(now.beats.length + BEATS, BEATS_TIMEOUT_MS).then(
    () => [],
    (error: Error) => [error.message],
  );
  from.close();
  to.close();
  return [...problem, ...(hasMoved ? compareBeats(from.beats, to.beats).problems : lineProblems("source", from.beats))];
}

async function stageOn(
  ground: Ground,
  lane: Lane,
  settings: Partial<LibvirtConfig>,
  giveBack: () => void,
): Promise<Stage> {
  const { hosts, folder } = ground;
  const at = (await lookEverywhere(ground, lane)).findIndex(({ domain }) => domain?.state === 1);
  const [from, to] = at === 1 ? [hosts[1], hosts[0]] : [hosts[0], hosts[1]];
  if (from === undefined || to === undefined) throw new Error("two hosts were started");
  if (at < 0) await boot(ground, lane, from);
  const { uuid, name } = lane.machine;
  rmSync(to.serialFile(uuid), { force: true });
  lane.stages += 1;
  const drivers: Driver[] = [];
  const open = (host: LibvirtHost): Driver => {
    const directory = path.join(folder, `${host.name}-${name}-${lane.stages}`);
    const driver = createLibvirtDriver({ ...host.config, ...settings, directory, measureNonzero: true });
    drivers.push(driver);
    return driver;
  };
  const [source, destination] = [
    { host: from, driver: open(from) },
    { host: to, driver: open(to) },
  ];
  lane.vm ??= (await source.driver.inventory()).vms.find((each) => each.uuid === uuid) ?? null;
  const { vm } = lane;
  if (vm === null) throw new Error(`the guest is not on ${from.name}`);
  // Both listen to libvirt's events before anything happens, as under an agent that samples.
  await Promise.all([source.driver.vmStates(), destination.driver.observeIncoming(uuid)]);
  const lines = [readSerial(from.serialFile(uuid)), readSerial(to.serialFile(uuid))] as const;
  return {
    source,
    destination,
    vm,
    restart: async (side) => {
      await side.driver.close();
      side.driver = open(side.host);
    },
    close: async () => {
      await endJobs(ground, lane);
      for (const driver of drivers) await driver.close();
      const problems = await examine(...lines);
      giveBack();
      if (problems.length > 0) throw new Error(problems.join("; "));
    },
  };
}

/** `guests`: how many stages there can be at a time. */
export async function startPair(work: Omit<LibvirtGuest, "uuid" | "name">, guests: number): Promise<Pair> {
  const folder = mkdtempSync(path.join(tmpdir(), "drover-lv-"));
  const guest: Guest = buildGuest(STATE);
  const hosts = await Promise.all(["a", "b"].map((name, index) => startLibvirt(folder, name, index)));
  const ground: Ground = { folder, guest, hosts };
  const lanes = createPool<Lane>(guests, async (index) => ({
    machine: { ...work, uuid: randomUUID(), name: `counter-${index}` },
    vm: null,
    stages: 0,
  }));
  return {
    stage: async (settings = {}) => {
      const lane = await lanes.take();
      return stageOn(ground, lane, settings, () => lanes.give(lane));
    },
    stop: async () => {
      await Promise.all(hosts.map((host) => host.stop()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
