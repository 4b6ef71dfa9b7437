import { describe, expect, test } from "vitest";
import type { HostLoad, Snapshot } from "../../../worker/model/cluster.ts";
import { createWorld } from "../../../worker/model/placement/create-world.ts";
import { findingsOf } from "../../../worker/model/placement/findings.ts";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import type { PlanParameters } from "../../../worker/model/placement/types.ts";
import { samplesOf } from "../../support/enriched.ts";
import { routeOf } from "../../support/golden-plan.ts";
import { AT, parametersOf, uuidOf, world, type WorldSpec } from "../../support/world.ts";

const spec: WorldSpec = {
  hosts: { "hv-01": {}, "hv-02": { cpuUsedCoresP95: 3 } },
  vms: { app: { on: "hv-01", cpuUsedCores: 7 }, web: { on: "hv-01", cpuUsedCores: 7 }, db: { on: "hv-02" } },
};

const withLoad = (snapshot: Snapshot, hostId: string, load: HostLoad): Snapshot => ({
  ...snapshot,
  hosts: snapshot.hosts.map((host) => (host.hostId === hostId ? { ...host, load: { ...host.load, ...load } } : host)),
});

const statesOf = (snapshot: Snapshot, stated: Partial<PlanParameters> = {}): string[] =>
  findingsOf(createWorld(snapshot, parametersOf(stated))).map(({ host, state }) => `hv-0${host + 1} ${state}`);

const series = (shape: number[]): HostLoad => samplesOf(14, shape, AT);
const times = (count: number, factor: number): number[] => Array<number>(count).fill(factor);

describe("findings", () => {
  test.each<{ name: string; load: HostLoad; states: string[] }>([
    {
      name: "an average over the threshold where nothing else is known",
      load: {},
      states: ["hv-01 hot", "hv-02 cold"],
    },
    { name: "samples over it that stay", load: series(times(30, 1)), states: ["hv-01 hot", "hv-02 cold"] },
    { name: "one sample, which says no more than an average", load: series([1]), states: ["hv-01 hot", "hv-02 cold"] },
    {
      name: "one sample of the newest five",
      load: series([...times(29, 0.5), 1]),
      states: ["hv-01 peak", "hv-02 cold"],
    },
    {
      name: "samples that were over it and have fallen",
      load: series([...times(20, 1), ...times(10, 0.4)]),
      states: ["hv-01 peak", "hv-02 cold"],
    },
  ])("$name", ({ load, states }) => {
    const snapshot = withLoad(world(spec), "hv-01", load);
    expect(statesOf(snapshot)).toEqual(states);
    const plan = buildPlan(snapshot, "balance", parametersOf());
    expect(plan.moves.length > 0).toBe(states[0] === "hv-01 hot");
    expect(plan.seen[0]).toContain("hv-01");
  });

  test("a host that a running migration will cool is judged by what it will use", () => {
    const leaving = { vmUuid: uuidOf("web"), fromHostId: "hv-01", toHostId: "hv-02", cpuCores: 7 };
    const snapshot = withLoad(world({ ...spec, reservations: [leaving] }), "hv-01", series(times(30, 1)));
    expect(statesOf(snapshot)).toEqual([]);
  });

  test("a host is not cold by its average alone where its p95 is known", () => {
    const snapshot = withLoad(world(spec), "hv-02", { cpuUsedCoresP95: 12 });
    expect(statesOf(snapshot)).toEqual(["hv-01 hot"]);
  });

  test("a failing host is emptied without being named, pins yield, and nothing goes to it", () => {
    const failing = world({
      hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
      vms: { app: { on: "hv-01", pinned: true }, db: { on: "hv-02" } },
    });
    const snapshot = withLoad(failing, "hv-01", { eccUncorrectedPerSecond: 0.01 });
    const plan = buildPlan(snapshot, "evacuate", parametersOf());
    expect(routeOf(plan)).toEqual(["app to hv-03"]);
    expect(plan.seen.join(" ")).toContain("hv-01 is failing: Memory has errors");
    const elsewhere = buildPlan(snapshot, "evacuate", parametersOf({ hostIds: ["hv-02"] }));
    expect(routeOf(elsewhere)).toEqual(["db to hv-03"]);
    expect(elsewhere.moves[0]?.notChosen.map(({ constraint }) => constraint)).toContain("host-failing");
  });

  test("nothing goes to a degraded host, which keeps what it has", () => {
    const snapshot = withLoad(world(spec), "hv-02", { temperatureCelsius: 90 });
    const plan = buildPlan(snapshot, "balance", parametersOf());
    expect(plan.moves).toEqual([]);
    expect(plan.notMoved[0]?.rejections).toContainEqual(
      expect.objectContaining({
        hostId: "hv-02",
        constraint: "host-degraded",
        detail: expect.stringContaining("90 °C"),
      }),
    );
    expect(buildPlan(snapshot, "evacuate", parametersOf()).moves).toEqual([]);
  });

  test("what an agent reports of its host counts", () => {
    const since = AT - 600_000;
    const conditions = [
      { type: "disk" as const, severity: "failing" as const, since, detail: "two of four disks are gone" },
    ];
    const snapshot = world({ ...spec, hosts: { ...spec.hosts, "hv-02": { conditions } } });
    expect(statesOf(snapshot)[0]).toBe("hv-02 failing");
  });
});
