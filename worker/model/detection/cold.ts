// Whether a host has too little to do, to stay: what consolidation may empty.
import { percent } from "../placement/format.ts";
import { quantile } from "../quantile.ts";
import { causeOf, type Newest, newestOf } from "./judge.ts";
import type { Signal } from "./signals.ts";
import type { DetectionCause, DetectionParameters } from "./types.ts";

/** Why CPU is under the threshold of underload to stay: p95, k of the newest n, and the forecast. null: it is not, or not known. */
export function coldCause(signal: Signal, parameters: DetectionParameters): DetectionCause | null {
  const threshold = parameters.cpuRatioCold;
  if (signal.metric !== "cpu_used_cores" || Math.max(signal.p95 ?? 0, signal.average ?? 0) >= threshold) return null;
  const newest = newestOf(signal, parameters);
  const p95 = signal.p95 ?? (newest === null ? undefined : p95Of(signal));
  if (p95 === undefined || p95 >= threshold) return null;
  const head = `CPU: p95 of ${percent(p95)} is under ${percent(threshold)}`;
  if (newest !== null) return coldByAll({ ...signal, threshold }, newest, parameters, p95, head);
  const none = { k: null, n: null, over: null, forecast: null, p90: null };
  const sentence = `${head}; without recent samples it alone counts.`;
  return { metric: signal.metric, kind: "threshold", value: p95, threshold, ...none, sentence };
}

const p95Of = ({ samples = [] }: Signal): number =>
  quantile(
    samples.filter((value) => value !== null),
    0.95,
  );

function coldByAll(
  signal: Signal,
  newest: Newest,
  parameters: DetectionParameters,
  p95: number,
  head: string,
): DetectionCause | null {
  const { ahead, values } = newest;
  const under = values.filter((value) => value < signal.threshold).length;
  if (under < parameters.overSamples || (ahead.known && ahead.mean >= signal.threshold)) return null;
  const next = ahead.known ? `the forecast of ${percent(ahead.mean)} too` : "no forecast could be made";
  return {
    ...causeOf(signal, newest, parameters, "k-of-n"),
    value: p95,
    over: under,
    sentence: `${head}, ${under} of the newest ${values.length} samples are, ${next}.`,
  };
}
