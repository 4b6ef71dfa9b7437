// What a source does: start, watch, steer, cancel, release.
import { PAGE_BYTES } from "../../../worker/model/units.ts";
import type { Progress } from "../../../worker/model/wire/event.ts";
import { DriverError, type MigrationSpec, type OutgoingCounters, type OutgoingState } from "../driver.ts";
import { createMigration, type Migration } from "./migration.ts";
import {
  advance,
  destinationOf,
  endAtSource,
  hostOf,
  keyOf,
  pairOf,
  resumePostCopy,
  sourceOf,
  type Instance,
  type World,
} from "./state.ts";

const RTT_MS = 0.2;
/** Wall ms between two looks at a migration that somebody waits for. */
const LOOK_MS = 20;

function listenerOf(world: World, migrationUri: string, uuid: string): Instance {
  for (const instance of world.instances.values()) {
    const { incoming } = instance;
    if (incoming === null || `sim:${incoming.token}` !== migrationUri) continue;
    if (instance.inventory.uuid === uuid && incoming.state === "listening" && incoming.migration === null)
      return instance;
  }
  throw new DriverError("connection-refused", `nobody listens at ${migrationUri} for VM ${uuid}`);
}

export function startOutgoing(
  world: World,
  hostId: string,
  spec: MigrationSpec,
  migrationUri: string,
): { startedAtMs: number } {
  const startedAt = advance(world);
  const { uuid } = spec.vm;
  const running = world.outgoing.get(keyOf(hostId, uuid));
  if (running !== undefined && running.spec.migrationId === spec.migrationId) return { startedAtMs: running.startedAt };
  const source = world.instances.get(keyOf(hostId, uuid));
  const guest = world.guests.get(uuid);
  if (source === undefined || guest === undefined) throw new DriverError("no-vm", `VM ${uuid} is not on ${hostId}`);
  if (source.state !== "running")
    throw new DriverError("not-running", `VM ${uuid} is ${source.state} on ${hostId}: only a running VM is migrated`);
  if (running !== undefined && world.active.has(running))
    throw new DriverError("busy", `VM ${uuid} is already being migrated to ${running.toHostId}`);
  const destination = listenerOf(world, migrationUri, uuid);
  if (world.cuts.has(pairOf(hostId, destination.hostId)))
    throw new DriverError("no-route", `${destination.hostId} cannot be reached from ${hostId}`);
  const rttMs = hostOf(world, hostId).rttMs ?? RTT_MS;
  const isPaused = spec.mechanism === "stop-and-copy";
  const stoppedAt = isPaused ? startedAt + 1 : null;
  const migration = createMigration({
    spec,
    guest,
    fromHostId: hostId,
    toHostId: destination.hostId,
    rttMs,
    startedAt,
    stoppedAt,
  });
  if (isPaused) source.state = "paused";
  if (destination.incoming !== null) destination.incoming.migration = migration;
  world.outgoing.set(keyOf(hostId, uuid), migration);
  world.active.add(migration);
  return { startedAtMs: startedAt };
}

function progressOf(migration: Migration, now: number): Progress {
  const { memory } = migration;
  const ending = migration.postCopy ? "post-copy" : "switchover";
  return {
    iteration: migration.syncs,
    totalBytes: migration.guest.pages * PAGE_BYTES,
    remainingBytes: (memory?.pendingPages ?? 0) * PAGE_BYTES,
    transferredBytes: Math.round(migration.transferredBytes),
    phase: migration.phase === "setup" || migration.phase === "pre-copy" ? migration.phase : ending,
    elapsedMs: (migration.completedAt ?? now) - migration.startedAt,
    throttleRatio: migration.throttleRatio,
    ...(migration.dirtyBytesPerSecond === null ? {} : { dirtyBytesPerSecond: migration.dirtyBytesPerSecond }),
    ...(migration.bytesPerSecond === null ? {} : { throughputBytesPerSecond: migration.bytesPerSecond }),
  };
}

function countersOf(migration: Migration): OutgoingCounters {
  return {
    transferredBytes: Math.round(migration.transferredBytes),
    transferredPages: migration.normalPages,
    zeroPages: migration.zeroPages,
    rounds: migration.rounds,
    throttleRatioMax: migration.throttleRatioMax,
    remoteFaults: migration.remoteFaults,
    hypervisorDowntimeMs: migration.hypervisorDowntimeMs,
  };
}

function stateOf(world: World, migration: Migration, now: number): OutgoingState {
  const progress = progressOf(migration, now);
  const { postCopy } = migration;
  const stoppedAtMs = migration.stoppedAt ?? now;
  switch (migration.phase) {
    case "completed": {
      const completedAtMs = migration.completedAt ?? now;
      return { state: "completed", postCopy, stoppedAtMs, completedAtMs, progress, counters: countersOf(migration) };
    }
    case "loaded":
    case "post-copy":
      return { state: "stopped", postCopy, stoppedAtMs, progress };
    case "paused":
      return { state: "paused", detail: migration.detail, progress };
    case "failed":
    case "cancelled": {
      const vmState = sourceOf(world, migration)?.state ?? "shutoff";
      return { state: migration.phase, detail: migration.detail, vmState };
    }
    default:
      return { state: "active", progress };
  }
}

export function migrationOf(world: World, hostId: string, uuid: string): Migration {
  const migration = world.outgoing.get(keyOf(hostId, uuid));
  if (migration === undefined) throw new DriverError("no-migration", `VM ${uuid} was not migrated away from ${hostId}`);
  return migration;
}

export async function observeOutgoing(
  world: World,
  hostId: string,
  uuid: string,
  since: OutgoingState["state"] | null,
  timeoutMs: number,
): Promise<OutgoingState> {
  const until = world.clock.now() + timeoutMs;
  for (;;) {
    const now = advance(world);
    const migration = migrationOf(world, hostId, uuid);
    const state = stateOf(world, migration, now);
    const leftMs = until - world.clock.now();
    if (state.state !== since || leftMs <= 0) return state;
    // The end of a switch-over is known beforehand: whoever waits for it sees it at once.
    const nextMs = migration.phase === "switchover" ? (migration.nextAt - now) / world.timeScale : LOOK_MS;
    await world.clock.sleep(Math.min(leftMs, Math.max(0.1, Math.min(nextMs, LOOK_MS))));
  }
}

function activeMigration(world: World, hostId: string, uuid: string): Migration {
  const migration = migrationOf(world, hostId, uuid);
  if (!world.active.has(migration))
    throw new DriverError(
      "no-migration",
      `the migration of VM ${uuid} is ${migration.phase}: there is nothing to steer`,
    );
  return migration;
}

export function setDowntimeLimit(world: World, hostId: string, uuid: string, downtimeLimitMs: number): void {
  advance(world);
  activeMigration(world, hostId, uuid).downtimeLimitMs = downtimeLimitMs;
}

export function setBandwidth(world: World, hostId: string, uuid: string, bytesPerSecond: number): void {
  advance(world);
  const migration = activeMigration(world, hostId, uuid);
  if (migration.postCopy) migration.maxPostCopyBytesPerSecond = bytesPerSecond;
  else migration.maxBandwidthBytesPerSecond = bytesPerSecond;
}

export function startPostCopy(world: World, hostId: string, uuid: string): void {
  advance(world);
  activeMigration(world, hostId, uuid).postCopyRequested = true;
}

export function forceSwitchover(world: World, hostId: string, uuid: string): void {
  const now = advance(world);
  const migration = activeMigration(world, hostId, uuid);
  const source = sourceOf(world, migration);
  migration.stoppedAt ??= now + migration.random.logNormal(2, 0.4);
  if (source?.state === "running") source.state = "paused";
}

export function cancelOutgoing(world: World, hostId: string, uuid: string): void {
  advance(world);
  const migration = migrationOf(world, hostId, uuid);
  if (migration.phase === "cancelled" || migration.phase === "failed") return;
  if (!["setup", "pre-copy", "switchover"].includes(migration.phase))
    throw new DriverError(
      "past-point-of-no-return",
      `the migration of VM ${uuid} is ${migration.phase}: the VM belongs to ${migration.toHostId} now`,
    );
  endAtSource(world, migration, "cancelled", "cancelled at the source");
}

export function recoverOutgoing(world: World, hostId: string, uuid: string, migrationUri: string): void {
  const now = advance(world);
  const migration = migrationOf(world, hostId, uuid);
  if (migration.phase !== "paused")
    throw new DriverError(
      "not-paused",
      `the migration of VM ${uuid} is ${migration.phase}: there is nothing to recover`,
    );
  if (world.cuts.has(pairOf(hostId, migration.toHostId)))
    throw new DriverError("no-route", `${migration.toHostId} cannot be reached from ${hostId}`);
  const destination = destinationOf(world, migration);
  if (destination === undefined || `sim:${destination.incoming?.token}` !== migrationUri)
    throw new DriverError("connection-refused", `nobody listens at ${migrationUri} for VM ${uuid}`);
  resumePostCopy(world, migration, now);
}

export function releaseSource(world: World, hostId: string, uuid: string): void {
  advance(world);
  const migration = migrationOf(world, hostId, uuid);
  if (migration.phase !== "completed")
    throw new DriverError(
      "not-completed",
      `the migration of VM ${uuid} is ${migration.phase}: its source is still needed`,
    );
  if (sourceOf(world, migration)?.state === "postmigrate") world.instances.delete(keyOf(hostId, uuid));
  migration.memory = null;
}

export function continueSource(world: World, hostId: string, uuid: string): void {
  advance(world);
  const migration = migrationOf(world, hostId, uuid);
  const source = sourceOf(world, migration);
  if (source === undefined) throw new DriverError("no-vm", `VM ${uuid} is not on ${hostId}`);
  if (source.state === "running") return;
  if (migration.postCopy || migration.phase !== "loaded" || migration.resumedAt !== null)
    throw new DriverError(
      "past-point-of-no-return",
      `the migration of VM ${uuid} is ${migration.phase}: what is here is no longer the VM`,
    );
  if (destinationOf(world, migration) !== undefined)
    throw new DriverError(
      "destination-alive",
      `the process of VM ${uuid} on ${migration.toHostId} is not dead: end it first, or the VM could run twice`,
    );
  endAtSource(world, migration, "failed", "continued at the source, its destination being dead");
}
