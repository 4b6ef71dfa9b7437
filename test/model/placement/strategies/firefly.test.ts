import { describe, expect, test } from "vitest";
import { randomOf } from "../../../../worker/model/forecast/random.ts";
import { createWorld } from "../../../../worker/model/placement/create-world.ts";
import { attractiveness, brightness, sightOf } from "../../../../worker/model/placement/fireflies.ts";
import { buildPlan } from "../../../../worker/model/placement/index.ts";
import type { Goal, PlanContent, PlanParameters } from "../../../../worker/model/placement/types.ts";
import { GIB, HOUR_MS } from "../../../../worker/model/units.ts";
import { expectOnRecord, routeOf } from "../../../support/golden-plan.ts";
import { AT, type HostSpec, parametersOf, type VmSpec, world, type WorldSpec } from "../../../support/world.ts";

const planned = (spec: WorldSpec, stated: Partial<PlanParameters> = {}, goal: Goal = "consolidate"): PlanContent =>
  buildPlan(world(spec), goal, parametersOf({ strategy: "firefly", ...stated }));

const host: HostSpec = { power: { idleWatts: 100, peakWatts: 260 } };

const vm = (on: string, cpuUsedCores: number, gib = 4): VmSpec => ({
  on,
  memoryBytes: gib * GIB,
  load: { cpuUsedCores, memoryUsedBytes: gib * GIB, memoryNonzeroBytes: GIB, memoryDirtyBytesPerSecond: 1e6, at: AT },
});

/** Three hosts of 16 cores: one half in use, two cold. */
const cluster: WorldSpec = {
  hosts: { "hv-01": host, "hv-02": host, "hv-03": host },
  vms: {
    db: vm("hv-01", 5, 16),
    app: vm("hv-01", 3, 8),
    web: vm("hv-02", 2),
    proxy: vm("hv-02", 1),
    mail: vm("hv-03", 1, 2),
    batch: vm("hv-03", 0.5, 2),
  },
};

describe("fireflies", () => {
  test.each([
    [0, 1],
    [0.5, 0.3679],
    [Math.SQRT1_2, 0.1353],
    [1, 0.0183],
  ])("attractiveness at distance %d is %d", (distance, beta) => {
    expect(attractiveness(distance)).toBeCloseTo(beta, 4);
  });

  test("brightness is 1 / (energy · load), and finite where either is 0", () => {
    expect(brightness(20, 0.5)).toBeCloseTo(0.1, 12);
    expect(brightness(0, 0)).toBe(100);
  });

  test("what a host looks like: watts that the VM adds, load with it, distance from filling it", () => {
    const state = createWorld(world(cluster), parametersOf());
    const [web, to] = [state.vms.findIndex(({ name }) => name === "web"), 0];
    const sight = sightOf(state, web, to);
    // 2 of 16 cores at 160 W from idle to peak; (10/16 + 28/64) / 2; √((0.8 − 0.5 − 0.125)² + (0.9 − 0.375 − 0.0625)²).
    expect(sight.watts).toBeCloseTo(20, 9);
    expect(sight.load).toBeCloseTo(0.53125, 9);
    expect(sight.distance).toBeCloseTo(0.4945, 4);
    expect(sight.seen).toBeCloseTo(brightness(20, 0.53125) * attractiveness(sight.distance), 12);
  });
});

describe("firefly", () => {
  test("empties cold hosts whole, the most loaded VM first, to the brightest: the worked example", () => {
    const plan = planned(cluster);
    expect(routeOf(plan)).toEqual(["mail to hv-01", "web to hv-01", "batch to hv-01", "proxy to hv-01"]);
    expect(plan.freedHosts).toEqual(["hv-02", "hv-03"]);
    expect(plan.before.watts).toBeCloseTo(425, 9);
    expect(plan.after.watts).toBeCloseTo(245, 9);
    expectOnRecord("firefly", plan);
  });

  test("the VMs of a host stand or fall together", () => {
    const bundles = planned(cluster).moves.map(({ vmName, gain }) => `${vmName} ${gain.bundle}`);
    expect(bundles).toEqual(["mail 1", "web 2", "batch 1", "proxy 2"]);
    const spec = { ...cluster, vms: { ...cluster.vms, batch: { ...vm("hv-03", 0.5, 2), blockers: ["vfio"] } } };
    const plan = planned(spec);
    expect(routeOf(plan)).toEqual(["web to hv-01", "proxy to hv-01"]);
    expect(plan.notMoved).toEqual([
      expect.objectContaining({ vmName: "batch", rejections: [expect.objectContaining({ constraint: "blocker" })] }),
    ]);
  });

  test("the same for the goal to save energy", () => {
    expect(routeOf(planned(cluster, {}, "save-energy"))).toEqual(routeOf(planned(cluster)));
  });

  test("so many hosts stay on as hostsOnMin says", () => {
    expect(planned(cluster, { hostsOnMin: 2 }).freedHosts).toEqual(["hv-03"]);
    expect(planned(cluster, { hostsOnMin: 3 }).moves).toEqual([]);
  });

  test("where migrations and starting the host again cost more than is saved, nothing is done and the figures are told", () => {
    const plan = planned(cluster, { horizonMs: HOUR_MS / 12, netGainMin: 0 });
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toMatch(
      /2 hosts below 35 % of their cores, 0 could be emptied: emptying hv-03 would save 0\.\d+/,
    );
  });

  test("a host of unknown power saves nothing that is known", () => {
    const plan = planned({ ...cluster, hosts: { "hv-01": host, "hv-02": {}, "hv-03": {} } });
    expect(plan.moves).toEqual([]);
    expect(plan.seen).toContain("2 cold hosts of unknown power: emptying them saves 0 W that are known.");
  });

  test("a hot host gives its most loaded VM to an active host, and never makes another hot", () => {
    const plan = planned({
      hosts: { "hv-01": host, "hv-02": host, "hv-03": { ...host, memoryBytes: 16 * GIB } },
      vms: { db: vm("hv-01", 7, 16), app: vm("hv-01", 7, 8), web: vm("hv-02", 5.7), full: vm("hv-03", 6, 8) },
    });
    expect(routeOf(plan)).toEqual(["db to hv-02"]);
    expect(plan.after.hotHosts).toBe(0);
  });

  test("of packings that leave nothing over, straying finds nine in ten; the same seed strays the same way", () => {
    const random = randomOf(1);
    const upTo = (count: number): number => Math.floor(random() * count);
    const freed = Array.from({ length: 40 }, () => {
      // What leaves hv-09 fills the other three up to 80 % of their memory, to the last GiB.
      const rooms = [1, 2, 3].map(() => [2 + upTo(5), 2 + upTo(5), 1 + upTo(3)]);
      const full = rooms.map((parts) => 25 - parts.reduce((sum, gib) => sum + gib, 0));
      const spec: WorldSpec = {
        hosts: {
          ...Object.fromEntries(rooms.map((_, n) => [`hv-0${n}`, { ...host, memoryBytes: 32 * GIB }])),
          "hv-09": host,
        },
        vms: Object.fromEntries([
          ...full.map((gib, n): [string, VmSpec] => [`stays-${n}`, { ...vm(`hv-0${n}`, 6, gib), pinned: true }]),
          ...rooms.flat().map((gib, n): [string, VmSpec] => [`vm-${n}`, vm("hv-09", 0.3, gib)]),
        ]),
      };
      const plan = planned(spec);
      expect(planned(spec)).toEqual(plan);
      return plan.freedHosts.length;
    });
    expect(freed.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(36);
  });

  test("nothing is done where no host is cold", () => {
    const plan = planned({ hosts: { "hv-01": host, "hv-02": host }, vms: { a: vm("hv-01", 8), b: vm("hv-02", 7) } });
    expect(plan.summary).toBe(
      "Nothing to do: no host with VMs is below 35 % of its cores (hottest host hv-01 at 0.50 of its cores, not over 0.80).",
    );
  });
});
