// What a policy in shadow would have done, against what was done and what came of it.
import { z } from "zod";
import { quantity } from "../migration/types.ts";
import type { Plan } from "../plan.ts";
import { MINUTE_MS } from "../units.ts";
import { mechanism } from "../wire/common.ts";
import { outcome } from "../wire/event.ts";
import { gainOf, goalsOf } from "./helping.ts";
import { type Indicators, type PolicyRun, indicators, indicatorsOf } from "./run.ts";

/** A VM that really changed its host. `migrationId` null: it was not Drover that moved it. */
export const realMove = z.strictObject({
  vm: z.string(),
  vmName: z.string().nullable(),
  fromHostId: z.string(),
  toHostId: z.string(),
  at: z.int(),
  endedAt: z.int().nullable(),
  migrationId: z.string().nullable(),
  planId: z.string().nullable(),
  /** A migration's state; `seen`: telemetry found the VM on another host. */
  state: z.string(),
  mechanism: mechanism.nullable(),
  measured: outcome.nullable(),
});
export type RealMove = z.infer<typeof realMove>;

const shadowMove = z.strictObject({
  n: z.int(),
  vm: z.string(),
  vmName: z.string(),
  fromHostId: z.string(),
  toHostId: z.string(),
  mechanism,
  predicted: z.strictObject({ downtimeMs: quantity.nullable(), totalMs: quantity, transferredBytes: quantity }),
  reasons: z.array(z.string()),
  /** Whether the policy would have approved it; null: its run is not kept any more. */
  wouldApprove: z.boolean().nullable(),
  /** `pending`: the VM was not moved, and there is still time. */
  verdict: z.enum(["agree", "differ", "shadow-only", "pending"]),
  /** The earlier plan that proposed the same and had the same answer; such a move is not counted again. */
  repeats: z.string().nullable(),
  real: realMove.nullable(),
});

const shadowPlan = z.strictObject({
  planId: z.string(),
  at: z.int(),
  summary: z.string(),
  before: indicators,
  promised: indicators,
  /** How many runs came to these moves. */
  timesProposed: z.int(),
  /** The next run of the policy and how it found the cluster; null: it has not run again. */
  next: z.strictObject({ runId: z.string(), at: z.int(), found: indicators }).nullable(),
  /** What the plan names was still there at the next run: less than half of what it promised had come by itself or by others. */
  persisted: z.boolean().nullable(),
  moves: z.array(shadowMove),
});

/** Predicted at p50 and measured, over moves that were done as proposed by the same mechanism. */
const comparison = z.strictObject({ moves: z.int(), predicted: z.number(), measured: z.number(), withinP90: z.int() });

export const scoreboard = z
  .strictObject({
    policyId: z.string(),
    from: z.int(),
    to: z.int(),
    /** A real move counts as an answer to a proposal for this long. */
    horizonMs: z.int(),
    counts: z.strictObject({
      plans: z.int(),
      moves: z.int(),
      agree: z.int(),
      differ: z.int(),
      shadowOnly: z.int(),
      pending: z.int(),
      doneOnly: z.int(),
      persisted: z.int(),
      gone: z.int(),
    }),
    downtimeMs: comparison,
    transferredBytes: comparison,
    plans: z.array(shadowPlan),
    /** Done without having been proposed. */
    doneOnly: z.array(realMove),
    /** There are more shadow plans in this time than are shown: ask for a shorter one. */
    truncated: z.boolean(),
  })
  .meta({ id: "Scoreboard" });
export type Scoreboard = z.infer<typeof scoreboard>;

export type Arrival = { vm: string; toHostId: string; at: number; fromHostId: string | null };

/** A VM may be seen at its destination this long after its migration has ended, ms. */
const SEEN_LATE_MS = 10 * MINUTE_MS;

/** Arrivals that no migration explains: somebody moved these VMs without Drover. */
export function movedByOthers(arrivals: readonly Arrival[], migrations: readonly RealMove[]): RealMove[] {
  const explains = (arrival: Arrival) => (run: RealMove) =>
    run.vm === arrival.vm &&
    run.toHostId === arrival.toHostId &&
    run.at <= arrival.at &&
    arrival.at <= (run.endedAt ?? Infinity) + SEEN_LATE_MS;
  return arrivals.flatMap((arrival) =>
    arrival.fromHostId === null || arrival.fromHostId === arrival.toHostId || migrations.some(explains(arrival))
      ? []
      : [
          {
            vm: arrival.vm,
            vmName: null,
            fromHostId: arrival.fromHostId,
            toHostId: arrival.toHostId,
            at: arrival.at,
            endedAt: arrival.at,
            migrationId: null,
            planId: null,
            state: "seen",
            mechanism: null,
            measured: null,
          },
        ],
  );
}

export type ScoreInput = {
  policyId: string;
  from: number;
  to: number;
  now: number;
  horizonMs: number;
  /** Made in [from, to), oldest first. */
  shadows: readonly Plan[];
  /** Runs of the policy that found out how the cluster was, oldest first, from `from` on. */
  runs: readonly PolicyRun[];
  /** Migrations and moves by others, from `from` to the horizon after `to`. */
  real: readonly RealMove[];
  truncated: boolean;
};

/** A proposal and what answered it; the same one again with the same answer is not another. */
type Proposal = { planId: string; at: number; real: RealMove | null };

type ShadowMove = z.infer<typeof shadowMove>;
type ShadowPlan = z.infer<typeof shadowPlan>;

export function scoreOf(input: ScoreInput): Scoreboard {
  const { policyId, from, to, horizonMs, truncated } = input;
  const done = input.real.filter(({ state }) => state === "completed" || state === "seen");
  const open = new Map<string, Proposal>();
  const plans = input.shadows.map((plan) => scorePlan(input, plan, done, open));
  const moves = plans.flatMap((plan) => plan.moves).filter(({ repeats }) => repeats === null);
  const answered = new Set(moves.flatMap(({ real }) => (real === null ? [] : [real])));
  const doneOnly = done.filter((real) => real.at < to && !answered.has(real));
  const count = (verdict: ShadowMove["verdict"]) => moves.filter((move) => move.verdict === verdict).length;
  return {
    policyId,
    from,
    to,
    horizonMs,
    counts: {
      plans: plans.length,
      moves: moves.length,
      agree: count("agree"),
      differ: count("differ"),
      shadowOnly: count("shadow-only"),
      pending: count("pending"),
      doneOnly: doneOnly.length,
      persisted: plans.filter(({ persisted }) => persisted === true).length,
      gone: plans.filter(({ persisted }) => persisted === false).length,
    },
    downtimeMs: compare(moves, "downtimeMs"),
    transferredBytes: compare(moves, "transferredBytes"),
    plans,
    doneOnly,
    truncated,
  };
}

/** Less than this share of a promise come true: what the plan names is still there. */
const PERSISTS_BELOW = 0.5;

/** The change that a plan promised, from how the cluster really was when it was made. */
function asPromised(real: Indicators, before: Indicators, promised: Indicators) {
  const change = (name: string): number => (promised[name] ?? NaN) - (before[name] ?? NaN);
  const entries = Object.entries(real).filter(([name]) => !Number.isNaN(change(name)));
  return { before: real, promised: Object.fromEntries(entries.map(([name, value]) => [name, value + change(name)])) };
}

function scorePlan(input: ScoreInput, plan: Plan, done: readonly RealMove[], open: Map<string, Proposal>): ShadowPlan {
  const [before, promised] = [indicatorsOf(plan.content.before), indicatorsOf(plan.content.after)];
  const own = input.runs.filter((run) => run.planId === plan.planId);
  // The run that made the plan has measured what the plan calls `before`.
  const maker = own[0];
  const next = input.runs.find((run) => run !== maker && (run.startedAt ?? 0) >= plan.createdAt);
  const found = next?.numbers?.before;
  const gain = found
    ? gainOf({ goals: goalsOf(plan.content), ...asPromised(maker?.numbers?.before ?? before, before, promised), found })
    : null;
  return {
    planId: plan.planId,
    at: plan.createdAt,
    summary: plan.content.summary,
    before,
    promised,
    timesProposed: own.length,
    next: next && found ? { runId: next.runId, at: next.startedAt ?? next.dueAt, found } : null,
    persisted: gain === null ? null : gain.ratio < PERSISTS_BELOW,
    moves: plan.content.moves.map((move) => {
      const { downtimeMs, totalMs, transferredBytes } = move.estimate;
      const approved = maker?.numbers?.approved;
      const verdict = verdictOf(input, plan, move, done);
      const key = `${move.vm} ${move.toHostId}`;
      const earlier = open.get(key);
      const isSame = earlier && plan.createdAt <= earlier.at + input.horizonMs && earlier.real === verdict.real;
      const repeats = isSame ? earlier.planId : null;
      if (repeats === null) open.set(key, { planId: plan.planId, at: plan.createdAt, real: verdict.real });
      return {
        n: move.n,
        vm: move.vm,
        vmName: move.vmName,
        fromHostId: move.fromHostId,
        toHostId: move.toHostId,
        mechanism: move.mechanism,
        predicted: { downtimeMs, totalMs, transferredBytes },
        reasons: move.reasons,
        wouldApprove: approved ? approved.includes(move.n) : null,
        repeats,
        ...verdict,
      };
    }),
  };
}

function verdictOf(
  { horizonMs, now }: ScoreInput,
  plan: Plan,
  move: { vm: string; toHostId: string },
  done: readonly RealMove[],
): Pick<ShadowMove, "verdict" | "real"> {
  const until = plan.createdAt + horizonMs;
  const real = done.find(({ vm, at }) => vm === move.vm && plan.createdAt <= at && at <= until) ?? null;
  if (real !== null) return { verdict: real.toHostId === move.toHostId ? "agree" : "differ", real };
  return { verdict: now < until ? "pending" : "shadow-only", real };
}

function compare(moves: readonly ShadowMove[], figure: "downtimeMs" | "transferredBytes"): z.infer<typeof comparison> {
  const pairs = moves.flatMap(({ verdict, real, mechanism: by, predicted }) => {
    const [expected, measured] = [predicted[figure], real?.measured?.[figure]];
    if (verdict !== "agree" || real?.mechanism !== by || !expected || measured === undefined) return [];
    return [{ expected, measured }];
  });
  return {
    moves: pairs.length,
    predicted: pairs.reduce((sum, { expected }) => sum + expected.p50, 0),
    measured: pairs.reduce((sum, { measured }) => sum + measured, 0),
    withinP90: pairs.filter(({ expected, measured }) => measured <= expected.p90).length,
  };
}
