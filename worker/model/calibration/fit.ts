// What outcomes teach: per group a bias, the width that its intervals should have had, and how much migrations make a guest dirty.
import { groupOf } from "./groups.ts";
import { conformalQuantile, halfWidths, logarithm, sampleQuantile, scoreOf } from "./interval.ts";
import { CALIBRATED } from "./types.ts";
import type { Calibrated, Calibration, CalibrationGroup, CalibrationOutcome, Correction } from "./types.ts";

/** Subjects that weigh as much as what a group is drawn towards: with five of its own it is half its own. */
const SHRINKAGE = 5;
/** A further move of the same VM says a tenth as much as one of another. */
const REPEATED = 0.1;
/** Newest outcomes of a group that count. */
const OUTCOMES_MAX = 500;
/**
 * Growth of dirtying under migration shows only where re-sent pages are a good part of the first round, whose own error it
 * would else be; none says more than a factor of three.
 */
const GROWTH = { most: 3, resentRatioMin: 0.25 };

/**
 * Per group and quantity: bias = median of ln(measured / p50), interval = conformal quantiles of the residuals in half-widths
 * of what the models said (locally adaptive split conformal prediction: Papadopoulos et al. 2002, Lei et al. 2018), both
 * drawn by n / (n + 5) from "the models are right", n being how many different VMs were moved and a tenth for each further move. In any order of
 * outcomes.
 */
export function fitCalibration(outcomes: readonly CalibrationOutcome[]): Calibration {
  const groups = Map.groupBy(outcomes, groupOf);
  return { groups: Object.fromEntries([...groups].map(([group, all]) => [group, learned(group, all)])) };
}

function learned(group: string, all: readonly CalibrationOutcome[]): CalibrationGroup {
  const newest = all.toSorted((a, b) => a.at - b.at).slice(-OUTCOMES_MAX);
  const growth = growthOf(newest);
  const corrections = Object.fromEntries(
    CALIBRATED.map((of) => [of, correctionOf(of, newest, growth.dirtyGrowthRatio)]),
  );
  return { group, samples: newest.length, corrections: corrections as CalibrationGroup["corrections"], ...growth };
}

/**
 * By how much more the models would have said, had they been told of this growth: what they re-send grows with it, to first
 * order, and the time with the bytes.
 */
function grownLn(of: Calibrated, outcome: CalibrationOutcome, growth: number): number {
  const said = outcome.predicted.transferredBytes?.p50 ?? 0;
  if (outcome.firstRoundBytes === null || said <= 0 || (of !== "totalMs" && of !== "transferredBytes")) return 0;
  const resentRatio = Math.max(0, 1 - outcome.firstRoundBytes / said);
  return Math.log1p(resentRatio * (growth / outcome.dirtyGrowthRatio - 1));
}

type Known = { subject: string; residual: number; widths: ReturnType<typeof halfWidths> };

function correctionOf(of: Calibrated, outcomes: readonly CalibrationOutcome[], growth: number): Correction {
  const known = outcomes.flatMap((outcome): Known[] => {
    const { subject, predicted, measured, converged } = outcome;
    const [said, real] = [predicted[of], measured[of]];
    if (said === null || real === null || !converged) return [];
    const residual = logarithm(of, real) - logarithm(of, said.p50) - grownLn(of, outcome, growth);
    return [{ subject, residual, widths: halfWidths(of, said) }];
  });
  const samples = known.length;
  if (samples === 0) return { samples, biasLn: 0, low: -1, high: 1 };
  const subjects = [...Map.groupBy(known, ({ subject }) => subject).values()];
  const weight = subjects.length + REPEATED * (samples - subjects.length);
  const own = weight / (weight + SHRINKAGE);
  const median = (values: number[]) => sampleQuantile(rising(values), 0.5);
  const biasLn = own * median(subjects.map((all) => median(all.map(({ residual }) => residual))));
  const scores = rising(known.map(({ residual, widths }) => scoreOf(residual - biasLn, widths)));
  return {
    samples,
    biasLn,
    low: Math.min(0, own * conformalQuantile(scores, 0.1) - (1 - own)),
    high: Math.max(0, own * conformalQuantile(scores, 0.9) + (1 - own)),
  };
}

function rising(values: readonly number[]): number[] {
  return values.toSorted((a, b) => a - b);
}

/**
 * Bytes re-sent over those predicted for a growth of 1: the median of the newest, drawn towards 1. A moving average, which the
 * literature has, follows the noise of single migrations.
 */
function growthOf(outcomes: readonly CalibrationOutcome[]) {
  const growths = outcomes.flatMap(({ firstRoundBytes, dirtyGrowthRatio, predicted, measured, converged }) => {
    const [said, real] = [predicted.transferredBytes, measured.transferredBytes];
    if (firstRoundBytes === null || said === null || real === null || !converged) return [];
    const resent = said.p50 - firstRoundBytes;
    if (resent < GROWTH.resentRatioMin * firstRoundBytes) return [];
    const grown = (dirtyGrowthRatio * (real - firstRoundBytes)) / resent;
    return [Math.log(Math.max(1 / GROWTH.most, Math.min(GROWTH.most, grown)))];
  });
  const growthSamples = growths.length;
  if (growthSamples === 0) return { dirtyGrowthRatio: 1, growthSamples };
  const own = growthSamples / (growthSamples + SHRINKAGE);
  return { dirtyGrowthRatio: Math.exp(own * sampleQuantile(rising(growths), 0.5)), growthSamples };
}
