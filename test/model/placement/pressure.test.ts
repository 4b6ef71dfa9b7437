// Hosts whose tasks wait or that swap are hot in what that stands for, and balance moves what pays.
import { describe, expect, test } from "vitest";
import type { HostLoad, Snapshot } from "../../../worker/model/cluster.ts";
import { createWorld } from "../../../worker/model/placement/create-world.ts";
import { buildPlan, efficacyNow } from "../../../worker/model/placement/index.ts";
import type { StrategyName } from "../../../worker/model/placement/types.ts";
import { CPU, MEMORY, ratioOf } from "../../../worker/model/placement/world.ts";
import { GIB, MIB, MINUTE_MS } from "../../../worker/model/units.ts";
import { AT, parametersOf, world } from "../../support/world.ts";

/** hv-01 with four VMs, 9 of 16 cores and 40 of 64 GiB in use, beside two hosts with little to do. */
function pressed(load: Partial<HostLoad>): Snapshot {
  const vm = (cpuUsedCores: number) => ({
    on: "hv-01",
    cpuUsedCores,
    load: { cpuUsedCores, memoryUsedBytes: 8 * GIB, memoryNonzeroBytes: 6 * GIB, at: AT },
    memoryBytes: 10 * GIB,
  });
  const snapshot = world({
    hosts: { "hv-01": { cpuUsedCores: 9 }, "hv-02": { cpuUsedCores: 2 }, "hv-03": { cpuUsedCores: 1 } },
    vms: { a: vm(3), b: vm(2), c: vm(2), d: vm(1) },
  });
  const [first, ...others] = snapshot.hosts;
  Object.assign(first?.load ?? {}, { memoryUsedBytes: 40 * GIB, ...load });
  for (const host of others) host.load.memoryUsedBytes = 4 * GIB;
  return snapshot;
}

const samples = (metric: string, values: number[]): Partial<HostLoad> => ({
  recent: { at: AT, stepMs: MINUTE_MS, series: { [metric]: values } },
});
const steady = (value: number): number[] => Array.from({ length: 30 }, () => value);
const plan = (load: Partial<HostLoad>, strategy: StrategyName = "sandpiper") =>
  buildPlan(pressed(load), "balance", parametersOf({ strategy }));

const cases: [string, Partial<HostLoad>, number, number, RegExp][] = [
  ["CPU pressure", { cpuPressureRatio: 0.5 }, CPU, 0.9, /CPU pressure: the average of 50 %/],
  ["memory pressure", { memoryPressureRatio: 0.5 }, MEMORY, 0.95, /Memory pressure: the average of 50 %/],
  ["swapping", { swapInBytesPerSecond: 64 * MIB }, MEMORY, 1 + 64 / 65_536, /Swapping in: the average of 64\.0 MiB\/s/],
  [
    "CPU pressure in all newest samples",
    samples("cpu_pressure_ratio", steady(0.4)),
    CPU,
    0.88,
    /CPU pressure: 5 of the newest 5 samples are over 20 %/,
  ],
];

describe.each(cases)("a host under %s", (_, load, resource, ratio, sentence) => {
  test("counts as using what that stands for, and is overloaded by it", () => {
    const snapshot = pressed(load);
    expect(ratioOf(createWorld(snapshot, parametersOf()), 0, resource)).toBeCloseTo(ratio, 9);
    const [before, after] = [pressed({}), snapshot].map((it) => efficacyNow(it, "balance", parametersOf()));
    expect([before?.hotHosts, after?.hotHosts]).toEqual([0, 1]);
    expect(before?.overloadedCores).toBeLessThan(0.01);
    expect(after?.overloadedCores).toBeGreaterThan(0.5);
  });

  test.each<StrategyName>(["sandpiper", "vectordot", "local-search"])(
    "is relieved by %s, which names it",
    (strategy) => {
      const { moves, seen, before, after } = plan(load, strategy);
      expect(moves.length).toBeGreaterThan(0);
      expect(moves.every(({ fromHostId, gain }) => fromHostId === "hv-01" && gain.net > 0)).toBe(true);
      expect(seen.join(" ")).toMatch(sentence);
      expect(seen.join(" ")).toMatch(/It counts as using \d+(\.\d)? % of its (cpu|memory)/);
      expect(moves[0]?.reasons.join(" ")).toMatch(sentence);
      expect(after.overloadedCores).toBeLessThan(before.overloadedCores);
    },
  );
});

describe("no move is made", () => {
  test.each<[string, Partial<HostLoad>]>([
    ["without pressure", {}],
    ["for pressure under the threshold", { cpuPressureRatio: 0.19, memoryPressureRatio: 0.19 }],
    ["for a little swapping", { swapInBytesPerSecond: MIB / 2 }],
    ["for a moment of pressure", samples("cpu_pressure_ratio", [...steady(0.05).slice(1), 0.9])],
    ["for figures that are old", { cpuPressureRatio: 0.9, at: AT - 6 * MINUTE_MS }],
  ])("%s", (_, load) => {
    expect(plan(load).moves).toEqual([]);
  });
});

test("nothing is moved to a host under CPU pressure, however little it uses", () => {
  const snapshot = pressed({ cpuUsedCores: 15 });
  Object.assign(snapshot.hosts[2]?.load ?? {}, { cpuPressureRatio: 0.9 });
  const { moves } = buildPlan(snapshot, "balance", parametersOf());
  expect(new Set(moves.map(({ toHostId }) => toHostId))).toEqual(new Set(["hv-02"]));
});
