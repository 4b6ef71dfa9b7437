import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { imbalanceBound } from "../../../../worker/model/placement/search/bound.ts";
import { searchBalance } from "../../../../worker/model/placement/search/search.ts";
import {
  imbalanceOf,
  makeMove,
  rollBack,
  skewChange,
  stateOf,
} from "../../../../worker/model/placement/search/state.ts";
import { anyWorld, committedOn, imbalanceAnew, inputOf, leastImbalance, loadsOn, tinyWorld } from "./worlds.ts";
import type { WorldSpec } from "./worlds.ts";

const NEAR = 1e-9;

describe("the search", () => {
  const anyOptions = fc.record({
    evaluationsMax: fc.constantFrom(0, 10, 300, 5000, 100_000),
    seed: fc.nat(),
    remainRatio: fc.constantFrom(0, 0.05, 0.3, 1),
    movedBytesMax: fc.constantFrom(Infinity, 60, 15, 0),
    movesMax: fc.constantFrom(Infinity, 3, 1),
  });

  test("never leaves a cluster less even than it was, and says what it leaves", () =>
    fc.assert(
      fc.property(anyWorld, anyOptions, (world, options) => {
        const { input } = inputOf(world);
        const found = searchBalance(input, options);
        expect(found.imbalance).toBeLessThanOrEqual(found.imbalanceBefore + NEAR);
        expect(found.imbalanceBefore).toBeCloseTo(imbalanceAnew(world, input.hostOf), 9);
        expect(found.imbalance).toBeCloseTo(imbalanceAnew(world, found.hostOf), 9);
        const moved = found.moves.reduce((sum, { vm }) => sum + (input.vmBytes[vm] ?? 0), 0);
        expect(found.movedBytes).toBeCloseTo(moved, 6);
      }),
    ));

  test("breaks no limit and no rule", () =>
    fc.assert(
      fc.property(anyWorld, anyOptions, (world, options) => {
        const { input, believed } = inputOf(world);
        const found = searchBalance(input, options);
        const used = loadsOn(world, found.hostOf);
        const committed = committedOn(world, found.hostOf);
        for (const { vm, from, to } of found.moves) {
          expect(input.hostOf[vm]).toBe(from);
          expect(input.movable[vm]).toBe(1);
          expect(committed[to]).toBeLessThanOrEqual(input.committedMax[to] ?? 0);
          expect(used[2 * to]).toBeLessThanOrEqual((input.usedMax[2 * to] ?? 0) + NEAR);
          expect(world.never ?? []).not.toContainEqual([vm, to]);
        }
        for (const group of world.apart ?? []) {
          const present = group.filter((vm) => vm < world.vms.length);
          expect(new Set(present.map((vm) => found.hostOf[vm])).size).toBe(present.length);
        }
        expect(found.movedBytes).toBeLessThanOrEqual(options.movedBytesMax);
        expect(found.moves.length).toBeLessThanOrEqual(options.movesMax);
        expect(believed, "the rules were told of every move").toEqual(found.hostOf);
      }),
    ));

  test("gives the same answer to the same question", () =>
    fc.assert(
      fc.property(anyWorld, anyOptions, (world, options) => {
        expect(searchBalance(inputOf(world).input, options)).toEqual(searchBalance(inputOf(world).input, options));
      }),
    ));

  test("is never worse with a larger budget", () =>
    fc.assert(
      fc.property(anyWorld, fc.constantFrom(0, 0.1), fc.nat(4000), fc.nat(4000), (world, remainRatio, one, other) => {
        const [small, large] = [Math.min(one, other), Math.max(one, other)].map((evaluationsMax) =>
          searchBalance(inputOf(world).input, { remainRatio, evaluationsMax }),
        );
        if (small === undefined || large === undefined) throw new Error("two answers");
        const enough = small.bound + remainRatio * (small.imbalanceBefore - small.bound);
        const [less, more] = [Math.max(small.imbalance, enough), Math.max(large.imbalance, enough)];
        expect(more).toBeLessThanOrEqual(less + NEAR);
        // As even, it moves no more bytes.
        expect(more > less - NEAR && large.movedBytes > small.movedBytes + NEAR).toBe(false);
      }),
    ));

  test("moves no bytes that even out less than they cost", () =>
    fc.assert(
      fc.property(
        anyWorld,
        fc.constantFrom(0.0001, 0.001, 0.01),
        fc.constantFrom(300, 100_000),
        (world, price, budget) => {
          const { input } = inputOf(world);
          const { terms } = stateOf(input);
          const found = searchBalance(input, { remainRatio: 0, pricePerByte: price, evaluationsMax: budget });
          const gained = (found.imbalanceBefore ** 2 - found.imbalance ** 2) * terms;
          expect(price * found.movedBytes).toBeLessThanOrEqual(gained + NEAR);
        },
      ),
    ));

  test("ends by itself where hosts are alike and no more bytes may be moved", () => {
    const vms = Array.from({ length: 8 }, () => ({ on: 0, cpu: 1, memory: 10 }));
    const { input } = inputOf({ hosts: [{}, {}, {}], vms });
    const found = searchBalance(input, { movedBytesMax: 10, evaluationsMax: 10_000_000 });
    expect(found).toMatchObject({ cutShort: false, movedBytes: 10 });
  });

  test("says that it was cut short, and keeps within its budget but for the look it was in", () => {
    const world: WorldSpec = {
      hosts: Array.from({ length: 6 }, () => ({})),
      vms: Array.from({ length: 24 }, (_, vm) => ({ on: vm % 2, cpu: 0.5 + (vm % 7) / 10, memory: 3 + (vm % 5) })),
    };
    const short = searchBalance(inputOf(world).input, { evaluationsMax: 200 });
    expect(short.cutShort).toBe(true);
    expect(short.evaluations).toBeLessThan(200 + 24 * 24);
    const long = searchBalance(inputOf(world).input);
    expect(long.cutShort).toBe(false);
    expect(long.imbalance).toBeLessThan(short.imbalance);
  });

  test("finds the best of all placements where these can be tried", () =>
    fc.assert(
      fc.property(tinyWorld, (world) => {
        const found = searchBalance(inputOf(world).input, { remainRatio: 0, kicksMax: 1000 });
        expect(found.imbalance).toBeCloseTo(leastImbalance(world), 6);
      }),
      { numRuns: 40, seed: 7 },
    ));

  test("moves small VMs where these even out as much as a big one", () => {
    const world: WorldSpec = {
      hosts: [{}, {}],
      vms: [
        { on: 0, cpu: 2, memory: 10, bytes: 60 },
        { on: 0, cpu: 2, memory: 10, bytes: 11 },
        { on: 0, cpu: 1, memory: 5, bytes: 6 },
        { on: 0, cpu: 1, memory: 5, bytes: 6 },
        { on: 1, cpu: 2, memory: 10, bytes: 11 },
      ],
    };
    const { moves, imbalance, movedBytes } = searchBalance(inputOf(world).input, { remainRatio: 0 });
    expect(imbalance).toBeCloseTo(0.0, 9);
    expect(moves.map(({ vm }) => vm)).not.toContain(0);
    expect(movedBytes).toBeLessThanOrEqual(12);
  });

  test("swaps where no host has room for another VM", () => {
    const world: WorldSpec = {
      hosts: [{ bytes: 20 }, { bytes: 20 }],
      vms: [
        { on: 0, cpu: 4, memory: 10 },
        { on: 0, cpu: 4, memory: 10 },
        { on: 1, cpu: 1, memory: 10 },
        { on: 1, cpu: 1, memory: 10 },
      ],
    };
    const { moves, imbalance } = searchBalance(inputOf(world).input, { remainRatio: 0 });
    expect(imbalance).toBeCloseTo(0, 9);
    expect(moves).toHaveLength(2);
  });

  test.each([
    ["no hosts", { hosts: [], vms: [] }],
    ["one host", { hosts: [{}], vms: [{ on: 0, cpu: 3, memory: 9 }] }],
    ["no VMs", { hosts: [{}, {}], vms: [] }],
    ["idle VMs only", { hosts: [{}, {}], vms: [{ on: 0, cpu: 0, memory: 0 }] }],
  ] satisfies [string, WorldSpec][])("moves nothing: %s", (_, world) => {
    const found = searchBalance(inputOf(world).input, { remainRatio: 0 });
    expect(found).toMatchObject({ moves: [], movedBytes: 0, cutShort: false });
    expect(found.imbalance).toBe(found.imbalanceBefore);
  });
});

describe("its state", () => {
  test("knows what a move changes before it is made, and takes it back", () =>
    fc.assert(
      fc.property(anyWorld, fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 }), (world, steps) => {
        const { input } = inputOf(world);
        const state = stateOf(input);
        const { total } = state;
        for (const [vm, host] of steps) {
          const [of, to] = [vm % (world.vms.length || 1), host % world.hosts.length];
          if (input.movable[of] !== 1 || state.hostOf[of] === to) continue;
          const expected = state.total + skewChange(state, of, to, 1) - (state.leaving[of] ?? 0);
          makeMove(state, of, to);
          expect(state.total).toBeCloseTo(expected, 9);
          expect(imbalanceOf(state)).toBeCloseTo(imbalanceAnew(world, state.hostOf), 9);
        }
        rollBack(state, 0);
        expect(state.total).toBeCloseTo(total, 9);
        expect([...state.hostOf]).toEqual([...input.hostOf]);
        expect(state).toMatchObject({ movedBytes: 0, movedVms: 0 });
      }),
    ));
});

describe("the bound", () => {
  test("is never above the best of all placements", () =>
    fc.assert(
      fc.property(tinyWorld, (world) => {
        expect(imbalanceBound(inputOf(world).input)).toBeLessThanOrEqual(leastImbalance(world) + NEAR);
      }),
      { numRuns: 60, seed: 11 },
    ));

  test("is what a VM too big for a fair share costs, and what the others then lack at least", () => {
    // Mean 5/20: wherever the VM is, a host is 0.25 over it. The 2.5 cores lacking are spread over both: 2.5² / (10² + 10²).
    const world: WorldSpec = { hosts: [{}, {}], vms: [{ on: 0, cpu: 5, memory: 0 }] };
    expect(imbalanceBound(inputOf(world).input)).toBeCloseTo(Math.sqrt((0.25 ** 2 + 2.5 ** 2 / 200) / 4), 12);
  });

  test("counts what cannot leave its host", () => {
    const vms = Array.from({ length: 4 }, () => ({ on: 0, cpu: 1, memory: 0 }));
    const movable = { hosts: [{}, {}], vms };
    const pinned = { hosts: [{}, {}], vms: vms.map((vm) => ({ ...vm, movable: false })) };
    expect(imbalanceBound(inputOf(movable).input)).toBe(0);
    expect(imbalanceBound(inputOf(pinned).input)).toBeCloseTo(imbalanceAnew(pinned, [0, 0, 0, 0]), 12);
  });
});
