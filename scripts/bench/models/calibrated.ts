// The production calibration, fed with rows of the data.
import { saidBy } from "../../../worker/model/calibration/apply.ts";
import { fitCalibration } from "../../../worker/model/calibration/fit.ts";
import { regimeOf } from "../../../worker/model/calibration/groups.ts";
import type { CalibrationOutcome } from "../../../worker/model/calibration/types.ts";
import type { Learned } from "../../../worker/model/migration/estimate.ts";
import type { MechanismEstimate } from "../../../worker/model/migration/types.ts";
import type { Row } from "./rows.ts";

/** What `recordOutcome` of the service would keep of this row. */
export function outcomeOf(row: Row, estimate: MechanismEstimate): CalibrationOutcome {
  const { mechanism } = estimate;
  return {
    cluster: row.cluster,
    hypervisor: "kvm",
    driver: "qmp",
    mechanism,
    regime: regimeOf(estimate),
    subject: row.subject,
    at: 0,
    imported: true,
    dirtyGrowthRatio: 1,
    predicted: saidBy(estimate),
    answered: saidBy(estimate),
    firstRoundBytes: mechanism === "pre-copy" ? (estimate.rounds[0]?.bytes ?? null) : null,
    convergenceProbability: estimate.convergenceProbability,
    measured: {
      totalMs: row.measured.totalMs,
      downtimeMs: row.measured.downtimeMs,
      transferredBytes: row.measured.bytes,
      lostVcpuSeconds: row.measured.lostVcpuSeconds === null ? null : Math.max(0, row.measured.lostVcpuSeconds),
    },
    converged: row.measured.converged,
  };
}

/** What the service would have learned from these. */
export function learnedFrom(outcomes: readonly CalibrationOutcome[], cluster: string): Learned {
  return { cluster, calibration: fitCalibration(outcomes) };
}
