// Whether what is answered has left what is measured: two-sided CUSUM on standardised residuals.
import { halfWidths, logarithm, scoreOf } from "./interval.ts";
import type { Calibrated, CalibrationOutcome } from "./types.ts";

export type Drift = {
  quantity: Calibrated;
  /** `above`: more is measured than answered. */
  direction: "above" | "below";
  /** When the excursion that crossed the limit began, ms since 1970. */
  since: number;
};

/**
 * Page (1954), with the usual slack of half a standard deviation and a limit of five: a false alarm in some 470 outcomes, a
 * shift by one standard deviation seen after about ten (Montgomery, Introduction to Statistical Quality Control). One outcome
 * counts at most four, so that a single accident is no drift.
 */
const SLACK = 0.5;
const LIMIT = 5;
const SCORE_MAX = 4;
/** A sum grows no further: ten outcomes as foretold, and an alarm is over. */
const SUM_MAX = 2 * LIMIT;
/** p10 and p90 are that many standard deviations of a normal distribution from its median. */
const DEVIATIONS_PER_HALF_WIDTH = 1.2816;

const WATCHED: readonly Calibrated[] = ["totalMs", "transferredBytes", "downtimeMs"];

type Sum = { value: number; since: number };

/** The first quantity whose sum stands over the limit after the last outcome; null: none. Outcomes in any order. */
export function driftOf(outcomes: readonly CalibrationOutcome[]): Drift | null {
  const inTime = outcomes.filter(({ imported }) => !imported).toSorted((a, b) => a.at - b.at);
  for (const quantity of WATCHED) {
    let above: Sum = { value: 0, since: 0 };
    let below: Sum = { value: 0, since: 0 };
    for (const outcome of inTime) {
      const score = standardised(quantity, outcome);
      if (score === null) continue;
      above = added(above, score - SLACK, outcome.at);
      below = added(below, -score - SLACK, outcome.at);
    }
    if (above.value > LIMIT) return { quantity, direction: "above", since: above.since };
    if (below.value > LIMIT) return { quantity, direction: "below", since: below.since };
  }
  return null;
}

function added({ value, since }: Sum, score: number, at: number): Sum {
  return { value: Math.min(SUM_MAX, Math.max(0, value + score)), since: value === 0 ? at : since };
}

function standardised(of: Calibrated, { answered, measured, converged }: CalibrationOutcome): number | null {
  const [said, real] = [answered[of], measured[of]];
  if (said === null || real === null || !converged) return null;
  const residual = logarithm(of, real) - logarithm(of, said.p50);
  const score = scoreOf(residual, halfWidths(of, said)) * DEVIATIONS_PER_HALF_WIDTH;
  return Math.max(-SCORE_MAX, Math.min(SCORE_MAX, score));
}
