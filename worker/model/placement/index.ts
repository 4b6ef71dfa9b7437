// The advisor: plans from snapshots. Pure, and the same question always gets the same answer.
import type { Snapshot } from "../cluster.ts";
import type { InputProblem } from "../migration/types.ts";
import { conflictsOf } from "./conflicts.ts";
import { contradictionsOf } from "./contradictions.ts";
import { permittedMechanisms } from "./cost.ts";
import { createWorld } from "./create-world.ts";
import { efficacyOf } from "./efficacy.ts";
import { decide } from "./engine.ts";
import { planOf } from "./plan.ts";
import { strategiesFor } from "./registry.ts";
import { countedBy } from "./score.ts";
import { hostById } from "./state.ts";
import type { Efficacy, Goal, PlanContent, PlanParameters } from "./types.ts";

export { conflictsOf } from "./conflicts.ts";
export { contradictionsOf, setAside } from "./contradictions.ts";
export { strategies } from "./registry.ts";
export { type Unblock } from "./unblock.ts";
export { ENGINE_VERSION } from "./version.ts";
export { whyNot, type WhyNot } from "./why-not.ts";

/**
 * The plan for a goal. Pure: the same snapshot and parameters give the same bytes as `canonicalJson`, whatever the order
 * in which hosts and VMs stand in the snapshot. Ask `checkPlanRequest` first.
 */
export function buildPlan(snapshot: Snapshot, goal: Goal, parameters: PlanParameters): PlanContent {
  return planOf(decide(snapshot, goal, parameters));
}

/** The indicators of a cluster as it is, as a plan for the goal would give them before its moves. */
export const efficacyNow = (snapshot: Snapshot, goal: Goal, parameters: PlanParameters): Efficacy =>
  efficacyOf(createWorld(snapshot, parameters), countedBy(goal, parameters));

/**
 * What is wrong with a request for a plan, each with the path inside the parameters. `hostIds.N` alone means that the host
 * is not in the snapshot (a 404); everything else is a contradiction in the parameters (a 422). Empty: nothing is wrong.
 */
export function checkPlanRequest(snapshot: Snapshot, goal: Goal, parameters: PlanParameters): InputProblem[] {
  const problems: InputProblem[] = [];
  const { hostIds } = parameters;
  const goals = [goal, ...parameters.next.map((stage) => stage.goal)];
  if (hostIds !== undefined && !goals.includes("evacuate")) {
    const message = `${goal} looks at the whole cluster: leave hostIds out, or use evacuate`;
    problems.push({ path: "hostIds", message });
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
  if (parameters.onDeadline === "post-copy" && !parameters.postCopyPermitted) {
    const message = "post-copy is asked for at the deadline and postCopyPermitted is false: change one of them";
    problems.push({ path: "onDeadline", message });
  }
  return [...problems, ...strategyProblems(goal, parameters)];
}

/**
 * What is wrong with the cluster that a plan is asked for, whatever the goal: contradictions of the snapshot, each with its
 * path in it, and rules that cannot hold together or name what is not there, with the path `rules` or `rules.N`. A rule of
 * a stored cluster may outlive the VMs that it names: without `namesMustExist` that is no problem, and the plan says so.
 * Empty: nothing is wrong.
 */
export function checkSnapshot(
  snapshot: Snapshot,
  parameters: PlanParameters,
  { namesMustExist }: { namesMustExist: boolean },
): InputProblem[] {
  const contradictions = contradictionsOf(snapshot);
  // A snapshot that contradicts itself cannot be made a world of.
  if (contradictions.length > 0) return contradictions;
  const indexes = new Map(snapshot.rules?.map(({ ruleId }, index) => [`rule ${ruleId}`, index]));
  return conflictsOf(snapshot, parameters)
    .filter(({ kind }) => kind === "impossible" || (namesMustExist && kind === "unknown-name"))
    .map(({ kind, rules, why }) => {
      const index = kind === "unknown-name" ? indexes.get(rules[0] ?? "") : undefined;
      return { path: index === undefined ? "rules" : `rules.${index}`, message: `${rules.join(", ")}: ${why}` };
    });
}

function strategyProblems(goal: Goal, { strategy, next }: PlanParameters): InputProblem[] {
  const stages = [
    { goal, strategy, path: "strategy" },
    ...next.map((stage, index) => ({ ...stage, path: `next.${index}.strategy` })),
  ];
  return stages.flatMap(({ goal: asked, strategy: named, path }) => {
    const able = strategiesFor(asked);
    if (named === undefined || able.includes(named)) return [];
    return [{ path, message: `${named} does not serve the goal ${asked}: use ${able.join(", ")}` }];
  });
}
