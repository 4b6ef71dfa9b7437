// Hard limits: when a mechanism is out of the question, and the number that decides.
import { mib } from "./resolve.ts";
import type { Known } from "./resolve.ts";
import type { EstimateInput, Figures, Rejected } from "./types.ts";
import { ms, oneIn, percent, seconds } from "./words.ts";

type Rejection = NonNullable<Rejected["rejected"]>;
type Rule = (estimate: Figures, input: EstimateInput, known: Known) => Rejection | null;

const CONVERGENCE_MIN = 0.5;

/** A wired network in order loses less than one packet in ten thousand; more says that something is about to break. */
const LOSS_RATIO_MAX = 1e-4;

/** One post-copy in ten thousand may fail: a fleet of ten thousand moves a year then repairs or loses one VM a year by it. */
const FAILURE_PROBABILITY_MAX = 1e-4;

const blockers: Rule = (_, { vm }) =>
  vm.blockers === undefined || vm.blockers.length === 0
    ? null
    : { reason: "blocked", detail: `The VM cannot be migrated with ${vm.blockers.join(", ")}; detach that first.` };

/** Only libvirt copies disks along (`--copy-storage-all`), and only before the switch-over. */
const localDisks: Rule = (_, { vm, driver, storage }) => {
  const local = localDisksOf(vm);
  if (local.length === 0 || (driver === "libvirt" && storage?.mode !== "post-copy")) return null;
  const why =
    driver === "libvirt"
      ? "no driver copies disks after the switch-over; choose storage.mode pre-copy or move them to shared storage"
      : `the driver ${driver} copies no disks; move them to shared storage, or use libvirt`;
  return { reason: "local-disks", detail: `${describe(local)} on the source only and ${why}.` };
};

const unknownToHypervisor: Rule = ({ mechanism }, { hypervisor }) =>
  hypervisor === "kvm" || mechanism === "pre-copy" || mechanism === "stop-and-copy"
    ? null
    : {
        reason: "not-supported",
        detail: `${hypervisor} has no ${mechanism}; pre-copy and stop-and-copy are possible.`,
      };

/** Pre-copy that turns to post-copy at its deadline is judged like post-copy. */
const mayBecomePostCopy = ({ mechanism }: Figures, { hypervisor }: EstimateInput, known: Known): boolean =>
  mechanism === "post-copy" ||
  mechanism === "hybrid" ||
  (hypervisor === "kvm" && mechanism === "pre-copy" && known.parameters.onDeadline === "post-copy");

const otherwise = ({ mechanism }: Figures): string =>
  mechanism === "pre-copy" ? "; set onDeadline to cancel or force" : "";

const recoverability: Rule = (estimate, input, known) =>
  input.recoverability === "required" && mayBecomePostCopy(estimate, input, known)
    ? {
        reason: "recoverability",
        detail: `The VM must survive any failure at its source, and ${exposure(estimate)} nothing survives the failure of either host${otherwise(estimate)}.`,
      }
    : null;

function exposure({ mechanism, resumeMs }: Figures): string {
  return mechanism === "pre-copy" && resumeMs.p90 === 0
    ? "with post-copy at the deadline"
    : `for ${seconds(resumeMs.p90)} at p90`;
}

const blockMigration: Rule = (estimate, input, known) => {
  const local = localDisksOf(input.vm);
  if (local.length === 0 || !mayBecomePostCopy(estimate, input, known)) return null;
  const detail = `${describe(local)} on the source only: blocks and post-copy memory together cannot be recovered${otherwise(estimate)}.`;
  return { reason: "block-migration", detail };
};

const unstableLink: Rule = (estimate, input, known) => {
  const lossRatio = input.link?.lossRatio ?? 0;
  if (lossRatio <= LOSS_RATIO_MAX || !mayBecomePostCopy(estimate, input, known)) return null;
  const detail = `The link lost ${percent(lossRatio)} of its packets in the last window, of ${percent(LOSS_RATIO_MAX)} allowed for post-copy${otherwise(estimate)}.`;
  return { reason: "link-unstable", detail };
};

/** VEP 248: post-copy only where what remains is through within twice the deadline. */
const tooLong: Rule = (estimate, input, known) => {
  if (!mayBecomePostCopy(estimate, input, known)) return null;
  const { deadlineMs } = known.parameters;
  const { mechanism, preparationMs, resumeMs } = estimate;
  const elapsedMs = mechanism === "pre-copy" ? deadlineMs : Math.min(deadlineMs, preparationMs.p50);
  const leftMs = 2 * deadlineMs - elapsedMs;
  if (resumeMs.p90 <= leftMs) return null;
  const detail = `Post-copy would take ${seconds(resumeMs.p90)} at p90, over the ${seconds(leftMs)} that twice the deadline of ${seconds(deadlineMs)} leaves for it${otherwise(estimate)}.`;
  return { reason: "post-copy-too-long", detail };
};

const failureProbability: Rule = (estimate, input, known) => {
  const { risk } = estimate;
  if (risk === null || risk.failureProbability <= FAILURE_PROBABILITY_MAX || !mayBecomePostCopy(estimate, input, known))
    return null;
  const detail = `A host or the link fails during post-copy in ${oneIn(risk.failureProbability)} (${risk.failureProbability.toExponential(1)}), over the limit of ${oneIn(FAILURE_PROBABILITY_MAX)}. ${risk.lost}`;
  return { reason: "failure-probability", detail };
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

const rules: readonly Rule[] = [
  blockers,
  localDisks,
  unknownToHypervisor,
  recoverability,
  blockMigration,
  unstableLink,
  tooLong,
  failureProbability,
  convergence,
  downtimeSlo,
  deadline,
];

/** Why this mechanism is out of the question, by the first rule that applies; null: it is not. */
export function rejectionOf(estimate: Figures, input: EstimateInput, known: Known): Rejection | null {
  for (const rule of rules) {
    const rejection = rule(estimate, input, known);
    if (rejection !== null) return rejection;
  }
  return null;
}

type Disks = NonNullable<EstimateInput["vm"]["disks"]>;

function localDisksOf({ disks }: EstimateInput["vm"]): Disks {
  return (disks ?? []).filter(({ shared }) => shared === false);
}

function describe(disks: Disks): string {
  const bytes = disks.reduce((sum, disk) => sum + disk.bytes, 0);
  return `${disks.length} ${disks.length === 1 ? "disk" : "disks"} of ${mib(bytes)} exist`;
}
