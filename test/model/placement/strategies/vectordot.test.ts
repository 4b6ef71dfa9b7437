import { describe, expect, test } from "vitest";
import { createWorld } from "../../../../worker/model/placement/create-world.ts";
import { buildPlan } from "../../../../worker/model/placement/index.ts";
import type { PlanContent, PlanParameters } from "../../../../worker/model/placement/types.ts";
import {
  hostScore,
  imbalanceScore,
  pathsOf,
  vectorProduct,
  weightAt,
} from "../../../../worker/model/placement/vector.ts";
import { place } from "../../../../worker/model/placement/world.ts";
import { GIB, MIB } from "../../../../worker/model/units.ts";
import { expectOnRecord, routeOf } from "../../../support/golden-plan.ts";
import { AT, parametersOf, uuidOf, type VmSpec, world, type WorldSpec } from "../../../support/world.ts";

const planned = (spec: WorldSpec, stated: Partial<PlanParameters> = {}): PlanContent =>
  buildPlan(world(spec), "balance", parametersOf({ strategy: "vectordot", ...stated }));

const capacity = { networkBytesPerSecond: 1000 * MIB, diskBytesPerSecond: 1000 * MIB };

const vm = (on: string, cpuUsedCores: number, networkMib = 0, diskMib = 0): VmSpec => ({
  on,
  disks: [{ id: "vda", bytes: 8 * GIB, pool: "ceph" }],
  load: {
    cpuUsedCores,
    memoryUsedBytes: 4 * GIB,
    memoryNonzeroBytes: 2 * GIB,
    networkBytesPerSecond: networkMib * MIB,
    diskBytesPerSecond: diskMib * MIB,
    at: AT,
  },
});

const host = { capacity, pools: [{ name: "ceph", shared: true }] };

describe("scores", () => {
  test.each([
    [0, 0.8, 0],
    [0.79, 0.8, 0],
    [0.8, 0.8, 1],
    [0.9, 0.8, 1.133],
    [1, 0.5, 2.718],
  ])("IB(%d, %d) is %d", (used, threshold, score) => {
    expect(imbalanceScore(used, threshold)).toBeCloseTo(score, 3);
  });

  test("shares weigh more the fuller it is: e^-1 on an idle resource, 1 at the threshold", () => {
    expect(weightAt(0, 0.8)).toBeCloseTo(Math.exp(-1), 12);
    expect(weightAt(0.8, 0.8)).toBe(1);
  });

  test("a product counts the VM as there, wherever it is: it does not change by moving there but for the link", () => {
    const snapshot = world({ hosts: { "hv-01": host, "hv-02": host }, vms: { app: vm("hv-01", 4, 100, 200) } });
    const state = createWorld(snapshot, parametersOf());
    const paths = pathsOf(state);
    const link = paths.linkShare * weightAt(paths.linkShare, 0.8);
    const before = vectorProduct(state, paths, 0, 1);
    place(state, 0, 1);
    expect(vectorProduct(state, paths, 0, 1)).toBeCloseTo(before - link, 12);
  });

  test("disks and links count: a host's score has its disks, and running migrations fill its link", () => {
    const snapshot = world({
      hosts: { "hv-01": host, "hv-02": host },
      vms: { app: vm("hv-01", 1, 0, 900), web: vm("hv-02", 1) },
      reservations: [{ vmUuid: uuidOf("web"), fromHostId: "hv-02", toHostId: "hv-01" }],
    });
    const state = createWorld(snapshot, parametersOf());
    expect(hostScore(state, 0)).toBeCloseTo(1.133, 3);
    expect([...pathsOf(state).linkUsed]).toEqual([0.25, 0.25]);
    expect(pathsOf(state).pools.get("ceph")?.used).toBeCloseTo(0.45, 9);
  });
});

describe("vectordot", () => {
  const cluster = (networkMib: number): WorldSpec => ({
    hosts: { "hv-01": host, "hv-02": host, "hv-03": host },
    vms: {
      web: vm("hv-01", 6, networkMib),
      app: vm("hv-01", 5),
      tiny: vm("hv-01", 3),
      proxy: vm("hv-02", 2, 600),
      batch: vm("hv-03", 3),
    },
  });

  test("a VM that sends much goes where the network is idle, though more cores are in use there: the worked example", () => {
    const plan = planned(cluster(180));
    expect(routeOf(plan)).toEqual(["web to hv-03"]);
    expect(plan.moves[0]?.reasons[0]).toBe(
      "hv-01 has an imbalance score of 1.10 and web the greatest vector product with it of what can leave, 0.524.",
    );
    expect(plan.after.hotHosts).toBe(0);
    expectOnRecord("vectordot", plan);
  });

  test("one that sends little goes where fewer cores are in use", () => {
    expect(routeOf(planned(cluster(10)))).toEqual(["web to hv-02"]);
  });

  test("a host whose disks are too busy is relieved too, which no detection of hot hosts says", () => {
    const plan = planned(
      {
        hosts: { "hv-01": host, "hv-02": host },
        vms: { dump: vm("hv-01", 1, 0, 600), log: vm("hv-01", 1, 0, 300), web: vm("hv-02", 1) },
      },
      { gainRatioMin: 0 },
    );
    expect(routeOf(plan)).toEqual(["dump to hv-02"]);
    expect(plan.moves[0]?.reasons[2]).toContain("hv-01 is hot: disk 90 %, over 80 %.");
  });

  test("nothing is moved while no score is above 0, and the plan says so", () => {
    const plan = planned({ hosts: { "hv-01": host, "hv-02": host }, vms: { app: vm("hv-01", 8) } });
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toBe("Nothing to do: hottest host hv-01 at 0.50 of its cores, not over 0.80.");
    expect(plan.seen).toContain("The hosts' imbalance scores add up to 0.00.");
  });

  test("no move makes another host hot, and what stays says why", () => {
    const plan = planned({
      hosts: { "hv-01": host, "hv-02": { ...host, cpuUsedCores: 10 } },
      vms: { app: vm("hv-01", 7), web: vm("hv-01", 8) },
    });
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved.map(({ vmName }) => vmName)).toEqual(["web", "app"]);
  });
});
