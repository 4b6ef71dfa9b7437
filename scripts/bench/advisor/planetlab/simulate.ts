// The PlanetLab power benchmark: a day of control steps every 300 s, with the migrations that a policy plans at each.
import { advance, type Meters, newMeters, type Result, resultOf, share } from "./meters.ts";
import { HOSTS, migrationSeconds, wattsOf } from "./machines.ts";
import { placeFirst } from "./first-placement.ts";
import { OFFSET_SECONDS, SAMPLES, STEP_SECONDS, type Trace } from "./traces.ts";
import { type Accounting, remember, setDemands, type SimHost, type SimVm, type World, worldOf } from "./world.ts";

export type SimMove = { vm: SimVm; to: SimHost };
/** What is to be moved now, in this order; the world is left as it is. `step` counts from 1. */
export type Policy = { name: string; plan: (world: World, step: number, accounting: Accounting) => SimMove[] };

export function simulate(traces: readonly Trace[], policy: Policy, accounting: Accounting, hosts = HOSTS): Result {
  const world = worldOf(traces, hosts);
  const meters = newMeters();
  placeFirst(world);
  let at = OFFSET_SECONDS;
  for (let step = 1; step < SAMPLES; step++) {
    at += STEP_SECONDS;
    tick(world, meters, accounting, at);
    remember(world.vms);
    const moves = policy.plan(world, step, accounting);
    if (moves.length > 0) migrate(world, meters, accounting, moves, at);
  }
  return resultOf(meters, world.vms.length);
}

function tick(world: World, meters: Meters, accounting: Accounting, at: number): void {
  advance(meters, world, accounting, () => setDemands(world.vms, at), at);
  if (accounting.idleVmsVanish) removeIdle(world);
}

function removeIdle(world: World): void {
  const gone = new Set(world.vms.filter(({ demand, migrating }) => demand === 0 && !migrating));
  if (gone.size === 0) return;
  world.vms = world.vms.filter((vm) => !gone.has(vm));
  for (const host of new Set([...gone].map((vm) => vm.host))) {
    if (host === null) continue;
    host.vms = host.vms.filter((vm) => !gone.has(vm));
    host.on = host.vms.length > 0;
  }
}

type Event = { at: number; starts: SimMove[]; ends: SimMove[] };

/** All of one step at once, without contention; a host that was off boots first. */
function migrate(world: World, meters: Meters, accounting: Accounting, moves: readonly SimMove[], now: number): void {
  const booting = new Set(moves.map(({ to }) => to).filter(({ vms }) => vms.length === 0));
  for (const host of booting) {
    meters.boots++;
    meters.bootJoules += wattsOf(host.machine, 1) * accounting.bootSeconds;
  }
  meters.migrations += moves.length;
  const events = new Map<number, Event>();
  const eventAt = (at: number): Event => {
    const event = events.get(at) ?? { at, starts: [], ends: [] };
    events.set(at, event);
    return event;
  };
  for (const move of moves) {
    const start = now + (booting.has(move.to) ? accounting.bootSeconds : 0);
    eventAt(start).starts.push(move);
    eventAt(start + migrationSeconds(move.vm.memoryMegabytes)).ends.push(move);
  }
  for (const event of [...events.values()].toSorted((a, b) => a.at - b.at)) {
    if (event.at > now) tick(world, meters, accounting, event.at);
    event.ends.forEach(arrive);
    event.starts.forEach(depart);
    world.hosts.forEach(share);
  }
}

function depart({ vm, to }: SimMove): void {
  vm.migrating = true;
  to.vms.push(vm);
}

/** What arrives goes to the end of the list. */
function arrive({ vm, to }: SimMove): void {
  for (const host of [vm.host, to]) host?.vms.splice(host.vms.indexOf(vm), 1);
  to.vms.push(vm);
  vm.host = to;
  vm.migrating = false;
}
