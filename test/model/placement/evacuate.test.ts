import { describe, expect, test } from "vitest";
import { buildPlan, checkPlanRequest } from "../../../worker/model/placement/index.ts";
import type { PlanContent, PlanParameters } from "../../../worker/model/placement/types.ts";
import { GIB } from "../../../worker/model/units.ts";
import { parametersOf, world, type WorldSpec } from "../../support/world.ts";

const drained = (spec: WorldSpec, stated: Partial<PlanParameters> = {}): PlanContent =>
  buildPlan(world(spec), "evacuate", parametersOf({ hostIds: ["hv-01"], ...stated }));

const route = ({ moves }: PlanContent): string[] => moves.map((m) => `${m.vmName} to ${m.toHostId}`);

describe("evacuate", () => {
  test("spreads over many hosts, the biggest VM first, each to the host that stays least loaded", () => {
    const plan = drained({
      hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
      vms: {
        small: { on: "hv-01", memoryBytes: 2 * GIB },
        large: { on: "hv-01", memoryBytes: 24 * GIB },
        middle: { on: "hv-01", memoryBytes: 8 * GIB },
        resident: { on: "hv-02", memoryBytes: 8 * GIB },
      },
    });
    expect(route(plan)).toEqual(["large to hv-03", "middle to hv-02", "small to hv-02"]);
    expect(plan.before.toEvacuate).toBe(3);
    expect(plan.after.toEvacuate).toBe(0);
    expect(plan.after.emptyHosts).toBe(1);
    expect(plan.summary).toContain("Moves 3 VMs to 2 hosts in 2 waves");
  });

  test("at equal load the host with the lower id is taken", () => {
    const plan = drained({ hosts: { "hv-03": {}, "hv-02": {}, "hv-01": {} }, vms: { app: { on: "hv-01" } } });
    expect(route(plan)).toEqual(["app to hv-02"]);
    expect(plan.moves[0]?.notChosen[0]).toMatchObject({ hostId: "hv-03", constraint: "no-gain" });
  });

  test("a host that is evacuated too takes nothing", () => {
    const plan = drained(
      { hosts: { "hv-01": {}, "hv-02": {}, "hv-03": { cores: 4 } }, vms: { app: { on: "hv-01" } } },
      { hostIds: ["hv-01", "hv-02"] },
    );
    expect(route(plan)).toEqual(["app to hv-03"]);
    expect(plan.moves[0]?.notChosen[0]).toMatchObject({ hostId: "hv-02", constraint: "host-being-evacuated" });
  });

  test("what cannot be placed says which host comes nearest and by how much it falls short", () => {
    const plan = drained({
      hosts: { "hv-01": { memoryBytes: 256 * GIB }, "hv-02": { memoryBytes: 100 * GIB }, "hv-03": {} },
      vms: { big: { on: "hv-01", memoryBytes: 100 * GIB }, app: { on: "hv-01" } },
    });
    expect(route(plan)).toEqual(["app to hv-02"]);
    const [{ rejections } = { rejections: [] }] = plan.notMoved;
    expect(rejections[0]).toMatchObject({ constraint: "no-host" });
    expect(rejections[0]?.detail).toContain("none of 2 hosts can take big (100.0 GiB, 4 vCPUs): memory 2");
    expect(rejections[0]?.detail).toContain("Nearest: hv-02 may commit 90.0 GiB");
    expect(rejections.slice(1).map(({ hostId }) => hostId)).toEqual(["hv-02", "hv-03"]);
    expect(plan.doNothing).toMatchObject({ acceptable: false });
  });

  test("a VM without a possible mechanism stays, with the reasons of every mechanism", () => {
    const plan = drained(
      { hosts: { "hv-01": {}, "hv-02": {} }, vms: { app: { on: "hv-01" } } },
      { mechanisms: ["stop-and-copy"], downtimeSloMs: 1 },
    );
    expect(plan.moves).toEqual([]);
    const [, rejection] = plan.notMoved[0]?.rejections ?? [];
    expect(rejection).toMatchObject({ hostId: "hv-02", constraint: "no-mechanism" });
    expect(rejection?.detail).toMatch(/stop-and-copy: .*\d/);
  });

  test("a source whose telemetry stopped is left alone, and its VMs say so", () => {
    const plan = drained({
      hosts: { "hv-01": { loadAgeMs: 600_000 }, "hv-02": {} },
      vms: { app: { on: "hv-01" } },
    });
    expect(plan.moves).toEqual([]);
    expect(plan.unknownHosts).toEqual([{ hostId: "hv-01", why: expect.stringContaining("600 s ago") }]);
    expect(plan.notMoved[0]?.rejections[0]).toMatchObject({ constraint: "host-unknown", hostId: "hv-01" });
  });

  test("the plan ends at movesMax and names who waits", () => {
    const plan = drained(
      { hosts: { "hv-01": {}, "hv-02": {} }, vms: { a: { on: "hv-01" }, b: { on: "hv-01" } } },
      { movesMax: 1 },
    );
    expect(plan.moves).toHaveLength(1);
    expect(plan.notMoved[0]?.rejections[0]).toMatchObject({ constraint: "moves-max", required: 2, available: 1 });
  });

  test("moves that will share the source's link are costed as sharing it", () => {
    const alone = { hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} }, vms: { app: { on: "hv-01" } } };
    const together = { ...alone, vms: { ...alone.vms, web: { on: "hv-01" } } };
    const [one, two] = [alone, together].map((spec) => drained(spec).moves.find(({ vmName }) => vmName === "app"));
    expect(two?.estimate.totalMs.p50).toBeGreaterThan(one?.estimate.totalMs.p50 ?? Number.POSITIVE_INFINITY);
  });

  test("an empty host needs nothing, and the plan says so with a number", () => {
    const plan = drained({ hosts: { "hv-01": {}, "hv-02": {} } });
    expect(plan.moves).toEqual([]);
    expect(plan.summary).toBe("Nothing to do: 0 VMs on hv-01.");
    expect(plan.doNothing.acceptable).toBe(true);
  });
});

test.each([
  [{}, { onDeadline: "cancel", postCopyPermitted: false }],
  [{ onDeadline: "force" as const }, { onDeadline: "force", postCopyPermitted: false }],
  [{ onDeadline: "post-copy" as const }, { onDeadline: "post-copy", postCopyPermitted: true }],
])("a pre-copy of a plan with %j is approved for no more and no less", (stated, { onDeadline, postCopyPermitted }) => {
  const spec = { hosts: { "hv-01": {}, "hv-02": {} }, vms: { app: { on: "hv-01" } } };
  const [move] = drained(spec, { mechanisms: ["pre-copy"], ...stated }).moves;
  expect(move).toMatchObject({ mechanism: "pre-copy", parameters: { onDeadline }, limits: { postCopyPermitted } });
});

describe("a request for a plan", () => {
  const snapshot = world({ hosts: { "hv-01": {}, "hv-02": {} } });

  test.each([
    ["evacuate", {}, []],
    ["evacuate", { hostIds: ["hv-01", "hv-07"] }, ["hostIds.1"]],
    ["evacuate", { hostIds: ["hv-01"] }, []],
    ["balance", { hostIds: ["hv-01"] }, ["hostIds"]],
    ["balance", { mechanisms: ["post-copy"], postCopyPermitted: false }, ["mechanisms"]],
    ["balance", { onDeadline: "post-copy", postCopyPermitted: false }, ["onDeadline"]],
    ["balance", { onDeadline: "post-copy" }, []],
    ["balance", {}, []],
  ] as const)("%s with %j has the problems %j", (goal, stated, paths) => {
    const parameters = parametersOf(structuredClone(stated) as Partial<PlanParameters>);
    expect(checkPlanRequest(snapshot, goal, parameters).map(({ path }) => path)).toEqual(paths);
  });
});
