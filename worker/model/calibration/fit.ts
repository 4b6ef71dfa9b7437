// What outcomes teach: per group a bias, the width that its intervals should have had, and how much migrations make a guest dirty.
import { groupsOf } from "./groups.ts";
import type { Place } from "./groups.ts";
import { conformalQuantile, halfWidths, logarithm, sampleQuantile, scoreOf } from "./interval.ts";
import { CALIBRATED } from "./types.ts";
import type { Calibrated, Calibration, CalibrationGroup, CalibrationOutcome, Correction } from "./types.ts";

/** Outcomes that weigh as much as what a group is drawn towards: with five of its own it is half its own. */
const SHRINKAGE = 5;
/** Newest outcomes of a group that count. */
const OUTCOMES_MAX = 500;
/** Growth of dirtying under migration: newest outcomes weigh this much, and none says more than a factor of three. */
const GROWTH = { newest: 0.4, most: 3, resentRatioMin: 0.05 };

const NEUTRAL: Correction = { samples: 0, biasLn: 0, low: -1, high: 1 };

/**
 * Per group and quantity: bias = median of ln(measured / p50), interval = conformal quantiles of the residuals in half-widths
 * of what the models said (locally adaptive split conformal prediction: Papadopoulos et al. 2002, Lei et al. 2018), both
 * drawn by n / (n + 5) from the wider group's, the widest from "the models are right". In any order of outcomes; only the
 * growth factor follows time.
 */
export function fitCalibration(outcomes: readonly CalibrationOutcome[]): Calibration {
  const groups: Record<string, CalibrationGroup> = {};
  const byGroup = new Map<string, CalibrationOutcome[]>();
  for (const outcome of outcomes)
    for (const group of groupsOf(outcome)) byGroup.set(group, [...(byGroup.get(group) ?? []), outcome]);
  // The widest first: the narrower ones are drawn towards it.
  const wide = (place: Place) => groups[groupsOf(place)[0] ?? ""];
  for (const [group, all] of [...byGroup].toSorted(
    ([a], [b]) => Number(b.startsWith("*")) - Number(a.startsWith("*")),
  )) {
    const newest = all.toSorted(byTime).slice(-OUTCOMES_MAX);
    const [first] = newest;
    if (first === undefined) continue;
    const towards = group.startsWith("*") ? undefined : wide(first);
    groups[group] = groupOf(group, newest, towards);
  }
  return { groups };
}

function byTime(a: CalibrationOutcome, b: CalibrationOutcome): number {
  return a.at - b.at;
}

function groupOf(
  group: string,
  outcomes: readonly CalibrationOutcome[],
  towards: CalibrationGroup | undefined,
): CalibrationGroup {
  const correct = (of: Calibrated) => correctionOf(of, outcomes, towards?.corrections[of] ?? NEUTRAL);
  const growth = growthOf(outcomes);
  return {
    group,
    samples: outcomes.length,
    corrections: Object.fromEntries(CALIBRATED.map((of) => [of, correct(of)])) as CalibrationGroup["corrections"],
    ...growth,
  };
}

function correctionOf(of: Calibrated, outcomes: readonly CalibrationOutcome[], towards: Correction): Correction {
  const known = outcomes.flatMap(({ predicted, measured, converged }) => {
    const [said, real] = [predicted[of], measured[of]];
    if (said === null || real === null || !converged) return [];
    return [{ residual: logarithm(of, real) - logarithm(of, said.p50), widths: halfWidths(of, said) }];
  });
  const samples = known.length;
  if (samples === 0) return { ...towards, samples };
  const own = samples / (samples + SHRINKAGE);
  const blend = (mine: number, theirs: number) => own * mine + (1 - own) * theirs;
  const rising = (values: number[]) => values.toSorted((a, b) => a - b);
  const biasLn = blend(sampleQuantile(rising(known.map(({ residual }) => residual)), 0.5), towards.biasLn);
  const scores = rising(known.map(({ residual, widths }) => scoreOf(residual - biasLn, widths)));
  return {
    samples,
    biasLn,
    low: Math.min(0, blend(conformalQuantile(scores, 0.1), towards.low)),
    high: Math.max(0, blend(conformalQuantile(scores, 0.9), towards.high)),
  };
}

/**
 * Bytes re-sent over those predicted, moving average on the logarithm in order of time (α = 0.4), drawn towards 1. Only
 * migrations that had something to re-send say anything.
 */
function growthOf(outcomes: readonly CalibrationOutcome[]) {
  let average = 0;
  let growthSamples = 0;
  for (const { firstRoundBytes, predicted, measured, converged } of outcomes) {
    const [said, real] = [predicted.transferredBytes, measured.transferredBytes];
    if (firstRoundBytes === null || said === null || real === null || !converged) continue;
    const resent = said.p50 - firstRoundBytes;
    if (resent < GROWTH.resentRatioMin * firstRoundBytes) continue;
    const ratio = Math.max(1 / GROWTH.most, Math.min(GROWTH.most, (real - firstRoundBytes) / resent));
    growthSamples += 1;
    average += (growthSamples === 1 ? 1 : GROWTH.newest) * (Math.log(ratio) - average);
  }
  const own = growthSamples / (growthSamples + SHRINKAGE);
  return { dirtyGrowthRatio: Math.exp(own * average), growthSamples };
}
