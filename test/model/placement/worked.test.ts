// The worked examples of docs/strategies.md, as whole plans. When one differs and the new plan is right, write it anew, read
// the difference, and bring the document up to date:
//   UPDATE_GOLDEN=1 npm exec -- vitest run --project node test/model/placement/worked.test.ts && npm run format
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { canonicalJson } from "../../../worker/model/canonical.ts";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import { planContent, type Goal, type PlanParameters } from "../../../worker/model/placement/types.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { parametersOf, uuidOf, world, type WorldSpec } from "../../support/world.ts";

type Worked = { name: string; goal: Goal; stated: Partial<PlanParameters>; cluster: WorldSpec; moves: string[] };

const uuids = (...names: string[]) => ({ uuids: names.map(uuidOf) });

const worked: Worked[] = [
  {
    name: "worked-evacuate",
    goal: "evacuate",
    stated: { hostIds: ["hv-01"] },
    cluster: {
      hosts: { "hv-01": {}, "hv-02": {}, "hv-03": {} },
      vms: {
        small: { on: "hv-01", memoryBytes: 2 * GIB },
        large: { on: "hv-01", memoryBytes: 24 * GIB },
        middle: { on: "hv-01", memoryBytes: 8 * GIB },
        resident: { on: "hv-02", memoryBytes: 8 * GIB },
      },
    },
    moves: ["1: large to hv-03", "1: middle to hv-02", "2: small to hv-02"],
  },
  {
    name: "worked-locality",
    goal: "locality",
    stated: {},
    cluster: {
      hosts: { "hv-01": { rack: "r1" }, "hv-02": { rack: "r2" }, "hv-03": { rack: "r2", memoryBytes: 8 * GIB } },
      vms: {
        app: { on: "hv-01", cpuUsedCores: 3, talksTo: { cache: 100 * MIB, db: 60 * MIB } },
        cache: { on: "hv-01", cpuUsedCores: 1, talksTo: { db: 60 * MIB } },
        db: { on: "hv-02", cpuUsedCores: 4, pinned: true },
        web: { on: "hv-01", talksTo: { proxy: 50 * MIB } },
        proxy: { on: "hv-03", memoryBytes: 6 * GIB, pinned: true },
      },
    },
    moves: ["1: web to hv-02", "2: cache to hv-02", "3: app to hv-02"],
  },
  {
    name: "worked-spread",
    goal: "fault-tolerance",
    stated: { hostFailuresTolerated: 1 },
    cluster: {
      hosts: {
        "hv-01": { rack: "r1" },
        "hv-02": { rack: "r1" },
        "hv-03": { rack: "r2" },
        "hv-04": { rack: "r3", memoryBytes: 8 * GIB },
      },
      vms: {
        "db-1": { on: "hv-01", memoryBytes: 40 * GIB },
        "db-2": { on: "hv-02", memoryBytes: 2 * GIB },
        batch: { on: "hv-02", memoryBytes: 14 * GIB },
        small: { on: "hv-02", memoryBytes: 4 * GIB },
        logs: { on: "hv-03", memoryBytes: 20 * GIB },
      },
      rules: [{ ruleId: "db-racks", kind: "vm-anti-affinity", domain: "rack", vms: uuids("db-1", "db-2") }],
    },
    moves: ["1: db-2 to hv-04", "1: small to hv-03"],
  },
];

test.each(worked)("$name is as it is on record", ({ name, goal, stated, cluster, moves }) => {
  const file = join(import.meta.dirname, `../../golden/plans/${name}.json`);
  const plan = buildPlan(world(cluster), goal, parametersOf(stated));
  expect(plan.moves.map((move) => `${move.wave}: ${move.vmName} to ${move.toHostId}`)).toEqual(moves);
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, `${JSON.stringify(plan, null, 2)}\n`);
  const recorded: unknown = JSON.parse(readFileSync(file, "utf8"));
  expect(planContent.parse(recorded)).toEqual(plan);
  expect(canonicalJson(recorded)).toBe(canonicalJson(plan));
});
