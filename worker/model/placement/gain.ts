// What moves bring, against what they cost, in the currency of the prices.
import type { MechanismEstimate } from "../migration/types.ts";
import { GIB, HOUR_MS, SECOND_MS } from "../units.ts";
import { type Counted, hostRate, type Means, totalOf, trafficRate, weightsOf } from "./score.ts";
import type { MoveGain, PlanParameters, Rejection } from "./types.ts";
import { money, percent } from "./format.ts";
import type { World } from "./world.ts";

const JOULES_PER_KWH = 3_600_000;

/** What a migration itself costs at its median: downtime, degradation, bytes, energy, and what a failure would lose. */
export function migrationCost(estimate: MechanismEstimate, { prices }: PlanParameters): number {
  const { downtimeMs, lostVcpuSeconds, transferredBytes, energyJoules, risk } = estimate;
  return (
    (prices.downtimePerSecond * (downtimeMs?.p50 ?? 0)) / SECOND_MS +
    prices.lostVcpuSecond * lostVcpuSeconds.p50 +
    (prices.transferPerGib * transferredBytes.p50) / GIB +
    (prices.energyPerKwh * energyJoules.p50) / JOULES_PER_KWH +
    prices.lostVm * (risk?.failureProbability ?? 0)
  );
}

/** What these hosts, and the traffic of these VMs, cost an hour in this state. */
export function rateAround(
  world: World,
  hosts: ReadonlySet<number>,
  vms: readonly number[],
  counted: Counted,
  means: Means,
): number {
  const weights = weightsOf(world.parameters);
  let sum = 0;
  for (const host of hosts) sum += totalOf(hostRate(world, host, counted, means, weights));
  return sum + trafficRate(world, vms);
}

/** The gain of a bundle of moves from what its hosts cost an hour before and after, and what its migrations cost. */
export function gainOf(
  before: number,
  after: number,
  cost: number,
  { bundle, mandatory }: { bundle: number; mandatory: boolean },
  { horizonMs }: PlanParameters,
): MoveGain {
  const perHour = before - after;
  const overHorizon = (perHour * horizonMs) / HOUR_MS;
  const savedRatio = before > 0 ? perHour / before : 0;
  return withCost({ bundle, perHour, savedRatio, overHorizon, cost: 0, net: 0, paybackMs: null, mandatory }, cost);
}

/** The same gain where the migrations cost this. */
export const withCost = (gain: MoveGain, cost: number): MoveGain => ({
  ...gain,
  cost,
  net: gain.overHorizon - cost,
  paybackMs: gain.perHour > 0 ? Math.round((cost / gain.perHour) * HOUR_MS) : null,
});

/** The same gain and cost over another horizon. */
export const withHorizon = (gain: MoveGain, { horizonMs }: PlanParameters): MoveGain =>
  withCost({ ...gain, overHorizon: (gain.perHour * horizonMs) / HOUR_MS }, gain.cost);

/** Why a bundle does not pay; null: it does, or must be made in any case. */
export function whyNotPaying(gain: MoveGain, name: string, parameters: PlanParameters): Rejection | null {
  if (gain.mandatory) return null;
  const { netGainMin, gainRatioMin, horizonMs } = parameters;
  const hours = horizonMs / HOUR_MS;
  if (gain.net < netGainMin) {
    const detail = `${name} would save ${money(gain.overHorizon)} over ${hours.toFixed(1)} h and cost ${money(gain.cost)}: net ${money(gain.net)}, less than ${money(netGainMin)}.`;
    return { constraint: "no-gain", detail, required: netGainMin, available: gain.net, unit: "currency" };
  }
  if (gain.savedRatio >= gainRatioMin) return null;
  const detail = `${name} would save ${percent(gain.savedRatio)} of what its hosts cost now, less than ${percent(gainRatioMin)}.`;
  return { constraint: "no-gain", detail, required: gainRatioMin, available: gain.savedRatio, unit: "ratio" };
}
