// The hole that a big VM needs is kept for it: no move of an earlier wave takes it for good.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fits } from "../../../worker/model/placement/constraints.ts";
import { createWorld } from "../../../worker/model/placement/create-world.ts";
import { schedule, type Step } from "../../../worker/model/placement/schedule.ts";
import { arrive, copyWorld, depart, place, type World } from "../../../worker/model/placement/world.ts";
import { GIB } from "../../../worker/model/units.ts";
import { parametersOf, world } from "../../support/world.ts";

const SEED = 20_261_126;

type VmCase = { size: number; from: number; to: number };

/** A cluster of hosts of `room` GiB, and the moves from where the VMs are to where they are to be, in the order given. */
function questionOf(hosts: number, room: number, vms: readonly VmCase[]): { start: World; moves: Step[] } {
  const id = (host: number): string => `hv-0${(host % hosts) + 1}`;
  const start = createWorld(
    world({
      hosts: Object.fromEntries(Array.from({ length: hosts }, (_, host) => [id(host), { memoryBytes: room * GIB }])),
      vms: Object.fromEntries(
        vms.map(({ size, from }, n) => [`vm-${n}`, { on: id(from), memoryBytes: size * GIB, cpuUsedCores: 0.1 }]),
      ),
    }),
    parametersOf({ memoryReserveRatio: 0, cpuRatioMax: 1 }),
  );
  const moves = vms.map(({ to }, n) => {
    const vm = start.vms.findIndex(({ name }) => name === `vm-${n}`);
    return { vm, from: start.hostOf[vm] ?? 0, to: to % hosts };
  });
  return { start, moves: moves.filter(({ from, to }) => from !== to) };
}

/** Whether the moves can be made one after the other in some order: all orders are tried. */
function hasOrder(state: World, left: readonly Step[]): boolean {
  return (
    left.length === 0 ||
    left.some((step) => {
      if (!fits(state, step.vm, step.to)) return false;
      place(state, step.vm, step.to);
      const found = hasOrder(
        state,
        left.filter((other) => other !== step),
      );
      place(state, step.vm, step.from);
      return found;
    })
  );
}

/** Whether making whatever fits first, in the order given, leaves some move without its room. */
function isTrap(start: World, moves: readonly Step[]): boolean {
  const state = copyWorld(start);
  let left = [...moves];
  for (;;) {
    const next = left.find(({ vm, to }) => fits(state, vm, to));
    if (next === undefined) return left.length > 0;
    place(state, next.vm, next.to);
    left = left.filter((step) => step !== next);
  }
}

const anyCase = fc
  .record({
    hosts: fc.integer({ min: 2, max: 4 }),
    vms: fc.array(fc.record({ size: fc.integer({ min: 1, max: 6 }), from: fc.nat(3), to: fc.nat(3) }), {
      minLength: 2,
      maxLength: 6,
    }),
  })
  .map(({ hosts, vms }) => questionOf(hosts, 10, vms))
  .filter(({ start, moves }) => {
    const end = copyWorld(start);
    for (const { vm, to } of moves) place(end, vm, to);
    const isFull = (state: World) => state.committed.some((bytes, host) => bytes > (state.ceiling[host] ?? 0));
    return !isFull(start) && !isFull(end);
  });

describe("a schedule of moves that fit where they end", { timeout: 60_000 }, () => {
  test("makes all of them without parking any, wherever some order does", () => {
    let traps = 0;
    fc.assert(
      fc.property(anyCase, ({ start, moves }) => {
        if (!hasOrder(copyWorld(start), moves)) return;
        traps += isTrap(start, moves) ? 1 : 0;
        const { steps, impossible } = schedule(start, moves);
        expect(impossible).toEqual([]);
        expect(steps.filter(({ parking }) => parking)).toEqual([]);
      }),
      { seed: SEED, numRuns: 4000 },
    );
    expect(traps, "cases in which first come, first served would leave one without its room").toBeGreaterThan(10);
  });

  test("never fills the biggest VM's destination so that it can no longer fit: it arrives, and nothing is overfull on the way", () => {
    fc.assert(
      fc.property(anyCase, ({ start, moves }) => {
        const { steps, impossible } = schedule(start, moves);
        const biggest = moves.toSorted((a, b) => (start.vmBytes[b.vm] ?? 0) - (start.vmBytes[a.vm] ?? 0))[0];
        if (biggest === undefined || !hasOrder(copyWorld(start), moves)) return;
        expect(impossible).toEqual([]);
        const state = copyWorld(start);
        for (const wave of Map.groupBy(steps, (step) => step.wave).values()) {
          for (const { vm, to } of wave) arrive(state, vm, to);
          state.committed.forEach((bytes, host) => expect(bytes).toBeLessThanOrEqual(state.ceiling[host] ?? 0));
          for (const { vm, from } of wave) depart(state, vm, from);
        }
        expect(state.hostOf[biggest.vm]).toBe(biggest.to);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });
});

test("a small VM that comes first in the plan waits for the big one that needs its hole", () => {
  // hv-01: 4 of 10 in use; small (2) would leave 4 free, and big (6) and other (4) could never change places.
  const { start, moves } = questionOf(3, 10, [
    { size: 2, from: 2, to: 0 },
    { size: 6, from: 1, to: 0 },
    { size: 4, from: 0, to: 1 },
    { size: 2, from: 1, to: 1 },
    { size: 8, from: 2, to: 2 },
  ]);
  const { steps, impossible } = schedule(start, moves);
  const told = steps.map(({ vm, to, wave }) => `${wave}: ${start.vms[vm]?.name} to ${start.hosts[to]?.hostId}`);
  expect(told).toEqual(["1: vm-1 to hv-01", "2: vm-2 to hv-02", "3: vm-0 to hv-01"]);
  expect(impossible).toEqual([]);
});
