import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { arrivalRejections, fits } from "../../../worker/model/placement/constraints.ts";
import { createWorld } from "../../../worker/model/placement/create-world.ts";
import { copyWorld, place, type World } from "../../../worker/model/placement/world.ts";
import { anyWorld, parametersOf } from "../../support/world.ts";

const SEED = 20_261_126;

/** A world, and moves as pairs of numbers that `walk` takes for a VM and a host. */
const anyWalk = fc.record({
  snapshot: anyWorld(),
  tolerant: fc.boolean(),
  steps: fc.array(fc.tuple(fc.nat(99), fc.nat(99)), { maxLength: 12 }),
});

const worldOf = ({ snapshot, tolerant }: { snapshot: Parameters<typeof createWorld>[0]; tolerant: boolean }): World =>
  createWorld(snapshot, parametersOf(tolerant ? { hostIds: ["hv-01"], scope: { hosts: { labels: {} } } } : {}));

/** Places VMs wherever the numbers say, fitting or not. */
function walk(world: World, steps: readonly [number, number][]): void {
  if (world.vms.length === 0) return;
  for (const [vm, host] of steps) place(world, vm % world.vms.length, host % world.hosts.length);
}

/** Everything that moves change, rounded to what sums of floating point keep. */
function stateOf(world: World) {
  const rounded = (array: Float64Array): number[] => [...array].map((value) => Math.round(value * 1e6) / 1e6 + 0);
  return {
    used: rounded(world.used),
    variance: rounded(world.variance),
    committed: [...world.committed],
    hostOf: [...world.hostOf],
    vmsOn: world.vmsOn.map((vms) => [...vms].toSorted((a, b) => a - b)),
    hugeFree: world.hugeFree.map((free) => Object.fromEntries(free)),
    counts: world.groups.counts.map((counts) => [...counts].filter(([, n]) => n !== 0).toSorted(([a], [b]) => a - b)),
  };
}

const forAny = (check: (walked: { world: World; steps: [number, number][] }) => void, numRuns = 200): void =>
  fc.assert(
    fc.property(anyWalk, ({ steps, ...stated }) => check({ world: worldOf(stated), steps })),
    { seed: SEED, numRuns },
  );

describe("a world", () => {
  test("is as it was once every VM is back where it came from", () => {
    forAny(({ world, steps }) => {
      const before = stateOf(world);
      walk(world, steps);
      world.vms.forEach((_, vm) => place(world, vm, world.origin[vm] ?? 0));
      expect(stateOf(world)).toEqual(before);
    });
  });

  test("is the same whatever way its VMs took", () => {
    forAny(({ world, steps }) => {
      const direct = copyWorld(world);
      walk(world, steps);
      world.vms.forEach((_, vm) => place(direct, vm, world.hostOf[vm] ?? 0));
      expect(stateOf(direct)).toEqual(stateOf(world));
    });
  });

  test("is not moved by what is moved in its copy, nor its copy by it", () => {
    forAny(({ world, steps }) => {
      const [copy, before] = [copyWorld(world), stateOf(world)];
      walk(copy, steps);
      expect(stateOf(world)).toEqual(before);
      const after = stateOf(copy);
      walk(world, steps.toReversed());
      expect(stateOf(copy)).toEqual(after);
    });
  });

  test("has a place for a VM exactly where nothing is said against it, from the start and after any moves", () => {
    let places = 0;
    forAny(({ world, steps }) => {
      for (const moves of [[], steps]) {
        walk(world, moves);
        world.vms.forEach((_, vm) =>
          world.hosts.forEach((__, host) => {
            const against = arrivalRejections(world, vm, host);
            if (against.length === 0) places += 1;
            expect({ against, fits: fits(world, vm, host) }).toEqual({ against, fits: against.length === 0 });
          }),
        );
      }
    });
    expect(places).toBeGreaterThan(1000);
  });
});
