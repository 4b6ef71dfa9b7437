// Outcomes of a cluster, but for what is told.
import { randomOf } from "../../../worker/model/forecast/random.ts";
import type { CalibrationOutcome } from "../../../worker/model/calibration/types.ts";

type Told = Partial<Omit<CalibrationOutcome, "measured">> & { measured?: Partial<CalibrationOutcome["measured"]> };

/** Said: 1 s ± 10 %, 20 ms ± 30 %, 1 GB ± 5 %; measured: exactly that. */
export function outcomeWith({ measured, ...told }: Told = {}): CalibrationOutcome {
  const said = {
    totalMs: { p10: 900, p50: 1000, p90: 1100 },
    downtimeMs: { p10: 14, p50: 20, p90: 26 },
    transferredBytes: { p10: 0.95e9, p50: 1e9, p90: 1.05e9 },
    lostVcpuSeconds: null,
  };
  return {
    cluster: "c1",
    hypervisor: "kvm",
    driver: "qmp",
    mechanism: "pre-copy",
    regime: "convergent",
    subject: "vm-1",
    at: 1,
    imported: false,
    predicted: said,
    answered: said,
    firstRoundBytes: null,
    dirtyGrowthRatio: 1,
    convergenceProbability: 1,
    measured: { totalMs: 1000, downtimeMs: 20, transferredBytes: 1e9, lostVcpuSeconds: null, ...measured },
    converged: true,
    ...told,
  };
}

/** Standard normal numbers (Box and Muller). */
export function normals(seed: number): () => number {
  const random = randomOf(seed);
  return () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** `count` outcomes of different VMs whose total is off by e^(bias + sd × z). */
export function noisy(count: number, { biasLn, sd, seed }: { biasLn: number; sd: number; seed: number }) {
  const normal = normals(seed);
  return Array.from({ length: count }, (_, index) =>
    outcomeWith({ subject: `vm-${index}`, at: index, measured: { totalMs: 1000 * Math.exp(biasLn + sd * normal()) } }),
  );
}
