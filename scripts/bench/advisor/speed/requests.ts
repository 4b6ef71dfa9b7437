// What every strategy is asked, with the parameters that it ships with.
import { strategies } from "../../../../worker/model/placement/registry.ts";
import {
  type Goal,
  type PlanParameters,
  planParameters,
  type StrategyName,
} from "../../../../worker/model/placement/types.ts";

export type Request = { strategy: StrategyName; goal: Goal; parameters: PlanParameters };

const STATED: Partial<Record<StrategyName, Partial<PlanParameters>>> = {
  evacuate: { hostIds: ["hv-0001", "hv-0002"] },
  spread: { hostFailuresTolerated: 1 },
};

/** Each strategy once, for the first goal that it serves. */
export const requests: readonly Request[] = strategies.flatMap(({ name: strategy, goals: [goal] }) =>
  goal === undefined ? [] : [{ strategy, goal, parameters: planParameters.parse({ strategy, ...STATED[strategy] }) }],
);
