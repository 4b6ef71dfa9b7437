// From a run that has ended to what is learned from it.
import type { MechanismEstimate } from "../migration/types.ts";
import type { Outcome } from "../wire/event.ts";
import type { DriverName, Hypervisor } from "../wire/common.ts";
import { saidBy } from "./apply.ts";
import { regimeOf } from "./groups.ts";
import type { CalibrationOutcome } from "./types.ts";

export type EndedRun = {
  cluster: string;
  hypervisor: Hypervisor;
  driver: DriverName;
  subject: string;
  /** The estimate made last before the VM was touched. */
  predicted: MechanismEstimate;
  state: "completed" | "cancelled" | "failed";
  /** Of the failure: `deadline` where the rounds did not end in time, `will-not-converge` where waiting for that was no use. */
  reason: string | null;
  measured: Outcome | null;
  at: number;
};

const NOT_CONVERGED = new Set<string | null>(["deadline", "will-not-converge"]);

/**
 * Null: nothing can be learned. A completed run teaches its times and bytes; one that was cancelled for its
 * deadline or because it could not end, that it did not converge; a run that failed, that somebody cancelled, or whose parameters
 * were changed on the way, nothing: those were not what was predicted for. QEMU's own `downtime`, which leaves out a pause before
 * and, in post-copy, the destination's loading, is not looked at.
 */
export function outcomeOf(run: EndedRun): CalibrationOutcome | null {
  const { predicted, measured, state, reason } = run;
  const converged = state === "completed";
  if (!converged && !(state === "cancelled" && NOT_CONVERGED.has(reason))) return null;
  const known = converged ? measured : null;
  if (converged && (known === null || known.steered)) return null;
  return {
    cluster: run.cluster,
    hypervisor: run.hypervisor,
    driver: run.driver,
    mechanism: predicted.mechanism,
    regime: regimeOf(predicted),
    subject: run.subject,
    at: run.at,
    imported: false,
    ...predictionOf(predicted),
    measured: {
      // QEMU says `completed` before it has set its times.
      totalMs: known?.totalMs || null,
      downtimeMs: known?.downtimeMs ?? null,
      transferredBytes: known?.transferredBytes ?? null,
      lostVcpuSeconds: null,
    },
    converged,
  };
}

/** What an estimate says, with and without its correction. */
export function predictionOf(
  predicted: MechanismEstimate,
): Pick<
  CalibrationOutcome,
  "predicted" | "answered" | "firstRoundBytes" | "dirtyGrowthRatio" | "convergenceProbability"
> {
  return {
    predicted: predicted.calibration?.uncorrected ?? saidBy(predicted),
    answered: saidBy(predicted),
    firstRoundBytes: predicted.mechanism === "pre-copy" ? (predicted.rounds[0]?.bytes ?? null) : null,
    dirtyGrowthRatio: predicted.calibration?.dirtyGrowthRatio ?? 1,
    convergenceProbability: predicted.convergenceProbability,
  };
}
