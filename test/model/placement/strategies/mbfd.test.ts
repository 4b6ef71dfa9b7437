import { describe, expect, test } from "vitest";
import { buildPlan } from "../../../../worker/model/placement/index.ts";
import type { Goal, PlanContent, PlanParameters } from "../../../../worker/model/placement/types.ts";
import { GIB, HOUR_MS, MINUTE_MS } from "../../../../worker/model/units.ts";
import { expectOnRecord, routeOf } from "../../../support/golden-plan.ts";
import { AT, type HostSpec, parametersOf, type VmSpec, world, type WorldSpec } from "../../../support/world.ts";

const planned = (spec: WorldSpec, stated: Partial<PlanParameters> = {}, goal: Goal = "consolidate"): PlanContent =>
  buildPlan(world(spec), goal, parametersOf({ strategy: "mbfd", ...stated }));

/** `frugal` does the same work for half of what `host` draws. */
const host: HostSpec = { power: { idleWatts: 100, peakWatts: 260 } };
const frugal: HostSpec = { power: { idleWatts: 50, peakWatts: 130 } };

const vm = (on: string, cpuUsedCores: number, gib = 4, p95 = cpuUsedCores): VmSpec => ({
  on,
  memoryBytes: gib * GIB,
  load: {
    cpuUsedCores,
    cpuUsedCoresP95: p95,
    memoryUsedBytes: gib * GIB,
    memoryNonzeroBytes: (gib * GIB) / 4,
    memoryDirtyBytesPerSecond: 1e6,
    at: AT,
  },
});

/** Four hosts of 16 cores: two thirsty ones with little to do, a frugal one half full, an empty one. */
const cluster: WorldSpec = {
  hosts: { "hv-01": host, "hv-02": host, "hv-03": frugal, "hv-04": host },
  vms: {
    db: vm("hv-03", 5, 16),
    web: vm("hv-01", 2),
    proxy: vm("hv-01", 1),
    mail: vm("hv-02", 1, 8),
    batch: vm("hv-02", 0.5, 2),
  },
};

describe("mbfd", () => {
  test("empties the least efficient hosts whole, the biggest VM first, to the most efficient: the worked example", () => {
    const plan = planned(cluster);
    expect(routeOf(plan).toSorted()).toEqual(["batch to hv-03", "mail to hv-03", "proxy to hv-03", "web to hv-03"]);
    expect(plan.freedHosts).toEqual(["hv-01", "hv-02"]);
    expect(plan.after.watts).toBeLessThan(plan.before.watts ?? 0);
    expectOnRecord("mbfd", plan);
  });

  test("is what both goals that save energy do where no strategy is asked for", () => {
    for (const goal of ["consolidate", "save-energy"] as const)
      expect(buildPlan(world(cluster), goal, parametersOf()).strategy).toBe("mbfd");
  });

  test("a host is not filled above what its VMs want at their peaks", () => {
    const nervous = { ...cluster, vms: { ...cluster.vms, db: vm("hv-03", 9, 16, 13.5) } };
    expect(planned(nervous).moves.filter(({ toHostId }) => toHostId === "hv-03")).toEqual([]);
  });

  test("a host that will need more than it has is relieved by the cheapest VM that suffices", () => {
    const plan = planned({
      hosts: { "hv-01": host, "hv-02": host },
      vms: {
        big: vm("hv-01", 9, 32, 12),
        small: vm("hv-01", 6, 4, 7),
        tiny: vm("hv-01", 0.2, 1),
        other: vm("hv-02", 3),
      },
    });
    expect(routeOf(plan)).toEqual(["small to hv-02"]);
  });

  test("a host with a VM that may not leave keeps all of them, and the VM is named", () => {
    const spec = { ...cluster, vms: { ...cluster.vms, batch: { ...vm("hv-02", 0.5, 2), blockers: ["vfio"] } } };
    const plan = planned(spec);
    expect(plan.freedHosts).toEqual(["hv-01"]);
    expect(plan.notMoved.map(({ vmName }) => vmName)).toEqual(["batch"]);
  });

  test("so many hosts stay on as hostsOnMin says", () => {
    expect(planned(cluster, { hostsOnMin: 2 }).freedHosts).toHaveLength(1);
    expect(planned(cluster, { hostsOnMin: 3 }).moves).toEqual([]);
  });

  test("where migrations and starting again cost more than is saved, nothing is done and the summary says so", () => {
    const plan = planned(cluster, { horizonMs: MINUTE_MS, netGainMin: 0 });
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toMatch(/emptying would cost more than it saves|would save/);
    expect(planned(cluster, { horizonMs: 24 * HOUR_MS }).freedHosts).toHaveLength(2);
  });

  test("of hosts of unknown power nothing is claimed to be saved", () => {
    const plan = planned({ ...cluster, hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {}, "hv-04": {} } });
    expect(plan.moves).toEqual([]);
    expect(plan.seen.join(" ")).toContain("unknown power");
  });
});
