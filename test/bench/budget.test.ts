import { describe, expect, test } from "vitest";
import { wholeCluster } from "../../scripts/bench/advisor/speed/cluster.ts";
import { requests } from "../../scripts/bench/advisor/speed/requests.ts";
import { buildPlan } from "../../worker/model/placement/index.ts";
import type { PlanContent } from "../../worker/model/placement/types.ts";
import { breachesOf } from "../model/placement/oracle.ts";

const BUDGETS = [1, 10, 100, 1000, 10_000, 4_000_000];
/** Clusters of 20 VMs a host. */
const CLUSTERS = [10, 30].flatMap((hosts) => [1, 2, 3].map((seed) => ({ hosts, seed })));

/** What a strategy weighs is not to the last digit what the plan costs: the search for balance sees no migration's downtime. */
const SAME_RATIO = { "local-search": 1e-3, locality: 1e-9, spread: 1e-9 };
const names = ["local-search", "locality", "spread"] as const;

describe.each(names)("%s with less to spend", { timeout: 120_000 }, (name) => {
  const request = requests.find(({ strategy }) => strategy === name);
  if (request === undefined) throw new Error(`no request for ${name}`);
  const { goal, parameters } = request;

  test.each(CLUSTERS)("$hosts hosts, seed $seed: every plan is legal, and no worse than one that had less", (of) => {
    const snapshot = wholeCluster(of.hosts, of.seed);
    const plans = BUDGETS.map((evaluationsMax): PlanContent =>
      buildPlan(snapshot, goal, { ...parameters, evaluationsMax }),
    );
    let most = plans[0]?.doNothing.score.total ?? 0;
    for (const plan of plans) {
      expect(breachesOf(snapshot, parameters, plan)).toEqual([]);
      expect(plan.score.total).toBeLessThanOrEqual(most * (1 + SAME_RATIO[name]) + 1e-9);
      expect(plan.summary.includes("cut short by evaluationsMax")).toBe(plan.cutShort);
      most = plan.score.total;
    }
    expect(plans.at(-1)?.cutShort).toBe(false);
  });
});

test.each([
  ["local-search", 2],
  ["locality", 2],
] as const)("%s has found moves long before it has looked at every host", (name, movesMin) => {
  const request = requests.find(({ strategy }) => strategy === name);
  if (request === undefined) throw new Error(`no request for ${name}`);
  const plan = buildPlan(wholeCluster(30, 1), request.goal, { ...request.parameters, evaluationsMax: 10 });
  expect(plan.cutShort).toBe(true);
  expect(plan.moves.length).toBeGreaterThanOrEqual(movesMin);
});

test("spread tries no more failures than its budget lets it, and says how many", () => {
  const request = requests.find(({ strategy }) => strategy === "spread");
  if (request === undefined) throw new Error("no request for spread");
  const plan = buildPlan(wholeCluster(30, 1), request.goal, { ...request.parameters, evaluationsMax: 200 });
  expect(plan.cutShort).toBe(true);
  expect(plan.seen.join(" ")).toMatch(/[1-9]\d* of 30 failures were tried before evaluationsMax was spent/);
});
