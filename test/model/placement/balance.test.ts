import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import type { PlanContent, PlanParameters } from "../../../worker/model/placement/types.ts";
import { GIB } from "../../../worker/model/units.ts";
import { anyWorld, parametersOf, uuidOf, world, type WorldSpec } from "../../support/world.ts";

const balanced = (spec: WorldSpec, stated: Partial<PlanParameters> = {}): PlanContent =>
  buildPlan(world(spec), "balance", parametersOf({ strategy: "local-search", ...stated }));

const route = ({ moves }: PlanContent): string[] => moves.map((m) => `${m.vmName} to ${m.toHostId}`);

describe("balance", () => {
  test("nothing is moved while no host is hot, however uneven, and the hottest host is named with its number", () => {
    const plan = balanced({ hosts: { "hv-01": {}, "hv-03": { cpuUsedCores: 9.76 } }, vms: { app: { on: "hv-03" } } });
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toBe(
      "Nothing to do: no host is hot (the hottest, hv-03, uses 0.61 of its cores) and the imbalance 0.194 is not over 0.200.",
    );
    expect(plan.doNothing).toMatchObject({ acceptable: true, why: expect.stringContaining("0.61") });
  });

  test("takes the VM that evens the cluster most to the host where it does", () => {
    const plan = balanced({
      hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
      vms: {
        big: { on: "hv-01", cpuUsedCores: 6 },
        small: { on: "hv-01", cpuUsedCores: 1 },
        other: { on: "hv-01", cpuUsedCores: 3 },
        another: { on: "hv-01", cpuUsedCores: 3 },
        busy: { on: "hv-02", cpuUsedCores: 5 },
        calm: { on: "hv-03", cpuUsedCores: 1 },
      },
    });
    // 13, 5 and 1 cores become 7, 5 and 7, then 6, 6 and 7.
    expect(route(plan)).toEqual(["big to hv-03", "small to hv-02"]);
    expect(plan.after.cpuImbalance).toBeLessThan(plan.before.cpuImbalance);
    expect(plan.moves[0]?.reasons[0]).toContain("hv-01 is at cpu 81.3 % (mean 39.6 %)");
    expect(plan.moves[0]?.notChosen).toEqual([expect.objectContaining({ hostId: "hv-02", constraint: "no-gain" })]);
  });

  test("a hot host that nothing can relieve says which constraint blocks, with numbers", () => {
    const plan = balanced({
      hosts: { "hv-01": {}, "hv-02": { memoryBytes: 8 * GIB } },
      vms: {
        app: { on: "hv-01", cpuUsedCores: 8, memoryBytes: 16 * GIB },
        gpu: { on: "hv-01", cpuUsedCores: 6, blockers: ["vfio"] },
      },
    });
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toContain(
      "No move: 1 hot host (the hottest, hv-01, uses 0.88 of its cores), and no permitted move lowers the imbalance",
    );
    expect(plan.summary).toContain("2 VMs stay (memory 1, blocker 1)");
    expect(plan.summary).toContain("8.8 GiB too much");
    expect(plan.notMoved.map(({ vmName }) => vmName)).toEqual(["app", "gpu"]);
    expect(plan.doNothing.acceptable).toBe(false);
  });

  test("a VM that would make its destination hot stays", () => {
    const plan = balanced({
      hosts: { "hv-01": {}, "hv-02": { cpuUsedCores: 5 } },
      vms: { app: { on: "hv-01", cpuUsedCores: 9 }, web: { on: "hv-01", cpuUsedCores: 5, pinned: true } },
    });
    expect(plan.moves).toEqual([]);
    const [app] = plan.notMoved;
    expect(app?.rejections[1]).toMatchObject({ hostId: "hv-02", constraint: "cpu", required: 9, unit: "cores" });
  });

  test("a VM whose CPU use is unknown is not guessed at", () => {
    const plan = balanced({
      hosts: { "hv-01": { cpuUsedCores: 15 }, "hv-02": {} },
      vms: { app: { on: "hv-01", cpuUsedCores: null } },
    });
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved[0]?.rejections).toEqual([expect.objectContaining({ constraint: "cpu-unknown" })]);
  });

  test("a host that running migrations already relieve is not relieved twice", () => {
    const vms = { going: { on: "hv-01", cpuUsedCores: 6 }, app: { on: "hv-01", cpuUsedCores: 8 } };
    const hosts = { "hv-01": {}, "hv-02": {}, "hv-03": {} };
    const going = { vmUuid: uuidOf("going"), fromHostId: "hv-01", toHostId: "hv-02", cpuCores: 6 };
    expect(balanced({ hosts, vms }).moves).toHaveLength(1);
    const plan = balanced({ hosts, vms, reservations: [going] });
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toContain("the hottest, hv-01, uses 0.50 of its cores");
  });

  test("a hot host is relieved in a cluster of any size", () => {
    const hosts = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`hv-${n}`, { cpuUsedCores: 8 }]));
    const plan = balanced({
      hosts: { ...hosts, "hv-hot": {}, "hv-idle": {} },
      vms: { app: { on: "hv-hot", cpuUsedCores: 6 }, web: { on: "hv-hot", cpuUsedCores: 8 } },
    });
    expect(plan.after.hotHosts).toBe(0);
    expect(route(plan)).toEqual(["web to hv-idle"]);
  });

  test("of more than 16 other hosts the nearest are told one by one and the rest are counted", () => {
    const hosts = Object.fromEntries(Array.from({ length: 60 }, (_, n) => [`hv-${n}`, { cpuUsedCores: 8 }]));
    const plan = balanced({
      hosts: { ...hosts, "hv-hot": {} },
      vms: { app: { on: "hv-hot", cpuUsedCores: 14 } },
    });
    const rejections = plan.notMoved[0]?.rejections ?? [];
    expect(new Set(rejections.map(({ hostId }) => hostId)).size).toBe(1 + 16);
    expect(rejections.at(-1)?.detail).toBe("44 further hosts: cpu 44.");
  });

  test("every move lowers the imbalance, and no host becomes hot", () => {
    fc.assert(
      fc.property(anyWorld(), fc.constantFrom(0.2, 0.4, 0.6), (snapshot, hotRatio) => {
        const plan = buildPlan(snapshot, "balance", parametersOf({ strategy: "local-search", hotRatio }));
        expect(plan.after.imbalance < plan.before.imbalance).toBe(plan.moves.length > 0);
      }),
      { seed: 7, numRuns: 150 },
    );
  });
});
