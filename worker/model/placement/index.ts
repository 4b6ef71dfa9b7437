// The advisor's door: the strategies, and a plan for a goal.
import type { Snapshot } from "../cluster.ts";
import type { InputProblem } from "../migration/types.ts";
import { balance } from "./balance.ts";
import { permittedMechanisms } from "./cost.ts";
import { evacuate } from "./evacuate.ts";
import { hostById } from "./state.ts";
import type { Goal, PlanContent, PlanParameters } from "./types.ts";

/** Every strategy. The first of a goal is the one that a plan uses. */
export const strategies = [evacuate, balance] as const;

const strategyOf = { evacuate, balance } satisfies Record<Goal, (typeof strategies)[number]>;

/**
 * The plan for a goal. Pure: the same snapshot and parameters give the same bytes as `canonicalJson`, whatever the order
 * in which hosts and VMs stand in the snapshot. Ask `checkPlanRequest` first.
 */
export function buildPlan(snapshot: Snapshot, goal: Goal, parameters: PlanParameters): PlanContent {
  return strategyOf[goal].propose(snapshot, parameters);
}

/**
 * What is wrong with a request for a plan, each with the path inside the parameters. `hostIds.N` alone means that the host
 * is not in the snapshot (a 404); everything else is a contradiction in the parameters (a 422). Empty: nothing is wrong.
 */
export function checkPlanRequest(snapshot: Snapshot, goal: Goal, parameters: PlanParameters): InputProblem[] {
  const problems: InputProblem[] = [];
  const { hostIds } = parameters;
  if (goal === "evacuate" && hostIds === undefined) {
    problems.push({ path: "hostIds", message: "evacuate needs the hosts to be emptied: give hostIds" });
  }
  if (goal !== "evacuate" && hostIds !== undefined) {
    problems.push({
      path: "hostIds",
      message: `${goal} looks at the whole cluster: leave hostIds out, or use evacuate`,
    });
  }
  hostIds?.forEach((hostId, index) => {
    if (hostById(snapshot, hostId) !== undefined) return;
    const message = `no host ${hostId} in cluster ${snapshot.cluster}: see GET /v1/hosts for those there are`;
    problems.push({ path: `hostIds.${index}`, message });
  });
  if (permittedMechanisms(parameters).length === 0) {
    const message = "only post-copy mechanisms are asked for and postCopyPermitted is false: change one of them";
    problems.push({ path: "mechanisms", message });
  }
  return problems;
}
