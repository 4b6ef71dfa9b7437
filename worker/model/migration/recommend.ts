// Which mechanism to take: hard limits first, then the least harm. Every refusal and every reason carries its numbers.
import { commandNotes, hypervisorCommands } from "./commands.ts";
import { parametersFor } from "./parameters.ts";
import { mib } from "./resolve.ts";
import type { Known } from "./resolve.ts";
import { rejectionOf } from "./rejections.ts";
import type { EstimateAnswer, EstimateInput, Figures, Rejected } from "./types.ts";
import { ms, oneIn, percent, seconds } from "./words.ts";

/**
 * Weights that turn an estimate into one figure, in seconds of standstill of one VM. A second of downtime at p90 is the unit;
 * a vCPU second of slow-down hurts a tenth of it; time and bytes matter as the host's and the link's, not the VM's.
 * Post-copy pays for what it can lose: its failure probability × an hour, which is what it takes until a lost VM serves again
 * (at the limit of one in ten thousand that is 0.36 s), and the same for each second that the VM depends on two hosts. The
 * premium on top is for what no figure here says; a hybrid that is mostly switched over as pre-copy must not win by its other
 * courses, so it pays whenever it may come to that. Where recoverability is preferred, premium and price are ten times as high.
 */
const WEIGHTS = {
  perDowntimeSecond: 1,
  perLostVcpuSecond: 0.1,
  perTotalSecond: 0.005,
  perGigabyte: 0.02,
  postCopy: 0.25,
  perPostCopySecond: 0.02,
  perLostVm: 3600,
  recoverabilityPreferred: 10,
  /** What a migration that is cancelled at its deadline has cost for nothing, besides its time and bytes. */
  perFailure: 2,
};

/** Harm in seconds of standstill. */
export function harmOf(estimate: Figures, recoverability?: EstimateInput["recoverability"]): number {
  const { downtimeMs, lostVcpuSeconds, totalMs, transferredBytes } = estimate;
  const dear = recoverability === "preferred" ? WEIGHTS.recoverabilityPreferred : 1;
  return (
    (WEIGHTS.perDowntimeSecond * (downtimeMs?.p90 ?? 0)) / 1000 +
    WEIGHTS.perLostVcpuSecond * lostVcpuSeconds.p50 +
    (WEIGHTS.perTotalSecond * totalMs.p50) / 1000 +
    (WEIGHTS.perGigabyte * transferredBytes.p50) / 1e9 +
    dear * riskHarmOf(estimate) +
    WEIGHTS.perFailure * (1 - estimate.convergenceProbability)
  );
}

function riskHarmOf({ mechanism, resumeMs, risk }: Figures): number {
  if (mechanism !== "hybrid" && resumeMs.p90 === 0) return 0;
  const price = WEIGHTS.perLostVm * (risk?.failureProbability ?? 0);
  return WEIGHTS.postCopy + price + (WEIGHTS.perPostCopySecond * resumeMs.p90) / 1000;
}

/** Marks the estimates that are out of the question; the rest in order of their harm, at equal harm as they came. */
export function ranked<Some extends Figures>(
  input: EstimateInput,
  known: Known,
  estimates: readonly Some[],
): { judged: (Some & Rejected)[]; byHarm: { estimate: Some & Rejected; harm: number }[] } {
  const judged = estimates.map((estimate) => ({ ...estimate, rejected: rejectionOf(estimate, input, known) }));
  const byHarm = judged
    .filter(({ rejected }) => rejected === null)
    .map((estimate) => ({ estimate, harm: harmOf(estimate, input.recoverability) }))
    .toSorted((a, b) => a.harm - b.harm);
  return { judged, byHarm };
}

/** Names the one of least harm among those that are not out of the question, and says why. */
export function recommendMechanism<Some extends Figures>(
  input: EstimateInput,
  known: Known,
  estimates: readonly Some[],
): { estimates: (Some & Rejected)[]; recommended: EstimateAnswer["recommended"] } {
  const { judged, byHarm } = ranked(input, known, estimates);
  const [best, ...others] = byHarm;
  if (best === undefined) return { estimates: judged, recommended: null };
  const { mechanism } = best.estimate;
  const parameters = parametersFor(mechanism, known.parameters);
  const reasons = [
    `${mechanism} does the least harm, worth ${best.harm.toFixed(2)} s of standstill: ${figures(best.estimate)}.`,
    ...specifics(best.estimate),
    ...commandNotes(input, mechanism, parameters),
    ...others.map(({ estimate, harm }) => `${estimate.mechanism} would do ${harm.toFixed(2)} s: ${figures(estimate)}.`),
    ...judged.flatMap(({ mechanism: refused, rejected }) =>
      rejected === null ? [] : `${refused} is out. ${rejected.detail}`,
    ),
  ];
  return {
    estimates: judged,
    recommended: { mechanism, parameters, commands: hypervisorCommands(input, mechanism, parameters), reasons },
  };
}

function figures({ downtimeMs, totalMs, transferredBytes, lostVcpuSeconds }: Figures): string {
  const downtime = downtimeMs === null ? "cancelled at the deadline" : `${ms(downtimeMs.p90)} of downtime at p90`;
  return `${downtime}, ${seconds(totalMs.p50)} and ${mib(transferredBytes.p50)} at p50, ${lostVcpuSeconds.p50.toFixed(2)} vCPU seconds of work lost`;
}

function specifics({ convergenceProbability, resumeMs, stopRule, risk }: Figures): string[] {
  const converging =
    stopRule === "downtime-limit" ? [`It converges in ${percent(convergenceProbability)} of the cases.`] : [];
  if (risk === null || resumeMs.p90 === 0) return converging;
  const exposed = `For ${seconds(resumeMs.p90)} at p90 both hosts and the link must survive; they do not in ${oneIn(risk.failureProbability)}. ${risk.lost}`;
  return [...converging, exposed];
}
