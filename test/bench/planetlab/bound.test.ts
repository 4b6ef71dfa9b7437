import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { boundKwh, hostsByMemory } from "../../../scripts/bench/advisor/planetlab/bound.ts";
import { drover } from "../../../scripts/bench/advisor/planetlab/drover.ts";
import { PEERS } from "../../../scripts/bench/advisor/planetlab/peers.ts";
import { simulate } from "../../../scripts/bench/advisor/planetlab/simulate.ts";
import { CLOUDSIM, STRICT } from "../../../scripts/bench/advisor/planetlab/world.ts";
import { steady, synthetic } from "./traces.ts";

const vmsOf = (sizes: readonly number[]) => sizes.map((memoryMegabytes) => ({ memoryMegabytes }));

/** Fewest bins by trying every choice. */
function fewest(sizes: readonly number[], bin: number, bins: readonly number[] = []): number {
  const [first, ...rest] = sizes;
  if (first === undefined) return bins.length;
  const tried = bins.flatMap((left, index) =>
    left >= first ? [fewest(rest, bin, bins.with(index, left - first))] : [],
  );
  return Math.min(...tried, fewest(rest, bin, [...bins, bin - first]));
}

describe("fewest hosts by memory", () => {
  test.each([
    ["nothing", [], 0],
    ["halves of a little less do not make thirds", [1740, 1740, 1740], 2],
    ["four quarters and a filler", [870, 870, 870, 870, 613], 1],
    ["sums alone would say two", [2100, 2100, 2100], 3],
  ] as const)("%s", (_, sizes, hosts) => {
    expect(hostsByMemory(vmsOf(sizes), 4096)).toBe(hosts);
  });

  test("is never more than are needed", () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 7 });
    fc.assert(
      fc.property(sizes, (chosen) => hostsByMemory(vmsOf(chosen), 60) <= fewest(chosen, 60)),
      { seed: 20_261_126, numRuns: 300 },
    );
  });
});

test("one host and a steady load: the bound is what it draws, but for the bend of its power", () => {
  // 0.5 × 2500 + 0.4 × 2000 MIPS: 0.3854 of a G5.
  const traces = [steady([50]), steady([40])];
  const bound = boundKwh(traces, CLOUDSIM, 2);
  const drawn = simulate(traces, drover(), CLOUDSIM, 2).energyKwh;
  expect(bound).toBeLessThanOrEqual(drawn);
  expect(bound).toBeGreaterThan(0.3 * drawn);
});

test.each([CLOUDSIM, STRICT])("no policy comes under the bound while VMs get what they want: $name", (accounting) => {
  const traces = synthetic(60, 20_261_126);
  const bound = boundKwh(traces, accounting, 40);
  for (const policy of [...PEERS, drover()]) {
    const { energyKwh, overallViolation } = simulate(traces, policy, accounting, 40);
    expect(energyKwh).toBeGreaterThan(bound * (1 - overallViolation));
  }
});
