// The simulated hypervisor: a world of hosts, links and guests behind the operations of the Driver interface, with faults on
// request. It knows nothing of the cost models: they see its telemetry only.
import { PAGE_BYTES } from "../../../worker/model/units.ts";
import { DriverError, type Driver } from "../driver.ts";
import { systemClock, type WallClock, type WorldConfig } from "./config.ts";
import { stalePages } from "./course.ts";
import {
  abandonIncoming,
  continueIncoming,
  killIncoming,
  observeIncoming,
  prepareIncoming,
  recoverIncoming,
} from "./incoming.ts";
import {
  cancelOutgoing,
  continueSource,
  forceSwitchover,
  migrationOf,
  observeOutgoing,
  recoverOutgoing,
  releaseSource,
  setBandwidth,
  setDowntimeLimit,
  startOutgoing,
  startPostCopy,
} from "./outgoing.ts";
import { preflight } from "./preflight.ts";
import { advance, createState, endAtSource, hostOf, pairOf, pausePostCopy, simulatedNow, type World } from "./state.ts";
import { dirtyCurveOf, inventoryOf, sampleOf, vmStatesOf } from "./telemetry.ts";

/** The operations of one host: a driver without its name and clock. */
export type HostOperations = Omit<Driver, "name" | "handshake" | "now" | "announce" | "close">;

export type Fault =
  /** Ends the destination's process of a VM. */
  | { kind: "kill-incoming"; hostId: string; uuid: string }
  | { kind: "cut-link"; hostIds: [string, string] }
  /** The link carries again; post-copies that it paused go on once they are recovered. */
  | { kind: "restore-link"; hostIds: [string, string] }
  | { kind: "pause-post-copy"; hostId: string; uuid: string };

/** What only the simulation can know of a VM: on which hosts its guest executes, and what its last migration left behind. */
export type Inspection = {
  runningOn: string[];
  /** Pages of the VM, and those whose newest content is not at the destination of its last migration from `hostId`. */
  pages: number;
  stalePages: number | null;
};

export type SimulatedHypervisor = {
  /** Simulated ms since 1970: `startAt` + (wall time − `startAt`) · `timeScale`. */
  now: () => number;
  readonly time: { startAt: number; timeScale: number };
  host: (hostId: string) => HostOperations;
  fault: (fault: Fault) => Promise<void>;
  inspect: (uuid: string) => Promise<Inspection>;
  close: () => Promise<void>;
};

function operationsOf(world: World, hostId: string): HostOperations {
  return {
    inventory: async () => inventoryOf(world, hostId),
    vmStates: async () => vmStatesOf(world, hostId),
    sample: async () => sampleOf(world, hostId),
    dirtyCurve: async (uuid) => dirtyCurveOf(world, hostId, uuid),
    preflight: async (spec) => preflight(world, hostId, spec),
    prepareIncoming: async (spec) => prepareIncoming(world, hostId, spec),
    observeIncoming: async (uuid) => observeIncoming(world, hostId, uuid),
    continueIncoming: async (uuid) => continueIncoming(world, hostId, uuid),
    abandonIncoming: async (uuid) => abandonIncoming(world, hostId, uuid),
    recoverIncoming: async (uuid) => recoverIncoming(world, hostId, uuid),
    startOutgoing: async (spec, migrationUri) => startOutgoing(world, hostId, spec, migrationUri),
    observeOutgoing: async (uuid, since, timeoutMs) => observeOutgoing(world, hostId, uuid, since, timeoutMs),
    setDowntimeLimit: async (uuid, downtimeLimitMs) => setDowntimeLimit(world, hostId, uuid, downtimeLimitMs),
    setBandwidth: async (uuid, bytesPerSecond) => setBandwidth(world, hostId, uuid, bytesPerSecond),
    startPostCopy: async (uuid) => startPostCopy(world, hostId, uuid),
    forceSwitchover: async (uuid) => forceSwitchover(world, hostId, uuid),
    cancelOutgoing: async (uuid) => cancelOutgoing(world, hostId, uuid),
    recoverOutgoing: async (uuid, migrationUri) => recoverOutgoing(world, hostId, uuid, migrationUri),
    releaseSource: async (uuid) => releaseSource(world, hostId, uuid),
    continueSource: async (uuid) => continueSource(world, hostId, uuid),
  };
}

function applyFault(world: World, fault: Fault): void {
  advance(world);
  if (fault.kind === "kill-incoming") return killIncoming(world, fault.hostId, fault.uuid);
  if (fault.kind === "pause-post-copy")
    return pausePostCopy(world, migrationOf(world, fault.hostId, fault.uuid), "paused on request");
  const pair = pairOf(...fault.hostIds);
  if (fault.kind === "restore-link") return void world.cuts.delete(pair);
  world.cuts.add(pair);
  for (const migration of world.active) {
    if (pairOf(migration.fromHostId, migration.toHostId) !== pair) continue;
    const detail = `the link between ${migration.fromHostId} and ${migration.toHostId} was cut`;
    if (migration.phase === "post-copy") pausePostCopy(world, migration, detail);
    else if (["setup", "pre-copy", "switchover"].includes(migration.phase))
      endAtSource(world, migration, "failed", detail);
  }
}

function inspect(world: World, uuid: string): Inspection {
  advance(world);
  const guest = world.guests.get(uuid);
  if (guest === undefined) throw new DriverError("no-vm", `the simulated world has no VM ${uuid}`);
  const running = [...world.instances.values()].filter(
    (instance) => instance.inventory.uuid === uuid && instance.state === "running",
  );
  const migrations = [...world.outgoing.values()].filter((migration) => migration.guest === guest);
  const last = migrations.toSorted((a, b) => a.startedAt - b.startedAt).at(-1);
  return {
    runningOn: running.map((instance) => instance.hostId),
    pages: guest.config.inventory.memoryBytes / PAGE_BYTES,
    stalePages: last === undefined ? null : stalePages(last),
  };
}

/** Throws an Error that says which figure of `config` cannot be. Costs nothing while nobody asks it anything. */
export function createWorld(config: WorldConfig, clock: WallClock = systemClock): SimulatedHypervisor {
  const world = createState(config, clock);
  return {
    now: () => simulatedNow(world),
    time: { startAt: world.startAt, timeScale: world.timeScale },
    host: (hostId) => {
      hostOf(world, hostId);
      return operationsOf(world, hostId);
    },
    fault: async (fault) => applyFault(world, fault),
    inspect: async (uuid) => inspect(world, uuid),
    close: async () => {},
  };
}
