// Which hosts are hot, warm, cold or unknown, and why. Absent telemetry makes a host unknown, never idle.
import type { SnapshotHost } from "../cluster.ts";
import { HOST_STALE_MS, SECOND_MS } from "../units.ts";
import { coldCause } from "./cold.ts";
import { judgeServices } from "./gray-box.ts";
import { judge, type Verdict } from "./judge.ts";
import { type Signal, signalsOf } from "./signals.ts";
import type { Detection, DetectionParameters } from "./types.ts";

/** The state of every host at the time `at` (ms since 1970), in the order given. */
export function detectHotspots(
  hosts: readonly SnapshotHost[],
  parameters: DetectionParameters,
  at: number,
): Detection[] {
  return hosts.map((host) => detectHost(host, parameters, at));
}

function detectHost(host: SnapshotHost, parameters: DetectionParameters, at: number): Detection {
  const { hostId, heardAt } = host;
  const unknown = (sentence: string, unknownMetrics: string[]): Detection => ({
    hostId,
    state: "unknown",
    causes: [],
    unknownMetrics,
    sentence,
  });
  const signals = signalsOf(host, at, parameters);
  if (heardAt === undefined || at - heardAt > HOST_STALE_MS) {
    const since = heardAt === undefined ? "was never heard" : `was last heard ${seconds(at - heardAt)} ago`;
    return unknown(
      `${hostId} ${since}: see that its agent runs and reaches Drover.`,
      signals.map(({ metric }) => metric),
    );
  }
  const verdicts = [
    ...signals.map((signal): [Signal, Verdict] => [signal, judge(signal, parameters)]),
    ...judgeServices(host, at, parameters),
  ];
  const unknownMetrics = [
    ...new Set(verdicts.filter(([, { level }]) => level === "unknown").map(([{ metric }]) => metric)),
  ];
  for (const level of ["hot", "warm"] as const) {
    const causes = verdicts
      .flatMap(([, verdict]) => (verdict.level === level ? [verdict.cause] : []))
      .toSorted((a, b) => b.value / b.threshold - a.value / a.threshold);
    // Warm says that little is wrong; where CPU is not known that is too much said.
    if (causes.length > 0 && (level === "hot" || !unknownMetrics.includes("cpu_used_cores")))
      return { hostId, state: level, causes, unknownMetrics, sentence: causes[0]?.sentence ?? "" };
  }
  if (unknownMetrics.includes("cpu_used_cores"))
    return unknown(
      `${hostId} lives, but nothing of the last ${seconds(parameters.staleMs)} says how much CPU it uses: its agent must send cpu_used_cores.`,
      unknownMetrics,
    );
  const cold = signals.flatMap((signal) => coldCause(signal, parameters) ?? [])[0];
  return cold === undefined
    ? { hostId, state: "normal", causes: [], unknownMetrics, sentence: "Nothing known is over its threshold." }
    : { hostId, state: "cold", causes: [cold], unknownMetrics, sentence: cold.sentence };
}

const seconds = (ms: number): string => `${Math.round(ms / SECOND_MS)} s`;
