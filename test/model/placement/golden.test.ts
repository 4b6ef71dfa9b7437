// Two whole plans, as canonical JSON. When one differs and the new plan is right, write it anew and read the difference:
//   UPDATE_GOLDEN=1 npm exec -- vitest run --project node test/model/placement/golden.test.ts && npm run format
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { canonicalJson } from "../../../worker/model/canonical.ts";
import { buildPlan } from "../../../worker/model/placement/index.ts";
import { planContent, type Goal, type PlanParameters } from "../../../worker/model/placement/types.ts";
import { AT, parametersOf, type VmSpec, world } from "../../support/world.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";

const ceph = [{ name: "ceph", shared: true }];

function vm(on: string, cpuUsedCores: number, gib: number, dirtyMib: number): VmSpec {
  const points = [
    { windowMs: 1000, bytes: dirtyMib * MIB },
    { windowMs: 5000, bytes: 2 * dirtyMib * MIB },
  ];
  return {
    on,
    memoryBytes: gib * GIB,
    nics: [{ network: "lan" }],
    disks: [{ id: "vda", bytes: 40 * GIB, pool: "ceph" }],
    load: { cpuUsedCores, memoryNonzeroBytes: (gib * GIB) / 2, dirtyCurve: { at: AT, points }, at: AT },
  };
}

/** Four hosts: one hot, one small, one almost idle, one silent; a pair of databases that must stay apart. */
const cluster = world({
  hosts: {
    "hv-01": { networks: ["lan"], pools: ceph },
    "hv-02": { networks: ["lan"], pools: ceph, memoryBytes: 32 * GIB },
    "hv-03": { networks: ["lan"], pools: ceph },
    "hv-04": { networks: ["lan"], pools: ceph, silentMs: 95_000 },
  },
  vms: {
    "db-1": { ...vm("hv-01", 5, 16, 200), labels: { "anti-affinity": "db" } },
    "db-2": { ...vm("hv-02", 3, 16, 200), labels: { "anti-affinity": "db" } },
    "web-1": vm("hv-01", 4, 4, 20),
    "web-2": vm("hv-01", 3.5, 4, 20),
    "gpu-1": { ...vm("hv-01", 2, 8, 50), blockers: ["vfio"] },
    "batch-1": vm("hv-03", 1, 2, 400),
  },
});

test.each<{ name: string; goal: Goal; stated: Partial<PlanParameters> }>([
  { name: "evacuate", goal: "evacuate", stated: { hostIds: ["hv-01"] } },
  { name: "balance", goal: "balance", stated: {} },
  { name: "local-search", goal: "balance", stated: { strategy: "local-search" } },
])("the $name plan of a cluster of four hosts is the one on record", ({ name, goal, stated }) => {
  const file = join(import.meta.dirname, `../../golden/plans/${name}.json`);
  const plan = buildPlan(cluster, goal, parametersOf(stated));
  if (process.env["UPDATE_GOLDEN"] === "1") writeFileSync(file, `${JSON.stringify(plan, null, 2)}\n`);
  const recorded: unknown = JSON.parse(readFileSync(file, "utf8"));
  expect(planContent.parse(recorded)).toEqual(plan);
  expect(canonicalJson(recorded)).toBe(canonicalJson(plan));
});
