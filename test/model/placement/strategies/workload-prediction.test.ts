import { describe, expect, test } from "vitest";
import { buildPlan } from "../../../../worker/model/placement/index.ts";
import { predictionOf } from "../../../../worker/model/placement/predicted.ts";
import type { PlanContent, PlanParameters } from "../../../../worker/model/placement/types.ts";
import { GIB, MINUTE_MS } from "../../../../worker/model/units.ts";
import type { Snapshot } from "../../../../worker/model/cluster.ts";
import { samplesOf } from "../../../support/enriched.ts";
import { expectOnRecord, routeOf } from "../../../support/golden-plan.ts";
import { AT, parametersOf, type VmSpec, world, type WorldSpec } from "../../../support/world.ts";

const planned = (snapshot: Snapshot, stated: Partial<PlanParameters> = {}): PlanContent =>
  buildPlan(snapshot, "balance", parametersOf({ strategy: "workload-prediction", ...stated }));

/** Half an hour of the same load, and what the last minute was like. */
const steady = Array<number>(30).fill(1);

const vm = (on: string, cpuUsedCores: number, gib: number, shape: readonly number[] = steady): VmSpec => ({
  on,
  memoryBytes: gib * GIB,
  vcpus: 8,
  load: {
    cpuUsedCores,
    memoryUsedBytes: gib * GIB,
    memoryNonzeroBytes: gib * GIB,
    at: AT,
    ...samplesOf(cpuUsedCores, shape, AT),
  },
});

/** Hosts' samples are of these shapes, multiples of what they use; others are steady; an empty one: none. */
function sampled(spec: WorldSpec, shapes: Record<string, readonly number[]> = {}): Snapshot {
  const snapshot = world(spec);
  return {
    ...snapshot,
    hosts: snapshot.hosts.map((host) => ({
      ...host,
      load: { ...host.load, ...samplesOf(host.load.cpuUsedCores, shapes[host.hostId] ?? steady, AT) },
    })),
  };
}

const cluster: WorldSpec = {
  hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
  vms: {
    db: vm("hv-01", 6, 16),
    web: vm("hv-01", 5, 4),
    app: vm("hv-01", 3, 8),
    batch: vm("hv-02", 4, 8),
    cache: vm("hv-03", 1, 4),
  },
};

describe("a prediction", () => {
  const recent = (samples: (number | null)[], ageMs = 0) => ({
    at: AT - ageMs,
    stepMs: MINUTE_MS,
    series: { a: samples, b: samples },
  });

  test("of a steady load is that load, and of two series their sum", () => {
    expect(predictionOf(recent(Array<number>(30).fill(4)), ["a"], AT)).toMatchObject({ known: true, value: 4 });
    expect(predictionOf(recent(Array<number>(30).fill(4)), ["a", "b"], AT)).toMatchObject({ known: true, value: 8 });
  });

  test.each([
    ["no samples", undefined, "0 samples of a are known"],
    ["another series", { ...recent([]), series: { c: [1] } }, "0 samples of a are known"],
    ["too few samples", recent([1, 2, 3]), "3 of at least 8 samples are known"],
    ["gaps", recent([...Array<null>(27).fill(null), 1, 2, 3]), "3 of at least 8 samples are known"],
    ["old samples", recent(Array<number>(30).fill(4), 6 * MINUTE_MS), "360 s old"],
  ])("of %s is unknown, and says why", (_, samples, reason) => {
    expect(predictionOf(samples, ["a"], AT)).toMatchObject({ known: false, reason: expect.stringContaining(reason) });
  });
});

describe("workload-prediction", () => {
  test("of the VMs that would cool a host, that with least to send goes where least is predicted: the worked example", () => {
    const plan = planned(sampled(cluster));
    expect(routeOf(plan)).toEqual(["web to hv-03"]);
    expect(plan.moves[0]?.reasons[2]).toContain("hv-01 is predicted at cpu 87.5 %");
    expectOnRecord("workload-prediction", plan);
  });

  test("a momentary peak moves nothing, and says what is predicted", () => {
    const peak = [...Array<number>(29).fill(0.4), 1];
    const plan = planned(sampled(cluster, { "hv-01": peak }));
    expect(plan.moves).toEqual([]);
    expect(plan.before.hotHosts).toBe(1);
    expect(plan.seen.join(" ")).toMatch(
      /hv-01 is hot at the moment \(cpu 87\.5 %.*predicted at cpu [3-6]\d.* %.*left alone/,
    );
  });

  test("a host that is not hot yet and will be is relieved", () => {
    const spec = { ...cluster, hosts: { ...cluster.hosts, "hv-01": { cpuUsedCores: 12.7 } } };
    const plan = planned(sampled(spec, { "hv-01": Array<number>(30).fill(1.06) }));
    expect(plan.before.hotHosts).toBe(0);
    expect(plan.moves.map(({ fromHostId }) => fromHostId)).toEqual(["hv-01"]);
  });

  test("without samples a host's future is unknown: nothing is moved, and its VMs say why", () => {
    const plan = planned(sampled(cluster, { "hv-01": [] }));
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved.map(({ vmName }) => vmName).toSorted()).toEqual(["app", "db", "web"]);
    expect(plan.notMoved[0]?.rejections).toEqual([
      expect.objectContaining({ constraint: "host-unknown", detail: expect.stringContaining("0 samples") }),
    ]);
  });

  test("a VM without samples stays; another goes", () => {
    const vms = { ...cluster.vms, web: vm("hv-01", 5, 4, []) };
    expect(routeOf(planned(sampled({ ...cluster, vms })))).toEqual(["app to hv-03"]);
  });

  test("what VMs will use is what is placed: a VM that rises goes where that has room", () => {
    const vms = {
      ...cluster.vms,
      db: { ...vm("hv-01", 6, 16), pinned: true },
      app: { ...vm("hv-01", 3, 8), pinned: true },
      // It uses 5 cores at the moment and 7 most of the time.
      web: vm("hv-01", 5, 4, [...Array<number>(29).fill(1.4), 1]),
      cache: vm("hv-03", 6.2, 4),
      batch: vm("hv-02", 5.4, 8),
    };
    const plan = planned(sampled({ ...cluster, vms }));
    expect(plan.moves[0]?.reasons[0]).toMatch(/web is predicted to use 6\.\d+ cores in 5 min, 5 at the moment/);
    expect(routeOf(plan)).toEqual(["web to hv-02"]);
  });

  test("a host without samples takes VMs only where its p95 is known and leaves room", () => {
    const none = { "hv-02": [], "hv-03": [] };
    expect(planned(sampled(cluster, none)).moves).toEqual([]);
    const withPeaks = (peaks: Record<string, number>): Snapshot => {
      const snapshot = sampled(cluster, none);
      const hosts = snapshot.hosts.map((host) => {
        const peak = peaks[host.hostId];
        return peak === undefined ? host : { ...host, load: { ...host.load, cpuUsedCoresP95: peak } };
      });
      return { ...snapshot, hosts };
    };
    expect(routeOf(planned(withPeaks({ "hv-02": 5, "hv-03": 6 })))).toEqual(["web to hv-02"]);
    expect(planned(withPeaks({ "hv-02": 12, "hv-03": 12 })).moves).toEqual([]);
  });

  test("hosts that will be cold are emptied only where they may be switched off", () => {
    const power = { idleWatts: 200, peakWatts: 260 };
    const spec: WorldSpec = {
      hosts: { "hv-01": { power }, "hv-02": { power } },
      vms: { db: vm("hv-01", 6, 16), cache: vm("hv-02", 1, 4) },
    };
    const stated = { prices: { ...parametersOf().prices, imbalancePerCoreHour: 0 } };
    expect(planned(sampled(spec), stated).moves).toEqual([]);
    const plan = planned(sampled(spec), { ...stated, powerOffPermitted: true });
    expect(routeOf(plan)).toEqual(["cache to hv-01"]);
    expect(plan.powerOff).toEqual(["hv-02"]);
  });

  test("nothing is moved where no host is predicted hot, and the fullest is named with its numbers", () => {
    const plan = planned(sampled({ hosts: { "hv-01": {}, "hv-02": {} }, vms: { app: vm("hv-01", 4, 4) } }));
    expect(plan.summary).toBe(
      "Nothing to do: hv-01 is predicted fullest in 5 min, cpu 25 %, memory 6.3 %, network 0 %, not over 80 %; 0 hosts hot at the moment.",
    );
  });
});
