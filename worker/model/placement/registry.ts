// The strategies, and which one a goal has where none is asked for.
import { evacuate } from "./strategies/evacuate.ts";
import { firefly } from "./strategies/firefly.ts";
import { localSearch } from "./strategies/local-search.ts";
import { locality } from "./strategies/locality.ts";
import { spread } from "./strategies/spread.ts";
import { mbfd } from "./strategies/mbfd.ts";
import { sandpiper } from "./strategies/sandpiper.ts";
import { vectordot } from "./strategies/vectordot.ts";
import { workloadPrediction } from "./strategies/workload-prediction.ts";
import type { Strategy } from "./strategy.ts";
import type { Goal, StrategyName } from "./types.ts";

/** Every strategy there is. */
export const strategies: readonly Strategy[] = [
  evacuate,
  firefly,
  localSearch,
  locality,
  mbfd,
  sandpiper,
  spread,
  vectordot,
  workloadPrediction,
];

const DEFAULTS: Record<Goal, StrategyName> = {
  balance: "sandpiper",
  consolidate: "mbfd",
  "save-energy": "mbfd",
  evacuate: "evacuate",
  "fault-tolerance": "spread",
  locality: "locality",
};

/** The strategy asked for, or the goal's own. `checkPlanRequest` has seen to it that it serves the goal. */
export function strategyFor(goal: Goal, name: StrategyName = DEFAULTS[goal]): Strategy {
  const found = strategies.find((strategy) => strategy.name === name);
  if (found === undefined) throw new RangeError(`no strategy ${name}`);
  return found;
}

/** Strategies that serve a goal, the default first. */
export const strategiesFor = (goal: Goal): StrategyName[] =>
  strategies
    .filter(({ goals }) => goals.includes(goal))
    .map(({ name }) => name)
    .sort((a, b) => Number(b === DEFAULTS[goal]) - Number(a === DEFAULTS[goal]));
