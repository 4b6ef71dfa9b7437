// What a hypervisor can tell of its host and guests: inventory, figures, dirty curves. Dirty figures come from simulated page
// writes seen through a sample of the pages, with the error that such sampling has.
import { GIB, PAGE_BYTES } from "../../../worker/model/units.ts";
import type { VmState } from "../../../worker/model/wire/inventory.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";
import { DriverError, type DriverInventory, type DriverSample } from "../driver.ts";
import { createBitmap, hasPage, setPage } from "./bitmap.ts";
import { HOST_SYSTEM_BYTES, OVERHEAD_BYTES, type SimulatedHost } from "./config.ts";
import { cpuCoresAt, activityAt, writesIn, type Guest } from "./guest.ts";
import type { Migration } from "./migration.ts";
import { createRandom, hashNormal, hashText } from "./random.ts";
import { advance, hostOf, instancesOn, keyOf, type World } from "./state.ts";

const CURVE_WINDOWS_MS = [500, 1000, 2000, 5000, 10_000];
const SAMPLES_PER_GIB = 4096;
/** Writes are drawn in slices of this length, so that busy and quiet phases show. */
const SLICE_MS = 100;
const WORKING_SET_MS = 60_000;
/** Cores that a host's own system uses. */
const SYSTEM_CORES = 0.2;
/** Cores for migration traffic at 10 Gbit/s. */
const SEND_CORES = 0.45;
const RECEIVE_CORES = 0.85;
const CORES_AT_BYTES_PER_SECOND = 1.25e9;

export function inventoryOf(world: World, hostId: string): DriverInventory {
  advance(world);
  const host = hostOf(world, hostId);
  const { id: _, cores, memoryBytes, linkBytesPerSecond, rttMs = 0.2, ...rest } = host;
  return {
    ...rest,
    hypervisor: "kvm",
    hypervisorVersion: "simulated",
    driver: { name: "simulated", version: "1" },
    cpu: { model: "simulated-x86-64-v3", cores },
    memoryBytes,
    migration: { bytesPerSecond: linkBytesPerSecond, rttMs },
    vms: instancesOn(world, hostId).map(({ inventory, state }) => ({ ...inventory, state })),
  };
}

export function vmStatesOf(world: World, hostId: string): Record<string, VmState> {
  advance(world);
  hostOf(world, hostId);
  return Object.fromEntries(instancesOn(world, hostId).map(({ inventory, state }) => [inventory.uuid, state]));
}

/** Distinct bytes written in windows that all begin at `fromMs`, as seen on one page in every 64. */
function sampledDirtyBytes(guest: Guest, fromMs: number, windowsMs: number[]): number[] {
  const random = createRandom(guest.seed ^ hashText(`sampling ${Math.floor(fromMs)}`));
  const stride = GIB / PAGE_BYTES / SAMPLES_PER_GIB;
  const samples = Array.from({ length: Math.floor(guest.pages / stride) }, (_, index) =>
    Math.floor((index + random.next()) * stride),
  );
  const written = createBitmap(guest.pages);
  let atMs = 0;
  return windowsMs.map((windowMs) => {
    while (atMs < windowMs) {
      const sliceMs = Math.min(SLICE_MS, windowMs - atMs);
      for (const page of writesIn(guest, fromMs + atMs, sliceMs, 1, random)) setPage(written, page);
      atMs += sliceMs;
    }
    let seen = 0;
    for (const page of samples) if (hasPage(written, page)) seen++;
    return seen * stride * PAGE_BYTES;
  });
}

/** Pages touched in a minute, as a scan of accessed bits would find them. */
function workingSetBytes(guest: Guest, atMs: number): number {
  const { pagesPerSecond, hotShare } = guest.config.writes;
  const writes = (pagesPerSecond * activityAt(guest, atMs) * WORKING_SET_MS) / 1000;
  const touched = (pages: number, share: number): number =>
    pages === 0 ? 0 : pages * (1 - Math.exp((-writes * share) / pages));
  const noise = 1 + 0.03 * hashNormal(guest.seed ^ 0x77, Math.floor(atMs / 1000));
  return (touched(guest.hotPages, hotShare) + touched(guest.coldPages, 1 - hotShare)) * PAGE_BYTES * noise;
}

function guestFigures(guest: Guest, atMs: number, granted: number): Record<string, number> {
  const { memoryBytes } = guest.config.inventory;
  const noise = 1 + 0.01 * hashNormal(guest.seed ^ 0x33, Math.floor(atMs / 1000));
  const nonzeroBytes = guest.nonzeroPages * PAGE_BYTES;
  return {
    cpu_used_cores: cpuCoresAt(guest, atMs) * granted,
    cpu_steal_ratio: 1 - granted,
    memory_used_bytes: nonzeroBytes,
    memory_nonzero_bytes: Math.min(memoryBytes, Math.round(nonzeroBytes * noise)),
    memory_dirty_bytes_per_second: sampledDirtyBytes(guest, atMs, [1000])[0] ?? 0,
    memory_working_set_bytes: Math.round(workingSetBytes(guest, atMs)),
    network_transmit_bytes_per_second: (guest.config.networkBytesPerSecond ?? 0) * activityAt(guest, atMs),
  };
}

/** Bytes per second of migration traffic that enter or leave a host. */
function migrationRates(world: World, hostId: string): { out: number; in: number } {
  const rates = { out: 0, in: 0 };
  const rateOf = (migration: Migration): number => migration.bytesPerSecond ?? 0;
  for (const migration of world.active) {
    if (migration.fromHostId === hostId) rates.out += rateOf(migration);
    if (migration.toHostId === hostId) rates.in += rateOf(migration);
  }
  return rates;
}

function hostFigures(
  host: SimulatedHost,
  load: { cores: number; memory: number; out: number; in: number },
  at: number,
) {
  const ratio = Math.min(1, load.cores / host.cores);
  const noise = 1 + 0.01 * hashNormal(hashText(host.id), Math.floor(at / 1000));
  return {
    cpu_used_cores: Math.min(host.cores, load.cores),
    cpu_pressure_ratio: Math.max(0, 1 - host.cores / load.cores),
    memory_used_bytes: Math.round(Math.min(host.memoryBytes, load.memory)),
    network_transmit_bytes_per_second: load.out,
    network_receive_bytes_per_second: load.in,
    ...(host.power === undefined
      ? {}
      : { power_watts: (host.power.idleWatts + (host.power.peakWatts - host.power.idleWatts) * ratio) * noise }),
  };
}

export function sampleOf(world: World, hostId: string): DriverSample {
  const at = advance(world);
  const host = hostOf(world, hostId);
  const traffic = migrationRates(world, hostId);
  const load = {
    cores: SYSTEM_CORES + (traffic.out * SEND_CORES + traffic.in * RECEIVE_CORES) / CORES_AT_BYTES_PER_SECOND,
    memory: HOST_SYSTEM_BYTES,
    out: traffic.out,
    in: traffic.in,
  };
  const running: Guest[] = [];
  for (const { inventory, state } of instancesOn(world, hostId)) {
    const guest = world.guests.get(inventory.uuid);
    if (guest === undefined) continue;
    load.memory += guest.nonzeroPages * PAGE_BYTES + (inventory.overheadBytes ?? OVERHEAD_BYTES);
    if (state !== "running") continue;
    running.push(guest);
    load.cores += cpuCoresAt(guest, at);
    load.out += (guest.config.networkBytesPerSecond ?? 0) * activityAt(guest, at);
  }
  const granted = Math.min(1, host.cores / load.cores);
  const vms = running.map((guest) => [guest.config.inventory.uuid, guestFigures(guest, at, granted)] as const);
  return { host: hostFigures(host, load, at), vms: Object.fromEntries(vms) };
}

/** Takes as long as its longest window, as a real measurement does. */
export async function dirtyCurveOf(world: World, hostId: string, uuid: string): Promise<DirtyCurveReport | null> {
  const fromMs = advance(world);
  const isRunning = (): boolean => world.instances.get(keyOf(hostId, uuid))?.state === "running";
  const guest = world.guests.get(uuid);
  if (guest === undefined) throw new DriverError("no-vm", `VM ${uuid} is not on ${hostId}`);
  if (!isRunning()) return null;
  await world.clock.sleep((CURVE_WINDOWS_MS.at(-1) ?? 0) / world.timeScale);
  advance(world);
  if (!isRunning()) return null;
  const bytes = sampledDirtyBytes(guest, fromMs, CURVE_WINDOWS_MS);
  return {
    // Wall time, as samples are stamped: simulated time soon lies too far in the future for whoever stores it.
    at: Math.round(world.clock.now()),
    method: "simulated",
    resolution_bytes: GIB / SAMPLES_PER_GIB,
    points: CURVE_WINDOWS_MS.map((windowMs, index) => [windowMs, bytes[index] ?? 0]),
  };
}
