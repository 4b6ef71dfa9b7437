// Every row predicted from the rows of other folds only: by Drover, and by the baselines on the same inputs.
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import type { EstimateAnswer, MechanismEstimate, Quantity } from "../../../worker/model/migration/types.ts";
import { learnedFrom, outcomeOf } from "./calibrated.ts";
import { quantile } from "./metrics.ts";
import type { Row, Track } from "./rows.ts";

export type Prediction = {
  totalMs: Quantity | null;
  bytes: Quantity | null;
  downtimeMs: Quantity | null;
  lostVcpuSeconds: Quantity | null;
  convergenceProbability: number | null;
};

export type Predicted = {
  row: Row;
  drover: Prediction;
  geometric: Prediction;
  naive: Prediction;
  constant: Prediction;
};

type Estimated = { row: Row; answer: EstimateAnswer; estimate: MechanismEstimate };

/** Rows of one case and track, each fold predicted by models that were calibrated on the undisturbed rows of the others. */
export function predictAll(rows: readonly Row[], track: Track): Predicted[] {
  const estimated = rows.flatMap((row): Estimated[] => {
    const input = row.inputs[track];
    if (input === undefined) return [];
    const answer = estimateMigration({ ...input, compare: true });
    const [estimate] = answer.estimates;
    return estimate === undefined ? [] : [{ row, answer, estimate }];
  });
  const folds = Map.groupBy(estimated, ({ row }) => row.fold);
  return [...folds].flatMap(([fold, held]) => {
    const training = estimated.filter(({ row }) => row.fold !== fold && !row.disturbed);
    const outcomes = training.map(({ row, estimate }) => outcomeOf(row, estimate));
    const learned = new Map(
      [...new Set(held.map(({ row }) => row.cluster))].map((cluster) => [cluster, learnedFrom(outcomes, cluster)]),
    );
    return held.flatMap(({ row, answer }) => {
      const input = row.inputs[track];
      const [estimate] =
        input === undefined ? [] : estimateMigration(input, learned.get(row.cluster) ?? null).estimates;
      if (estimate === undefined) return [];
      const peers = training.filter((other) => other.row.mechanism === row.mechanism);
      return [
        {
          row,
          drover: ofEstimate(estimate),
          geometric: ofClosedForm("geometric", answer, row, peers),
          naive: ofClosedForm("naive", answer, row, peers),
          constant: ofConstant(peers.map((other) => other.row)),
        },
      ];
    });
  });
}

function ofEstimate(estimate: MechanismEstimate): Prediction {
  return {
    totalMs: estimate.totalMs,
    bytes: estimate.transferredBytes,
    downtimeMs: estimate.downtimeMs,
    lostVcpuSeconds: estimate.lostVcpuSeconds,
    convergenceProbability: estimate.convergenceProbability,
  };
}

type ClosedForm = { totalMs: number; bytes: number; downtimeMs: number | null; converges: boolean };

/** What the formula says; where it says that the rounds never end, they end at the deadline with the rate kept up to it. */
function closedForm(model: "geometric" | "naive", answer: EstimateAnswer, row: Row): ClosedForm | null {
  const found = answer.comparisons?.find((each) => each.model === model);
  const parameters = (row.inputs.collector ?? row.inputs.oracle)?.parameters;
  if (found === undefined) return null;
  const { totalMs, transferredBytes, downtimeMs } = found;
  if (totalMs !== null && transferredBytes !== null)
    return { totalMs, bytes: transferredBytes, downtimeMs, converges: totalMs <= (parameters?.deadlineMs ?? Infinity) };
  const deadlineMs = parameters?.deadlineMs ?? Number.NaN;
  const rate = parameters?.maxBandwidthBytesPerSecond ?? Number.NaN;
  return { totalMs: deadlineMs, bytes: (rate * deadlineMs) / 1000, downtimeMs: null, converges: false };
}

/** The formula with p10 and p90 from its own relative errors in training. */
function ofClosedForm(
  model: "geometric" | "naive",
  answer: EstimateAnswer,
  row: Row,
  training: readonly Estimated[],
): Prediction {
  const said = closedForm(model, answer, row);
  const fitted = (of: (form: ClosedForm) => number | null, truth: (row: Row) => number | null): Quantity | null => {
    const p50 = said === null ? null : of(said);
    const errors = training.flatMap((other) => {
      const form = closedForm(model, other.answer, other.row);
      const value = form === null ? null : of(form);
      const measured = truth(other.row);
      return value !== null && measured !== null && value > 0 && measured > 0 ? [Math.log(measured / value)] : [];
    });
    if (p50 === null || errors.length === 0) return null;
    return { p10: p50 * Math.exp(quantile(errors, 0.1)), p50, p90: p50 * Math.exp(quantile(errors, 0.9)) };
  };
  return {
    totalMs: fitted(
      ({ totalMs }) => totalMs,
      ({ measured }) => measured.totalMs,
    ),
    bytes: fitted(
      ({ bytes }) => bytes,
      ({ measured }) => measured.bytes,
    ),
    downtimeMs: fitted(
      ({ downtimeMs }) => downtimeMs,
      ({ measured }) => measured.downtimeMs,
    ),
    lostVcpuSeconds: null,
    convergenceProbability: said === null ? null : Number(said.converges),
  };
}

/** Always the same: the quantiles of what was measured in training. */
function ofConstant(training: readonly Row[]): Prediction {
  const over = (truth: (row: Row) => number | null): Quantity | null => {
    const values = training.flatMap((row) => truth(row) ?? []);
    if (values.length === 0) return null;
    return { p10: quantile(values, 0.1), p50: quantile(values, 0.5), p90: quantile(values, 0.9) };
  };
  return {
    totalMs: over(({ measured }) => measured.totalMs),
    bytes: over(({ measured }) => measured.bytes),
    downtimeMs: over(({ measured }) => measured.downtimeMs),
    lostVcpuSeconds: over(({ measured }) => measured.lostVcpuSeconds),
    convergenceProbability: training.filter(({ measured }) => measured.converged).length / Math.max(1, training.length),
  };
}
