// What VMs would need that cannot use more than they have.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { MEMORY_STEP_BYTES, neededCores, neededMemoryBytes } from "../../../worker/model/detection/needs.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";

const RUNS = { numRuns: 200, seed: 47 };

describe("cores", () => {
  test.each([
    ["at its SLO it needs what it has", [2], 4, 0.2, 0.2, 4],
    ["twice as slow, half used: 2 + 2 × 2", [2], 4, 0.4, 0.2, 6],
    ["saturated: a twentieth is taken to be left", [4], 4, 1, 0.1, 4 + 0.2 * 10],
    ["faster than it must be: less", [1], 4, 0.1, 0.2, 1 + 3 / 2],
    ["never over four times what it has", [2], 4, 100, 0.1, 16],
  ])("%s", (_, usedCores, vcpus, latencySeconds, sloSeconds, expected) => {
    expect(neededCores({ usedCores, vcpus, latencySeconds, sloSeconds })).toBeCloseTo(expected, 9);
  });

  test("with them, processor sharing keeps the SLO", () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.05, max: 0.94, noNaN: true }),
        fc.integer({ min: 1, max: 64 }),
        fc.double({ min: 1, max: 3, noNaN: true }),
        (load, vcpus, slowness) => {
          const used = load * vcpus;
          const needed = neededCores({ usedCores: [used], vcpus, latencySeconds: slowness, sloSeconds: 1 });
          fc.pre(needed < 4 * vcpus);
          const alone = slowness * (1 - load);
          expect((alone * vcpus) / needed / (1 - used / needed)).toBeCloseTo(1, 9);
        },
      ),
      RUNS,
    );
  });
});

describe("memory", () => {
  test.each([
    ["one that does not swap keeps what it has", 0, GIB],
    ["the least step", 2 * MIB, GIB + MEMORY_STEP_BYTES],
    ["as many steps as hold a second of swapping in", 100 * MIB, GIB + 4 * MEMORY_STEP_BYTES],
    ["never over four times what it has", 100 * GIB, 4 * GIB],
  ])("%s", (_, rate, expected) => {
    expect(neededMemoryBytes(GIB, rate, MIB)).toBe(expected);
  });

  test("is unknown where swapping is", () => {
    expect(neededMemoryBytes(GIB, undefined, MIB)).toBeNull();
  });
});
