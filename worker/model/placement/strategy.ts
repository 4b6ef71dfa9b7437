// What a strategy is given, and what it answers. One strategy a file in `strategies/`.
import type { Counted, Means } from "./score.ts";
import type { Goal, PlanContent, Rejection, StrategyName } from "./types.ts";
import type { World } from "./world.ts";

/** A host's condition, as detection found it; `peak`: it uses too much at the moment, and nothing says that it will go on. */
export type Finding = {
  host: number;
  state: "hot" | "peak" | "cold" | "degraded" | "failing";
  /** With its numbers. */
  sentence: string;
};

export type StrategyInput = {
  /** Its own copy: a strategy may move VMs in it to see what comes of it. */
  world: World;
  goal: Goal;
  counted: Counted;
  means: Means;
  findings: readonly Finding[];
  /** VMs that an earlier goal of the plan has moved, and that stay there. */
  fixed: ReadonlySet<number>;
  /** What moving the VM to a host would cost, in the prices' currency; null: no mechanism can. Dear to ask: the cost models run. */
  costOf: (vm: number, to: number) => number | null;
  /** The same by the median course alone, in a fraction of the time: for weighing many moves. */
  roughCostOf: (vm: number, to: number) => number | null;
  /** Why no mechanism can; null: one can. */
  obstacleOf: (vm: number, to: number) => Rejection | null;
  /** To be told of every candidate that is weighed; true: enough, answer with what there is. */
  isSpent: (evaluations: number) => boolean;
};

export type Proposal = {
  vm: number;
  to: number;
  /** Moves with the same number stand or fall together: a swap, the emptying of a host. */
  bundle: number;
  /** Made whether it pays or not. */
  mandatory: boolean;
  /** Sentences with numbers: why this VM, why there, why now. */
  why: { vm: string; there: string; now: string };
};

export type StrategyAnswer = {
  /** In the order in which they should be made. */
  proposals: Proposal[];
  /** VMs that it wanted to move and could not, with what stands against it. */
  stuck: { vm: number; rejections: Rejection[] }[];
  /** What it saw, with numbers. */
  seen: string[];
  /** Where there is nothing to propose: why. */
  idle: string;
  bound?: NonNullable<PlanContent["bound"]>;
};

/** One way to reach goals. Pure and deterministic: the same input gives the same answer. */
export type Strategy = {
  name: StrategyName;
  goals: readonly Goal[];
  summary: string;
  propose: (input: StrategyInput) => StrategyAnswer;
};
