// The state of a simulated world and its passing of time. It moves only when somebody looks: `advance` runs every step that
// is due, in the order of time.
import type { VmInventory, VmState } from "../../../worker/model/wire/inventory.ts";
import { DriverError, type IncomingState } from "../driver.ts";
import { checkWorld, type SimulatedHost, type WallClock, type WorldConfig } from "./config.ts";
import { stepMigration } from "./course.ts";
import { createGuest, type Guest } from "./guest.ts";
import { fairRates, type Flow } from "./link.ts";
import type { Migration } from "./migration.ts";

/** A hypervisor process on a host. Of all instances of a VM at most one runs its guest. */
export type Instance = {
  readonly hostId: string;
  readonly inventory: Omit<VmInventory, "state">;
  state: VmState;
  /** How it came here; null for a VM that was here from the beginning. */
  incoming: Incoming | null;
};

export type Incoming = {
  readonly migrationId: string;
  readonly token: string;
  state: IncomingState["state"];
  detail: string;
  migration: Migration | null;
};

export type World = {
  readonly clock: WallClock;
  readonly timeScale: number;
  readonly seed: number;
  /** Wall time at which the world began, and its simulated time then. */
  readonly startAt: number;
  readonly hosts: Map<string, SimulatedHost>;
  readonly guests: Map<string, Guest>;
  readonly instances: Map<string, Instance>;
  /** The last outgoing migration of a VM from a host, also after its end. */
  readonly outgoing: Map<string, Migration>;
  readonly active: Set<Migration>;
  /** Pairs of hosts that cannot reach each other. */
  readonly cuts: Set<string>;
  tokens: number;
};

export const keyOf = (hostId: string, uuid: string): string => `${hostId} ${uuid}`;
export const pairOf = (a: string, b: string): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

export function createState(config: WorldConfig, clock: WallClock): World {
  checkWorld(config);
  const guests = config.vms.map((vm) => createGuest(vm, config.seed));
  return {
    clock,
    timeScale: config.timeScale,
    seed: config.seed,
    startAt: clock.now(),
    hosts: new Map(config.hosts.map((host) => [host.id, host])),
    guests: new Map(guests.map((guest) => [guest.config.inventory.uuid, guest])),
    instances: new Map(
      config.vms.map((vm) => [
        keyOf(vm.hostId, vm.inventory.uuid),
        { hostId: vm.hostId, inventory: vm.inventory, state: vm.state ?? "running", incoming: null },
      ]),
    ),
    outgoing: new Map(),
    active: new Set(),
    cuts: new Set(),
    tokens: 0,
  };
}

/** Simulated ms since 1970: wall time at the beginning, `timeScale` times faster since. */
export function simulatedNow(world: World): number {
  return world.startAt + (world.clock.now() - world.startAt) * world.timeScale;
}

export function hostOf(world: World, hostId: string): SimulatedHost {
  const host = world.hosts.get(hostId);
  if (host === undefined) throw new DriverError("unknown-host", `the simulated world has no host ${hostId}`);
  return host;
}

export function instancesOn(world: World, hostId: string): Instance[] {
  return [...world.instances.values()].filter((instance) => instance.hostId === hostId);
}

export const sourceOf = (world: World, migration: Migration): Instance | undefined =>
  world.instances.get(keyOf(migration.fromHostId, migration.spec.vm.uuid));

/** The destination's process, if it still is the one that this migration goes to. */
export function destinationOf(world: World, migration: Migration): Instance | undefined {
  const instance = world.instances.get(keyOf(migration.toHostId, migration.spec.vm.uuid));
  return instance?.incoming?.migration === migration ? instance : undefined;
}

function demandOf(migration: Migration): number {
  if (migration.phase === "pre-copy") return migration.maxBandwidthBytesPerSecond;
  return migration.phase === "post-copy" ? migration.maxPostCopyBytesPerSecond : Infinity;
}

/** What the line between two hosts would carry for this migration, if it sent as fast as it can. */
function lineRate(world: World, migration: Migration): number {
  const sending = [...world.active].filter(
    (other) => other !== migration && ["pre-copy", "switchover", "post-copy"].includes(other.phase),
  );
  const flow = (of: Migration, demandBytesPerSecond: number): Flow => ({
    fromHostId: of.fromHostId,
    toHostId: of.toHostId,
    demandBytesPerSecond,
  });
  const flows = [flow(migration, Infinity), ...sending.map((of) => flow(of, demandOf(of)))];
  const capacity = (hostId: string): number => world.hosts.get(hostId)?.linkBytesPerSecond ?? 0;
  return fairRates(flows, capacity)[0] ?? 0;
}

/** What a step of a migration means for the processes at both ends. */
function settle(world: World, migration: Migration): void {
  const source = sourceOf(world, migration);
  const incoming = destinationOf(world, migration)?.incoming;
  if (migration.stoppedAt !== null && source?.state === "running") source.state = "paused";
  if (migration.phase === "loaded" || migration.phase === "post-copy") {
    if (source !== undefined && source.state === "paused") source.state = "postmigrate";
    if (incoming?.state === "listening") incoming.state = "loaded";
  }
}

function complete(world: World, migration: Migration, now: number): void {
  const { resumedAt, sentAt } = migration;
  if (resumedAt === null || sentAt === null) return;
  const completedAt = Math.max(resumedAt, sentAt) + migration.rttMs;
  if (completedAt > now) return;
  migration.completedAt = completedAt;
  migration.phase = "completed";
  migration.nextAt = Infinity;
  world.active.delete(migration);
}

/** Lets everything happen that is due, and returns the simulated time. */
export function advance(world: World): number {
  const now = simulatedNow(world);
  for (;;) {
    let due: Migration | null = null;
    for (const migration of world.active) if (due === null || migration.nextAt < due.nextAt) due = migration;
    if (due === null || due.nextAt > now) break;
    stepMigration(due, { lineBytesPerSecond: (migration) => lineRate(world, migration) });
    settle(world, due);
  }
  for (const migration of world.active) complete(world, migration, now);
  return now;
}

/** Before the point of no return: the guest goes on at the source, the incoming side is of no more use. */
export function endAtSource(world: World, migration: Migration, phase: "failed" | "cancelled", detail: string): void {
  migration.phase = phase;
  migration.detail = detail;
  migration.nextAt = Infinity;
  migration.memory = null;
  world.active.delete(migration);
  const source = sourceOf(world, migration);
  if (source !== undefined) source.state = "running";
  const incoming = destinationOf(world, migration)?.incoming;
  if (incoming !== undefined && incoming !== null) {
    incoming.state = "failed";
    incoming.detail = detail;
  }
}

/** The destination of a post-copy died: the source waits for it, and part of the VM's memory is gone for good. */
export function losePostCopy(world: World, migration: Migration, detail: string): void {
  migration.phase = "paused";
  migration.detail = detail;
  migration.nextAt = Infinity;
  world.active.delete(migration);
}

/** Post-copy without a link: the guest stands wherever it misses a page, and neither side can go on alone. */
export function pausePostCopy(world: World, migration: Migration, detail: string): void {
  if (migration.phase !== "post-copy" || migration.sentAt !== null) return;
  migration.phase = "paused";
  migration.detail = detail;
  migration.nextAt = Infinity;
  const destination = destinationOf(world, migration);
  if (destination?.state === "running") destination.state = "postcopy-paused";
}

/** The source has connected again to a destination that listens anew: post-copy goes on. */
export function resumePostCopy(world: World, migration: Migration, now: number): void {
  const destination = destinationOf(world, migration);
  if (migration.phase !== "paused" || destination === undefined) return;
  migration.phase = "post-copy";
  migration.detail = "";
  migration.nextAt = now;
  if (destination.state === "postcopy-paused") destination.state = "running";
}
