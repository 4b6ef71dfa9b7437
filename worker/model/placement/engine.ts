// From a snapshot to a plan: detect → propose → cost → select → schedule. Each goal begins where the one before has ended.
import type { Snapshot } from "../cluster.ts";
import { type Costing, costingFor, type MoveCost, plannedPeers, roughCostingFor } from "./cost.ts";
import { imbalanceOf } from "./efficacy.ts";
import { findingsOf } from "./findings.ts";
import { migrationCost, whyNotPaying, withCost } from "./gain.ts";
import { strategyFor } from "./registry.ts";
import { type Schedule, schedule, type Scheduled } from "./schedule.ts";
import { type Counted, countedBy, type Means, meansOf } from "./score.ts";
import { type Chosen, isClear, type Refused, select } from "./select.ts";
import type { Finding, StrategyAnswer } from "./strategy.ts";
import type { Goal, PlanContent, PlanParameters, StrategyName } from "./types.ts";
import { createWorld } from "./create-world.ts";
import { sentBytes } from "./volume.ts";
import { copyWorld, hostAt, place, vmAt, type World } from "./world.ts";

/** What came of a goal. */
export type StageResult = {
  goal: Goal;
  strategy: StrategyName;
  findings: Finding[];
  answer: StrategyAnswer;
  refused: Refused[];
};

/** Everything that a plan is told from. */
export type Outcome = {
  start: World;
  end: World;
  counted: Counted;
  means: Means;
  stages: StageResult[];
  scheduled: Schedule<Chosen>;
  cutShort: boolean;
  bound: PlanContent["bound"];
};

type Budget = { left: number };

/**
 * Decides. Ask `checkPlanRequest` first. What pays clearly is chosen by rough costs, and costed in full once it is known what
 * runs beside it; should it not be possible then, or not pay, everything is decided anew with full costs.
 */
export function decide(snapshot: Snapshot, goal: Goal, parameters: PlanParameters): Outcome {
  const start = createWorld(snapshot, parameters);
  const costing = costingFor(snapshot, parameters);
  const roughly = costsBy(start, roughCostingFor(snapshot, parameters));
  const priced = remembered(start, (vm, from, to) => priceOf(roughly(vm, from, to), parameters));
  const costs: Costs = { costing, of: remembered(start, costsBy(start, costing)), roughly, priced };
  return decided(start, goal, costs, true) ?? decided(start, goal, costs, false) ?? never();
}

type CostOf = (vm: number, from: number, to: number) => MoveCost;
type Costs = {
  costing: Costing;
  /** In full, and by the median course. */
  of: CostOf;
  roughly: CostOf;
  /** The latter in the currency of the prices; null: no mechanism can. */
  priced: (vm: number, from: number, to: number) => number | null;
};

const priceOf = (cost: MoveCost, parameters: PlanParameters): number | null =>
  cost.possible ? migrationCost(cost.estimate, parameters) : null;

function never(): never {
  throw new RangeError("a plan with full costs is always possible");
}

/** null: what was chosen by rough costs is not possible, or does not pay. */
function decided(start: World, goal: Goal, costs: Costs, isRoughEnough: boolean): Outcome | null {
  const { parameters } = start;
  const counted = countedBy(goal, parameters);
  const budget: Budget = { left: parameters.evaluationsMax };
  const goals = [{ goal, strategy: parameters.strategy }, ...parameters.next];
  const world = copyWorld(start);
  const chosen: Chosen[] = [];
  const stages: StageResult[] = [];
  for (const stage of goals) {
    const result = runStage({ world, stage, chosen, budget, costs, isRoughEnough });
    stages.push(result.stage);
    chosen.push(...result.chosen);
  }
  const scheduled = besideEachOther(
    start,
    schedule(start, chosen, ({ gain }) => gain.bundle),
    costs.costing,
  );
  if (scheduled === null) return null;
  // What no order makes possible is not done, nor counted.
  for (const { step } of scheduled.impossible) place(world, step.vm, start.hostOf[step.vm] ?? 0);
  return {
    start,
    end: world,
    counted,
    means: meansOf(start),
    stages,
    scheduled,
    cutShort: budget.left <= 0,
    bound: boundAt(start, world, stages),
  };
}

/** The first goal's bound, beside what the plan reaches once it is selected and scheduled. */
function boundAt(start: World, end: World, [first]: readonly StageResult[]): PlanContent["bound"] {
  const bound = first?.answer.bound;
  if (bound === undefined) return null;
  const { metric, lowerBound } = bound;
  const value = imbalanceOf(end);
  const span = imbalanceOf(start) - lowerBound;
  return { metric, value, lowerBound, gapRatio: span <= 0 ? 0 : Math.max(0, value - lowerBound) / span };
}

type StageInput = {
  world: World;
  stage: { goal: Goal; strategy?: StrategyName | undefined };
  chosen: readonly Chosen[];
  budget: Budget;
  costs: Costs;
  /** To choose by, where a move pays clearly. */
  isRoughEnough: boolean;
};

function runStage({ world, stage, chosen, budget, costs, isRoughEnough }: StageInput): {
  stage: StageResult;
  chosen: Chosen[];
} {
  const { parameters } = world;
  const counted = countedBy(stage.goal, parameters);
  const means = meansOf(world);
  const findings = findingsOf(world);
  const strategy = strategyFor(stage.goal, stage.strategy);
  const answer = strategy.propose({
    world: copyWorld(world),
    goal: stage.goal,
    counted,
    means,
    findings,
    fixed: new Set(chosen.map(({ vm }) => vm)),
    costOf: (vm, to) => priceOf(costs.of(vm, world.hostOf[vm] ?? 0, to), parameters),
    roughCostOf: (vm, to) => costs.priced(vm, world.hostOf[vm] ?? 0, to),
    obstacleOf: (vm, to) => {
      const rough = costs.roughly(vm, world.hostOf[vm] ?? 0, to);
      if (rough.possible && isClear(rough.estimate, parameters)) return null;
      const cost = costs.of(vm, world.hostOf[vm] ?? 0, to);
      return cost.possible ? null : cost.rejection;
    },
    isSpent: (evaluations) => {
      budget.left -= evaluations;
      return budget.left <= 0;
    },
  });
  const selected = select(
    {
      world,
      counted,
      means,
      costOf: costs.of,
      roughCostOf: isRoughEnough ? costs.roughly : null,
      movesMax: parameters.movesMax - chosen.length,
      movedBytesMax: bytesLeft(world, chosen),
      bundlesBefore: Math.max(0, ...chosen.map(({ gain }) => gain.bundle)),
    },
    answer.proposals,
  );
  return {
    stage: { goal: stage.goal, strategy: strategy.name, findings, answer, refused: selected.refused },
    chosen: selected.chosen,
  };
}

/** Bytes that a plan with these moves may still send. */
const bytesLeft = (world: World, chosen: readonly Chosen[]): number =>
  (world.parameters.movedBytesMax ?? Number.POSITIVE_INFINITY) -
  chosen.reduce((sum, { vm }) => sum + sentBytes(world, vm), 0);

/**
 * The moves costed once more, with those that really run beside each: they were chosen as if as many as may run at once did.
 * null: one that was chosen by rough costs has turned out to be impossible, or not to pay, or is parked on its way.
 */
function besideEachOther(start: World, scheduled: Schedule<Chosen>, costing: Costing): Schedule<Chosen> | null {
  const { parameters } = start;
  const again = costsInWaves(start, scheduled.steps, costing);
  const costed = (step: Chosen): Chosen["cost"] => again.get(step) ?? step.cost;
  const isFull = (step: Scheduled<Chosen>): boolean =>
    step.parking ? !step.for.isRough : again.has(step) || !step.isRough;
  if (!scheduled.steps.every(isFull)) return null;
  const spent = new Map<number, number>();
  for (const step of scheduled.steps) {
    if (step.parking) continue;
    const cost = migrationCost(costed(step).estimate, parameters);
    spent.set(step.gain.bundle, (spent.get(step.gain.bundle) ?? 0) + cost);
  }
  const steps = scheduled.steps.map((step) => {
    if (step.parking) return step;
    const cost = spent.get(step.gain.bundle) ?? step.gain.cost;
    return { ...step, cost: costed(step), gain: withCost(step.gain, cost) };
  });
  const isUnpaid = (step: Scheduled<Chosen>): boolean =>
    !step.parking && step.isRough && whyNotPaying(step.gain, "", parameters) !== null;
  return steps.some(isUnpaid) ? null : { ...scheduled, steps };
}

/** Of the moves that no parking makes: what each costs beside the others of its wave on its hosts, where that is possible. */
function costsInWaves(
  { vms, hosts }: World,
  steps: readonly Scheduled<Chosen>[],
  costing: Costing,
): Map<Chosen, Chosen["cost"]> {
  const again = new Map<Chosen, Chosen["cost"]>();
  for (const wave of Map.groupBy(steps, (step) => step.wave).values()) {
    for (const step of wave) {
      const ends = [step.from, step.to];
      const beside = wave.filter((other) => ends.includes(other.from) || ends.includes(other.to)).length - 1;
      const [vm, from, to] = [vms[step.vm], hosts[step.from], hosts[step.to]];
      if (vm === undefined || from === undefined || to === undefined || step.parking) continue;
      const cost = costing(vm, from, to, beside);
      if (cost.possible) again.set(step, cost);
    }
  }
  return again;
}

/** Costs by VM and hosts, as if as many moves ran beside each as may. */
function costsBy(start: World, costing: Costing): CostOf {
  const { parameters, vms } = start;
  const beside = plannedPeers(Math.min(vms.length, parameters.movesMax), parameters);
  return (vm, from, to) => costing(vmAt(start, vm), hostAt(start, from), hostAt(start, to), beside);
}

/** Each VM and destination is asked about once. */
function remembered<Value>({ hosts }: World, ask: (vm: number, from: number, to: number) => Value): typeof ask {
  const known = new Map<number, Value>();
  return (vm, from, to) => {
    const key = vm * hosts.length + to;
    const before = known.get(key);
    if (before !== undefined) return before;
    const value = ask(vm, from, to);
    known.set(key, value);
    return value;
  };
}
