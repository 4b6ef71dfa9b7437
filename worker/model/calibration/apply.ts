// An estimate corrected by what was learned.
import type { EstimateInput, Figures, MechanismEstimate, Quantity } from "../migration/types.ts";
import type { Hypervisor } from "../wire/common.ts";
import { groupOf, regimeOf } from "./groups.ts";
import { exponential, halfWidths, logarithm } from "./interval.ts";
import type { Calibrated, Calibration, CalibrationGroup, Correction } from "./types.ts";

/** The input with the growth of dirtying that the cluster's pre-copies have shown, unless it says one itself. */
export function withGrowth(
  input: EstimateInput,
  { cluster, calibration }: { cluster: string; calibration: Calibration },
): EstimateInput {
  const dirtyGrowthRatio = growthIn(calibration, { cluster, hypervisor: input.hypervisor });
  if (input.vm.dirtyGrowthRatio !== undefined || dirtyGrowthRatio === 1) return input;
  return { ...input, vm: { ...input.vm, dirtyGrowthRatio } };
}

/** Every mechanism's dirtying grows as that of converging pre-copies, which alone show it. */
function growthIn({ groups }: Calibration, place: { cluster: string; hypervisor: Hypervisor }): number {
  return groups[groupOf({ ...place, mechanism: "pre-copy", regime: "convergent" })]?.dirtyGrowthRatio ?? 1;
}

/** What was learned for this estimate; undefined: nothing. */
export function groupFor(
  estimate: Pick<MechanismEstimate, "mechanism" | "converges">,
  { groups }: Calibration,
  place: { cluster: string; hypervisor: Hypervisor },
): CalibrationGroup | undefined {
  return groups[groupOf({ ...place, mechanism: estimate.mechanism, regime: regimeOf(estimate) })];
}

/**
 * Total, downtime, bytes and lost work with the group's bias and interval. Preparation and resume are scaled as the total's
 * median is, but for the downtime, which has its own. Without outcomes it is unchanged.
 */
export function calibrateFigures<Some extends Figures>(
  figures: Some,
  calibration: Calibration,
  place: { cluster: string; hypervisor: Hypervisor },
): Some {
  const group = groupFor(figures, calibration, place);
  return group === undefined ? figures : { ...figures, ...correctedBy(figures, group) };
}

function correctedBy(figures: Figures, { corrections }: CalibrationGroup) {
  const correct = (of: Calibrated, quantity: Quantity) => corrected(of, quantity, corrections[of]);
  const totalMs = correct("totalMs", figures.totalMs);
  const downtimeMs = figures.downtimeMs === null ? null : correct("downtimeMs", figures.downtimeMs);
  const time = timeRatio(figures, { totalMs, downtimeMs });
  return {
    totalMs,
    downtimeMs,
    transferredBytes: correct("transferredBytes", figures.transferredBytes),
    lostVcpuSeconds: correct("lostVcpuSeconds", figures.lostVcpuSeconds),
    preparationMs: scaled(figures.preparationMs, time, 1000),
    resumeMs: scaled(figures.resumeMs, time, 1000),
  };
}

/** Of the time that is not downtime. */
const timeRatio = (before: Times, now: Times): number =>
  ratio(now.totalMs.p50 - (now.downtimeMs?.p50 ?? 0), before.totalMs.p50 - (before.downtimeMs?.p50 ?? 0));

type Times = Pick<Figures, "totalMs" | "downtimeMs">;

/** The same of a whole estimate: the other phases are scaled as preparation and resume, pages as the bytes. */
export function calibrateEstimate(
  estimate: MechanismEstimate,
  calibration: Calibration,
  place: { cluster: string; hypervisor: Hypervisor },
): MechanismEstimate {
  const group = groupFor(estimate, calibration, place);
  if (group === undefined) return estimate;
  const now = correctedBy(estimate, group);
  const time = timeRatio(estimate, now);
  const down = ratio(now.downtimeMs?.p50 ?? 0, estimate.downtimeMs?.p50 ?? 0);
  const pages = ratio(now.transferredBytes.p50, estimate.transferredBytes.p50);
  return {
    ...estimate,
    ...now,
    transferredPages: scaled(estimate.transferredPages, pages, 1),
    phases: estimate.phases.map((phase) => ({
      ...phase,
      durationMs: scaled(phase.durationMs, phase.name === "switchover" ? down : time, 1000),
    })),
    calibration: {
      group: group.group,
      samples: group.samples,
      dirtyGrowthRatio: growthIn(calibration, place),
      uncorrected: saidBy(estimate),
    },
  };
}

/** The quantities that a correction is about. */
export function saidBy(estimate: MechanismEstimate): Record<Calibrated, Quantity | null> {
  const { totalMs, downtimeMs, transferredBytes, lostVcpuSeconds } = estimate;
  return { totalMs, downtimeMs, transferredBytes, lostVcpuSeconds };
}

const SCALE: Record<Calibrated, number> = {
  totalMs: 1000,
  downtimeMs: 1000,
  transferredBytes: 1,
  lostVcpuSeconds: 1000,
};

function corrected(of: Calibrated, quantity: Quantity, by: Correction): Quantity {
  if (by.samples === 0) return quantity;
  const middle = logarithm(of, quantity.p50) + by.biasLn;
  const { below, above } = halfWidths(of, quantity);
  const at = (ln: number) => Math.round(exponential(of, ln) * SCALE[of]) / SCALE[of];
  return { p10: at(middle + by.low * below), p50: at(middle), p90: at(middle + by.high * above) };
}

function ratio(now: number, before: number): number {
  return before > 0 && now > 0 ? now / before : 1;
}

function scaled({ p10, p50, p90 }: Quantity, by: number, scale: number): Quantity {
  const at = (value: number) => Math.round(value * by * scale) / scale;
  return { p10: at(p10), p50: at(p50), p90: at(p90) };
}
