import { describe, expect, test } from "vitest";
import { createWorld } from "../../../../worker/model/placement/create-world.ts";
import { needsOf } from "../../../../worker/model/placement/gray-box.ts";
import { buildPlan } from "../../../../worker/model/placement/index.ts";
import type { PlanContent, PlanParameters } from "../../../../worker/model/placement/types.ts";
import { volumeOf, volumeToSize } from "../../../../worker/model/placement/volume.ts";
import { GIB } from "../../../../worker/model/units.ts";
import { expectOnRecord, routeOf } from "../../../support/golden-plan.ts";
import { AT, parametersOf, type VmSpec, world, type WorldSpec } from "../../../support/world.ts";

const planned = (spec: WorldSpec, stated: Partial<PlanParameters> = {}): PlanContent =>
  buildPlan(world(spec), "balance", parametersOf({ strategy: "sandpiper", ...stated }));

/** Uses so many cores, and a migration would send so many GiB. */
const vm = (on: string, cpuUsedCores: number, gib: number, more: Partial<VmSpec> = {}): VmSpec => ({
  on,
  memoryBytes: gib * GIB,
  vcpus: 8,
  load: { cpuUsedCores, memoryUsedBytes: gib * GIB, memoryNonzeroBytes: gib * GIB, at: AT, ...more.load },
  ...(more.labels === undefined ? {} : { labels: more.labels }),
});

describe("volume", () => {
  test.each([
    [0, 0, 0, 1],
    [0.9, 0.2, 0.5, 25],
    [0.5, 0.5, 0.5, 8],
    [1, 0, 0, 100],
    [2, 2, 2, 1_000_000],
    [-0.1, 0, 0, 1],
  ])("of cpu %d, network %d and memory %d is %d", (cpu, network, memory, volume) => {
    expect(volumeOf(cpu, network, memory)).toBeCloseTo(volume, 6);
  });

  test("for each GiB: 25 of a VM of 4 GiB is 6.25", () => {
    expect(volumeToSize(volumeOf(0.9, 0.2, 0.5), 4 * GIB)).toBeCloseTo(6.25, 9);
  });
});

describe("sandpiper", () => {
  test("moves what has most volume for its memory to the host of least volume: the worked example", () => {
    const plan = planned({
      hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
      vms: {
        db: vm("hv-01", 6, 16),
        web: vm("hv-01", 5, 4),
        app: vm("hv-01", 3, 8),
        batch: vm("hv-02", 4, 8),
        cache: vm("hv-03", 1, 4),
      },
    });
    expect(routeOf(plan)).toEqual(["web to hv-03"]);
    expect(plan.moves[0]?.reasons[0]).toBe(
      "web has a volume of 1.55 in 4.0 GiB, 0.39 a GiB, the most of what can leave hv-01, whose volume is 14.22.",
    );
    expectOnRecord("sandpiper", plan);
  });

  test("nothing is moved while no host is hot, and the hottest is named with its number", () => {
    const plan = planned({ hosts: { "hv-01": {}, "hv-02": {} }, vms: { app: vm("hv-01", 8, 4) } });
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toBe("Nothing to do: hottest host hv-01 at 0.50 of its cores, not over 0.80.");
    expect(plan.doNothing.acceptable).toBe(true);
  });

  test("where the host of least volume has no room, the next one is taken", () => {
    const plan = planned({
      hosts: { "hv-01": {}, "hv-02": { memoryBytes: 8 * GIB }, "hv-03": {} },
      vms: { app: vm("hv-01", 7, 12), web: vm("hv-01", 7, 16), idle: vm("hv-03", 1, 4) },
    });
    expect(routeOf(plan)).toEqual(["app to hv-03"]);
  });

  test("where none has room, a VM of low volume comes back in exchange, or neither moves", () => {
    const plan = planned({
      // hv-03 has the cores for none of the busy ones: only a VM that waits goes there for a time.
      hosts: {
        "hv-01": { memoryBytes: 32 * GIB },
        "hv-02": { memoryBytes: 32 * GIB },
        "hv-03": { memoryBytes: 32 * GIB, cores: 4 },
      },
      vms: {
        busy: vm("hv-01", 8, 12),
        other: vm("hv-01", 6, 12),
        sleepy: vm("hv-02", 1, 12),
        calm: vm("hv-02", 1.5, 12),
      },
    });
    const final = plan.moves
      .filter(({ parking }) => !parking)
      .map(({ vmName, toHostId }) => `${vmName} to ${toHostId}`);
    expect(final.toSorted()).toEqual(["busy to hv-02", "sleepy to hv-01"]);
    const bundles = plan.moves.map(({ gain }) => gain.bundle);
    expect(new Set(bundles).size).toBe(1);
    expect(plan.after.hotHosts).toBe(0);
  });

  test("a hot host that nothing relieves says so of each VM", () => {
    const plan = planned({
      hosts: { "hv-01": {}, "hv-02": { cpuUsedCores: 12 } },
      vms: { app: vm("hv-01", 7, 4), web: vm("hv-01", 8, 4) },
    });
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved.map(({ vmName }) => vmName)).toEqual(["web", "app"]);
    expect(plan.notMoved[0]?.rejections[1]).toMatchObject({ hostId: "hv-02", constraint: "cpu" });
    expect(plan.summary).toContain("1 host hot, 0 moves found, and hv-01 would stay hot");
  });

  test("a VM whose CPU use is unknown is not guessed at", () => {
    const plan = planned({
      hosts: { "hv-01": { cpuUsedCores: 15 }, "hv-02": {} },
      vms: { app: { on: "hv-01", cpuUsedCores: null } },
    });
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved[0]?.rejections).toEqual([expect.objectContaining({ constraint: "cpu-unknown" })]);
  });
});

describe("gray-box sizing", () => {
  const late = { latencySeconds: 0.9 };

  test("a service that answers too late makes its host hot, and a label goes before the parameter", () => {
    const spec: WorldSpec = {
      hosts: { "hv-01": {}, "hv-02": {} },
      vms: {
        web: vm("hv-01", 5, 4, { load: late, labels: { "latency-slo-seconds": "0.2" } }),
        db: vm("hv-01", 6, 16),
      },
    };
    const plan = planned(spec, { latencySloSeconds: 3600 });
    expect(routeOf(plan)).toEqual(["web to hv-02"]);
    expect(plan.moves[0]?.reasons[2]).toContain("web answers in 0.90 s where 0.20 s are allowed");
    const content = { ...spec, vms: { ...spec.vms, web: vm("hv-01", 5, 4, { load: late }) } };
    expect(planned(content).moves).toEqual([]);
    expect(routeOf(planned(content, { latencySloSeconds: 0.2 }))).toEqual(["web to hv-02"]);
  });

  test.each([
    { used: 2, p95: undefined, hostUsed: 4, latency: 0.4, needs: 2, why: "neither is full: what it uses" },
    { used: 2, p95: 3, hostUsed: 4, latency: 0.4, needs: 3, why: "its tail" },
    { used: 2, p95: 3, hostUsed: 15, latency: 0.3, needs: 4.5, why: "its tail by how late it is" },
    { used: 2, p95: 3, hostUsed: 15, latency: 9, needs: 6, why: "twice its tail at most" },
    { used: 4, p95: 6, hostUsed: 15, latency: 9, needs: 8, why: "all its vCPUs at most" },
  ])("needs $needs cores: $why", ({ used, p95, hostUsed, latency, needs }) => {
    const load = { latencySeconds: latency, ...(p95 === undefined ? {} : { cpuUsedCoresP95: p95 }) };
    const snapshot = world({
      hosts: { "hv-01": { cpuUsedCores: hostUsed } },
      vms: { web: vm("hv-01", used, 4, { load }) },
    });
    const [need] = needsOf(createWorld(snapshot, parametersOf({ latencySloSeconds: 0.2 }))).values();
    expect(need?.cores).toBeCloseTo(needs, 9);
  });

  test("the destination has room for what the VM needs, not only for what it uses", () => {
    const spec = (latencySeconds: number): WorldSpec => ({
      hosts: { "hv-01": { cpuUsedCores: 15 }, "hv-02": { cpuUsedCores: 6.5 }, "hv-03": { memoryBytes: 32 * GIB } },
      vms: {
        web: vm("hv-01", 4, 4, { load: { latencySeconds } }),
        full: vm("hv-03", 3, 8),
        more: vm("hv-03", 1, 2),
      },
    });
    expect(routeOf(planned(spec(0.1), { latencySloSeconds: 0.2 }))).toEqual(["web to hv-02"]);
    // Twice 4 cores on hv-02 would be 14.5 of 16; on hv-03, whose memory is fuller, it would be 12.
    expect(routeOf(planned(spec(0.9), { latencySloSeconds: 0.2 }))).toEqual(["web to hv-03"]);
  });

  test("a VM that uses all its vCPUs on a host with cores free is told to get more of them", () => {
    const plan = planned(
      { hosts: { "hv-01": {}, "hv-02": {} }, vms: { web: vm("hv-01", 8, 4, { load: late }) } },
      { latencySloSeconds: 0.2 },
    );
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved[0]?.rejections[0]?.detail).toContain("give it more vCPUs");
  });
});
