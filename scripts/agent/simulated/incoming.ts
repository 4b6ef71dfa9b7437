// What a destination does: listen, load, continue, give up.
import { DriverError, objectionsIn, type IncomingState, type MigrationSpec } from "../driver.ts";
import { preflight } from "./preflight.ts";
import { createRandom, hashText } from "./random.ts";
import { advance, endAtSource, keyOf, losePostCopy, type Incoming, type Instance, type World } from "./state.ts";

export function prepareIncoming(world: World, hostId: string, spec: MigrationSpec): { migrationUri: string } {
  advance(world);
  const present = world.instances.get(keyOf(hostId, spec.vm.uuid))?.incoming;
  if (present?.migrationId === spec.migrationId && present.state === "listening")
    return { migrationUri: `sim:${present.token}` };
  const objections = objectionsIn(preflight(world, hostId, spec));
  if (objections.length > 0) throw new DriverError("preflight", objections.join("; "));
  const draw = createRandom(world.seed ^ hashText(`token ${world.tokens++}`));
  const token = Array.from({ length: 4 }, () =>
    Math.floor(draw.next() * 65_536)
      .toString(16)
      .padStart(4, "0"),
  ).join("");
  const { state: _, ...inventory } = spec.vm;
  world.instances.set(keyOf(hostId, spec.vm.uuid), {
    hostId,
    inventory,
    state: "inmigrate",
    incoming: { migrationId: spec.migrationId, token, state: "listening", detail: "", migration: null },
  });
  return { migrationUri: `sim:${token}` };
}

export function observeIncoming(world: World, hostId: string, uuid: string): IncomingState {
  advance(world);
  const instance = world.instances.get(keyOf(hostId, uuid));
  if (instance === undefined) return { state: "gone" };
  const { incoming } = instance;
  // A VM that has its home here runs here, or has left: `running` of an incoming side means that it still does.
  if (incoming === null || incoming.state === "running")
    return { state: ["running", "postcopy-paused"].includes(instance.state) ? "running" : "gone" };
  return incoming.detail === "" ? { state: incoming.state } : { state: incoming.state, detail: incoming.detail };
}

function incomingAt(world: World, hostId: string, uuid: string): { instance: Instance; incoming: Incoming } {
  const instance = world.instances.get(keyOf(hostId, uuid));
  if (instance === undefined || instance.incoming === null)
    throw new DriverError("no-incoming", `no incoming side of VM ${uuid} on ${hostId}`);
  return { instance, incoming: instance.incoming };
}

/**
 * Lets the VM run here. What the agents take to agree on it is real work in wall time: it enters the blackout once, not
 * `timeScale` times, so that a blackout compares with a real one at every time scale.
 */
export function continueIncoming(world: World, hostId: string, uuid: string): { resumedAtMs: number } {
  const now = advance(world);
  const { instance, incoming } = incomingAt(world, hostId, uuid);
  const { migration } = incoming;
  if (incoming.state === "running" && migration?.resumedAt != null) return { resumedAtMs: migration.resumedAt };
  if (incoming.state !== "loaded" || migration === null || migration.readyAt === null)
    throw new DriverError(
      "not-loaded",
      `the incoming side of VM ${uuid} is ${incoming.state}: its source has not stopped for good`,
    );
  const handshakeMs = (now - migration.readyAt) / world.timeScale;
  migration.resumedAt = migration.readyAt + handshakeMs + migration.random.logNormal(3, 0.4);
  incoming.state = "running";
  instance.state = migration.phase === "paused" ? "postcopy-paused" : "running";
  return { resumedAtMs: migration.resumedAt };
}

/** Listens anew for the source of a paused post-copy. */
export function recoverIncoming(world: World, hostId: string, uuid: string): { migrationUri: string } {
  advance(world);
  const { incoming } = incomingAt(world, hostId, uuid);
  if (incoming.migration?.phase !== "paused")
    throw new DriverError(
      "not-paused",
      `the migration of VM ${uuid} is ${incoming.migration?.phase ?? "not begun"} on ${hostId}: there is nothing to recover`,
    );
  return { migrationUri: `sim:${incoming.token}` };
}

/** Ends the destination's process, whatever it does. */
export function killIncoming(world: World, hostId: string, uuid: string): void {
  advance(world);
  const instance = world.instances.get(keyOf(hostId, uuid));
  if (instance === undefined) return;
  const migration = instance.incoming?.migration ?? null;
  const detail = `the process of VM ${uuid} on ${hostId} was killed`;
  if (migration?.phase === "post-copy") losePostCopy(world, migration, detail);
  else if (migration !== null && ["setup", "pre-copy", "switchover"].includes(migration.phase))
    endAtSource(world, migration, "failed", detail);
  world.instances.delete(keyOf(hostId, uuid));
}

export function abandonIncoming(world: World, hostId: string, uuid: string): void {
  advance(world);
  const instance = world.instances.get(keyOf(hostId, uuid));
  if (instance === undefined) return;
  if (instance.incoming === null || instance.incoming.state === "running")
    throw new DriverError(
      "running",
      `VM ${uuid} has run on ${hostId}: only an incoming side that never ran is abandoned`,
    );
  if (instance.incoming.migration?.postCopy === true && instance.incoming.state === "loaded")
    throw new DriverError(
      "past-point-of-no-return",
      `post-copy of VM ${uuid} has started: its memory lies on both hosts, continue it on ${hostId}`,
    );
  killIncoming(world, hostId, uuid);
}
