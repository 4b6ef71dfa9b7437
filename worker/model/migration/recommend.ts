// Which mechanism to take: hard limits first, then the least harm. Every refusal and every reason carries its numbers.
import { parametersFor } from "./parameters.ts";
import { mib } from "./resolve.ts";
import type { Known } from "./resolve.ts";
import type { EstimateAnswer, EstimateInput, MechanismEstimate } from "./types.ts";

type Rejection = NonNullable<MechanismEstimate["rejected"]>;
type Rule = (estimate: MechanismEstimate, input: EstimateInput, known: Known) => Rejection | null;

const CONVERGENCE_MIN = 0.5;

const blockers: Rule = (_, { vm }) =>
  vm.blockers === undefined || vm.blockers.length === 0
    ? null
    : { reason: "blocked", detail: `The VM cannot be migrated with ${vm.blockers.join(", ")}; detach that first.` };

const localDisks: Rule = (_, { vm }) => {
  const local = (vm.disks ?? []).filter(({ shared }) => shared === false);
  if (local.length === 0) return null;
  const bytes = local.reduce((sum, disk) => sum + disk.bytes, 0);
  const detail = `${local.length} ${local.length === 1 ? "disk" : "disks"} of ${mib(bytes)} exist on the source only and no driver copies disks; move them to shared storage.`;
  return { reason: "local-disks", detail };
};

const unknownToHypervisor: Rule = ({ mechanism }, { hypervisor }) =>
  hypervisor === "kvm" || mechanism === "pre-copy" || mechanism === "stop-and-copy"
    ? null
    : {
        reason: "not-supported",
        detail: `${hypervisor} has no ${mechanism}; pre-copy and stop-and-copy are possible.`,
      };

const convergence: Rule = ({ convergenceProbability, rounds }, { hypervisor }, { parameters }) => {
  if (hypervisor !== "kvm" || parameters.onDeadline !== "cancel" || convergenceProbability >= CONVERGENCE_MIN)
    return null;
  const { maxBandwidthBytesPerSecond: rate, downtimeLimitMs, deadlineMs } = parameters;
  const threshold = (rate * downtimeLimitMs) / 1000;
  const lastWhole = rounds.at(-2);
  const why =
    lastWhole === undefined
      ? `the first round alone takes longer`
      : `rounds of ${mib(lastWhole.bytes)} in ${ms(lastWhole.durationMs)} dirty as much again, and no more than ${mib(threshold)} may be pending (${mib(rate)}/s for the downtime-limit of ${downtimeLimitMs} ms)`;
  const detail = `It ends before the deadline of ${seconds(deadlineMs)} in ${percent(convergenceProbability)} of the cases, of ${percent(CONVERGENCE_MIN)} wanted: ${why}.`;
  return { reason: "does-not-converge", detail };
};

const downtimeSlo: Rule = ({ downtimeMs }, { downtimeSloMs }) =>
  downtimeSloMs === undefined || downtimeMs === null || downtimeMs.p90 <= downtimeSloMs
    ? null
    : {
        reason: "downtime",
        detail: `Downtime is ${ms(downtimeMs.p90)} at p90 (${ms(downtimeMs.p50)} at p50), over the limit of ${ms(downtimeSloMs)}.`,
      };

const deadline: Rule = ({ mechanism, totalMs }, _, { parameters }) =>
  mechanism !== "stop-and-copy" || parameters.onDeadline !== "cancel" || totalMs.p50 <= parameters.deadlineMs
    ? null
    : {
        reason: "deadline",
        detail: `It takes ${seconds(totalMs.p50)} at p50, over the deadline of ${seconds(parameters.deadlineMs)} at which it would be cancelled.`,
      };

/** The first that applies is the reason given. */
const rules: readonly Rule[] = [blockers, localDisks, unknownToHypervisor, convergence, downtimeSlo, deadline];

/**
 * Weights that turn an estimate into one figure, in seconds of standstill of one VM. A second of downtime at p90 is the unit;
 * a vCPU second of slow-down hurts a tenth of it; time and bytes matter as the host's and the link's, not the VM's.
 * The premium is for what post-copy can lose: the VM itself, if a host fails within the resume phase. A hybrid
 * that is mostly switched over as pre-copy must not win by its other courses, so it pays whenever it may come to that.
 */
const WEIGHTS = {
  perDowntimeSecond: 1,
  perLostVcpuSecond: 0.1,
  perTotalSecond: 0.005,
  perGigabyte: 0.02,
  postCopy: 0.5,
  perPostCopySecond: 0.02,
  /** What a migration that is cancelled at its deadline has cost for nothing, besides its time and bytes. */
  perFailure: 2,
};

/** Harm in seconds of standstill. */
export function harmOf(estimate: MechanismEstimate): number {
  const { mechanism, downtimeMs, lostVcpuSeconds, totalMs, transferredBytes, resumeMs } = estimate;
  const mayPostCopy = mechanism === "hybrid" || resumeMs.p90 > 0;
  const postCopy = mayPostCopy ? WEIGHTS.postCopy + (WEIGHTS.perPostCopySecond * resumeMs.p90) / 1000 : 0;
  return (
    (WEIGHTS.perDowntimeSecond * (downtimeMs?.p90 ?? 0)) / 1000 +
    WEIGHTS.perLostVcpuSecond * lostVcpuSeconds.p50 +
    (WEIGHTS.perTotalSecond * totalMs.p50) / 1000 +
    (WEIGHTS.perGigabyte * transferredBytes.p50) / 1e9 +
    postCopy +
    WEIGHTS.perFailure * (1 - estimate.convergenceProbability)
  );
}

/** Marks the estimates that are out of the question and names the one of least harm among the rest; at equal harm the first. */
export function recommendMechanism(
  input: EstimateInput,
  known: Known,
  estimates: readonly MechanismEstimate[],
): Pick<EstimateAnswer, "estimates" | "recommended"> {
  const judged = estimates.map((estimate) => ({ ...estimate, rejected: rejectionOf(estimate, input, known) }));
  const [best, ...others] = judged
    .filter(({ rejected }) => rejected === null)
    .map((estimate) => ({ estimate, harm: harmOf(estimate) }))
    .toSorted((a, b) => a.harm - b.harm);
  if (best === undefined) return { estimates: judged, recommended: null };
  const { mechanism } = best.estimate;
  const reasons = [
    `${mechanism} does the least harm, worth ${best.harm.toFixed(2)} s of standstill: ${figures(best.estimate)}.`,
    ...specifics(best.estimate),
    ...others.map(({ estimate, harm }) => `${estimate.mechanism} would do ${harm.toFixed(2)} s: ${figures(estimate)}.`),
    ...judged.flatMap(({ mechanism: refused, rejected }) =>
      rejected === null ? [] : `${refused} is out. ${rejected.detail}`,
    ),
  ];
  return {
    estimates: judged,
    recommended: { mechanism, parameters: parametersFor(mechanism, known.parameters), reasons },
  };
}

function rejectionOf(estimate: MechanismEstimate, input: EstimateInput, known: Known): Rejection | null {
  for (const rule of rules) {
    const rejection = rule(estimate, input, known);
    if (rejection !== null) return rejection;
  }
  return null;
}

function figures({ downtimeMs, totalMs, transferredBytes, lostVcpuSeconds }: MechanismEstimate): string {
  const downtime = downtimeMs === null ? "cancelled at the deadline" : `${ms(downtimeMs.p90)} of downtime at p90`;
  return `${downtime}, ${seconds(totalMs.p50)} and ${mib(transferredBytes.p50)} at p50, ${lostVcpuSeconds.p50.toFixed(2)} vCPU seconds of work lost`;
}

function specifics({ convergenceProbability, resumeMs, stopRule }: MechanismEstimate): string[] {
  const converging =
    stopRule === "downtime-limit" ? [`It converges in ${percent(convergenceProbability)} of the cases.`] : [];
  const risk = resumeMs.p90 > 0 ? [`For ${seconds(resumeMs.p90)} at p90 both hosts and the link must survive.`] : [];
  return [...converging, ...risk];
}

function ms(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

function seconds(value: number): string {
  return `${(value / 1000).toFixed(1)} s`;
}

function percent(ratio: number): string {
  return `${Math.round(ratio * 100)} %`;
}
