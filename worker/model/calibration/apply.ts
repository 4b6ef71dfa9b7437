// An estimate corrected by what was learned.
import type { MechanismEstimate, Quantity } from "../migration/types.ts";
import type { Hypervisor } from "../wire/common.ts";
import { groupsOf, regimeOf } from "./groups.ts";
import { exponential, halfWidths, logarithm } from "./interval.ts";
import type { Calibrated, Calibration, CalibrationGroup, Correction } from "./types.ts";

/** The narrowest group that has outcomes; undefined: nothing was learned that applies. */
export function groupFor(
  estimate: Pick<MechanismEstimate, "mechanism" | "converges">,
  { groups }: Calibration,
  cluster: string | null,
  hypervisor: Hypervisor,
): CalibrationGroup | undefined {
  const place = { cluster, hypervisor, mechanism: estimate.mechanism, regime: regimeOf(estimate) };
  return groupsOf(place)
    .map((group) => groups[group])
    .findLast((group) => group !== undefined);
}

/**
 * Total, downtime, bytes and lost work with the group's bias and interval. Preparation, resume and the other phases are scaled
 * as the total's median is, but for the downtime, which has its own; pages as the bytes. Without outcomes it is unchanged.
 */
export function calibrateEstimate(
  estimate: MechanismEstimate,
  calibration: Calibration,
  cluster: string | null,
  hypervisor: Hypervisor,
): MechanismEstimate {
  const group = groupFor(estimate, calibration, cluster, hypervisor);
  if (group === undefined) return estimate;
  const correct = (of: Calibrated, quantity: Quantity) => corrected(of, quantity, group.corrections[of]);
  const totalMs = correct("totalMs", estimate.totalMs);
  const transferredBytes = correct("transferredBytes", estimate.transferredBytes);
  const downtimeMs = estimate.downtimeMs === null ? null : correct("downtimeMs", estimate.downtimeMs);
  const time = ratio(totalMs.p50 - (downtimeMs?.p50 ?? 0), estimate.totalMs.p50 - (estimate.downtimeMs?.p50 ?? 0));
  const down = ratio(downtimeMs?.p50 ?? 0, estimate.downtimeMs?.p50 ?? 0);
  const pages = ratio(transferredBytes.p50, estimate.transferredBytes.p50);
  return {
    ...estimate,
    totalMs,
    transferredBytes,
    downtimeMs,
    lostVcpuSeconds: correct("lostVcpuSeconds", estimate.lostVcpuSeconds),
    preparationMs: scaled(estimate.preparationMs, time, 1000),
    resumeMs: scaled(estimate.resumeMs, time, 1000),
    transferredPages: scaled(estimate.transferredPages, pages, 1),
    phases: estimate.phases.map((phase) => ({
      ...phase,
      durationMs: scaled(phase.durationMs, phase.name === "switchover" ? down : time, 1000),
    })),
    calibration: { group: group.group, samples: group.samples },
  };
}

const SCALE: Record<Calibrated, number> = {
  totalMs: 1000,
  downtimeMs: 1000,
  transferredBytes: 1,
  lostVcpuSeconds: 1000,
};

function corrected(of: Calibrated, quantity: Quantity, by: Correction | undefined): Quantity {
  if (by === undefined || by === null) return quantity;
  const neutral = by.biasLn === 0 && by.low === -1 && by.high === 1;
  if (neutral) return quantity;
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
