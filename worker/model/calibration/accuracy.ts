// Predicted against measured, as published: error, coverage and how well convergence was foretold.
import { groupOf } from "./groups.ts";
import { driftOf } from "./drift.ts";
import type { Drift } from "./drift.ts";
import { sampleQuantile } from "./interval.ts";
import { CALIBRATED } from "./types.ts";
import type { Calibrated, CalibrationGroup, CalibrationOutcome } from "./types.ts";

/** Of what was answered, corrections of that time included. Null: nothing was measured of it. */
export type QuantityAccuracy = {
  samples: number;
  /** Median of |p50 − measured| / measured. */
  apeMedian: number | null;
  absoluteErrorMedian: number;
  /** Share of the measured values between p10 and p90; 0.8 is promised. */
  coverageRatio: number;
  /** Median of measured / p50. */
  biasRatio: number | null;
};

export type GroupAccuracy = {
  group: string;
  cluster: string;
  hypervisor: CalibrationOutcome["hypervisor"];
  mechanism: CalibrationOutcome["mechanism"];
  regime: CalibrationOutcome["regime"];
  samples: number;
  /** Different VMs among them. */
  subjects: number;
  quantities: Record<Calibrated, QuantityAccuracy | null>;
  /** Share that converged, and the mean squared error of the probability foretold (Brier, 1950). */
  convergedRatio: number;
  brier: number;
  /** What new estimates of this group are corrected by. */
  learned: CalibrationGroup | null;
  drifted: Drift | null;
};

/** Groups in alphabetical order. */
export function accuracyOf(
  outcomes: readonly CalibrationOutcome[],
  learned: Record<string, CalibrationGroup>,
): GroupAccuracy[] {
  return [...Map.groupBy(outcomes, groupOf)]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([group, all]) => ofGroup(group, all, learned[group] ?? null));
}

function ofGroup(group: string, all: readonly CalibrationOutcome[], learned: CalibrationGroup | null): GroupAccuracy {
  const [first] = all;
  if (first === undefined) throw new RangeError("a group has at least one outcome");
  const { cluster, hypervisor, mechanism, regime } = first;
  const mean = (value: (outcome: CalibrationOutcome) => number) =>
    all.reduce((sum, outcome) => sum + value(outcome), 0) / all.length;
  return {
    group,
    cluster,
    hypervisor,
    mechanism,
    regime,
    samples: all.length,
    subjects: new Set(all.map(({ subject }) => subject)).size,
    quantities: Object.fromEntries(CALIBRATED.map((of) => [of, ofQuantity(of, all)])) as GroupAccuracy["quantities"],
    convergedRatio: mean(({ converged }) => Number(converged)),
    brier: mean(({ converged, convergenceProbability }) => (convergenceProbability - Number(converged)) ** 2),
    learned,
    drifted: driftOf(all),
  };
}

function ofQuantity(of: Calibrated, all: readonly CalibrationOutcome[]): QuantityAccuracy | null {
  const pairs = all.flatMap(({ answered, measured }) => {
    const [said, real] = [answered[of], measured[of]];
    return said === null || real === null ? [] : [{ said, real }];
  });
  if (pairs.length === 0) return null;
  const median = (values: number[]) =>
    values.length === 0
      ? null
      : sampleQuantile(
          values.toSorted((a, b) => a - b),
          0.5,
        );
  const errors = pairs.map(({ said, real }) => Math.abs(said.p50 - real));
  return {
    samples: pairs.length,
    apeMedian: median(pairs.flatMap(({ said, real }) => (real > 0 ? [Math.abs(said.p50 - real) / real] : []))),
    absoluteErrorMedian: median(errors) ?? 0,
    coverageRatio: pairs.filter(({ said, real }) => real >= said.p10 && real <= said.p90).length / pairs.length,
    biasRatio: median(pairs.flatMap(({ said, real }) => (said.p50 > 0 ? [real / said.p50] : []))),
  };
}
