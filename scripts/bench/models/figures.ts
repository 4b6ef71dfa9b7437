// From predicted rows to the figures of the accuracy table.
import type { Figure } from "../report.ts";
import { absoluteError, coverage, intervalScore, mean, median, pinball, relativeError } from "./metrics.ts";
import type { Pair } from "./metrics.ts";
import type { Predicted, Prediction } from "./predict.ts";
import type { Track } from "./rows.ts";

type Who = "drover" | "geometric" | "naive" | "constant";
type Of = "totalMs" | "bytes" | "downtimeMs" | "lostVcpuSeconds";

/** Whose answer counts as "converges": the more probable one. */
const CONVERGES = 0.5;

function pairs(rows: readonly Predicted[], who: Who, of: Of): Pair[] {
  return rows.flatMap((each) => {
    const predicted = each[who][of];
    const measured = each.row.measured[of];
    return predicted === null || measured === null ? [] : [{ predicted, measured }];
  });
}

/** Figures of one group of rows: `mechanism` names it. */
export function figuresOf(name: string, track: Track, mechanism: string, predicted: readonly Predicted[]): Figure[] {
  const rows = predicted.filter(({ row }) => !row.disturbed);
  const figures: Figure[] = [];
  const add = (metric: string, value: number, unit: string, peer?: Who) => {
    if (!Number.isNaN(value))
      figures.push({ bench: "models", case: name, track, mechanism, metric, value, unit, ...(peer ? { peer } : {}) });
  };
  add("rows", rows.length, "1");
  for (const who of ["drover", "geometric", "naive"] as const) {
    const peer = who === "drover" ? undefined : who;
    const totals = pairs(rows, who, "totalMs");
    const bytes = pairs(rows, who, "bytes");
    add("totalApeMedian", median(totals.map(relativeError)), "ratio", peer);
    add("bytesApeMedian", median(bytes.map(relativeError)), "ratio", peer);
    if (who === "naive") continue;
    add("coverageRatio", coverage(totals), "ratio", peer);
    add("intervalScore", mean(totals.map(intervalScore)), "ms", peer);
    add("bytesCoverageRatio", coverage(bytes), "ratio", peer);
    add("bytesIntervalScore", mean(bytes.map(intervalScore)), "B", peer);
  }
  addDowntime(rows, add);
  const lost = pairs(rows, "drover", "lostVcpuSeconds").filter(({ measured }) => measured > 0);
  add("lostWorkApeMedian", median(lost.map(relativeError)), "ratio");
  addConvergence(rows, add);
  return figures;
}

type Add = (metric: string, value: number, unit: string, peer?: Who) => void;

function addDowntime(rows: readonly Predicted[], add: Add): void {
  const drover = pairs(rows, "drover", "downtimeMs");
  const geometric = pairs(rows, "geometric", "downtimeMs");
  const constant = pairs(rows, "constant", "downtimeMs");
  add("downtimeAbsErrorMsMedian", median(drover.map(absoluteError)), "ms");
  add("downtimeAbsErrorMsMedian", median(geometric.map(absoluteError)), "ms", "geometric");
  add("downtimeConstantErrorMsMedian", median(constant.map(absoluteError)), "ms", "constant");
  add("downtimeApeMedian", median(drover.map(relativeError)), "ratio");
  add("downtimePinball", mean(drover.map(pinball)), "ms");
  add("downtimePinball", mean(constant.map(pinball)), "ms", "constant");
  add("downtimeCoverageRatio", coverage(drover), "ratio");
}

function addConvergence(rows: readonly Predicted[], add: Add): void {
  const converged = rows.filter(({ row }) => row.measured.converged);
  const not = rows.filter(({ row }) => !row.measured.converged);
  if (not.length === 0) return;
  const says = ({ convergenceProbability }: Prediction) => (convergenceProbability ?? 1) >= CONVERGES;
  for (const who of ["drover", "geometric"] as const) {
    const peer = who === "drover" ? undefined : who;
    add("recallConverges", mean(converged.map((each) => Number(says(each[who])))), "ratio", peer);
    add("recallNot", mean(not.map((each) => Number(!says(each[who])))), "ratio", peer);
    const brier = rows.map(
      (each) => ((each[who].convergenceProbability ?? 1) - Number(each.row.measured.converged)) ** 2,
    );
    add("brier", mean(brier), "1", peer);
  }
}
