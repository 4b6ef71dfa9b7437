// The production calibration, fed with rows of the data.
import { calibrateEstimate } from "../../../worker/model/calibration/apply.ts";
import { fitCalibration } from "../../../worker/model/calibration/fit.ts";
import { regimeOf } from "../../../worker/model/calibration/groups.ts";
import type { Calibration, CalibrationOutcome } from "../../../worker/model/calibration/types.ts";
import type { MechanismEstimate } from "../../../worker/model/migration/types.ts";
import type { Row } from "./rows.ts";

/** What `recordOutcome` of the service would keep of this row. */
export function outcomeOf(row: Row, estimate: MechanismEstimate): CalibrationOutcome {
  const { totalMs, downtimeMs, transferredBytes, lostVcpuSeconds, mechanism } = estimate;
  return {
    cluster: row.cluster,
    hypervisor: "kvm",
    driver: "qmp",
    mechanism,
    regime: regimeOf(estimate),
    at: 0,
    predicted: { totalMs, downtimeMs, transferredBytes, lostVcpuSeconds },
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

export const trainedOn = (outcomes: readonly CalibrationOutcome[]): Calibration => fitCalibration(outcomes);

export const calibrated = (estimate: MechanismEstimate, row: Row, calibration: Calibration): MechanismEstimate =>
  calibrateEstimate(estimate, calibration, row.cluster, "kvm");
