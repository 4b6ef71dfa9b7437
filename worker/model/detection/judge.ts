// Whether one metric is over its threshold to stay. A sample is a moment; what counts is that some of the newest are over it
// and that the forecast is too (Sandpiper, Wood et al. 2007, section 4.1).
import { forecast } from "../forecast/index.ts";
import { randomOf } from "../forecast/random.ts";
import type { Forecast } from "../forecast/types.ts";
import { percent, size } from "../placement/format.ts";
import type { Signal } from "./signals.ts";
import type { DetectionCause, DetectionParameters } from "./types.ts";

export type Verdict =
  | { level: "hot" | "warm"; cause: DetectionCause }
  | { level: "normal"; cause?: undefined }
  | { level: "unknown"; cause?: undefined };

/** Where every sample is below this share of the threshold no forecast is made: nothing is about to be too much. */
const NEAR_RATIO = 0.75;

const NORMAL: Verdict = { level: "normal" };
const UNKNOWN: Verdict = { level: "unknown" };

/** Above its threshold to stay (hot), in one respect only (warm), or not; unknown where nothing is known. */
export function judge(signal: Signal, parameters: DetectionParameters): Verdict {
  const near = signal.threshold * NEAR_RATIO;
  const known = (signal.samples ?? []).slice(-parameters.newestSamples).filter((value) => value !== null);
  if (
    known.length >= parameters.overSamples &&
    signal.samples?.every((value) => value === null || value < near) === true
  )
    return NORMAL;
  const newest = newestOf(signal, parameters);
  return newest === null ? judgeAverage(signal) : judgeSamples(signal, newest, parameters);
}

export type Newest = {
  values: number[];
  over: number;
  /** The newest known sample. */
  last: number;
  ahead: Forecast;
};

/** The newest n samples and what they will be; null where fewer than k of them are known. */
export function newestOf(signal: Signal, parameters: DetectionParameters): Newest | null {
  const { samples, stepMs, threshold } = signal;
  const { newestSamples, overSamples, horizonMs } = parameters;
  const values = (samples ?? []).slice(-newestSamples).filter((value) => value !== null);
  const last = values.at(-1);
  if (samples === undefined || stepMs === undefined || last === undefined || values.length < overSamples) return null;
  const stepsAhead = Math.max(1, Math.round(horizonMs / stepMs));
  const bounded = { ...parameters.forecast, min: Math.max(0, parameters.forecast.min ?? 0) };
  const ahead = forecast(samples, stepsAhead, bounded, parameters.forecaster, randomOf(parameters.seed));
  return { values, last, ahead, over: values.filter((value) => value > threshold).length };
}

function judgeSamples(signal: Signal, newest: Newest, parameters: DetectionParameters): Verdict {
  const { threshold } = signal;
  const { values, over, ahead } = newest;
  const enough = over >= parameters.overSamples;
  const aheadOver = ahead.known && ahead.mean > threshold;
  if (!enough && !aheadOver) return NORMAL;
  // Without a forecast the average of all that is known says whether it is more than a moment.
  const mean = values.reduce((sum, value) => sum + value / values.length, 0);
  const confirmed = ahead.known ? aheadOver : (signal.average ?? mean) > threshold;
  const persistent = isPersistent(signal, parameters);
  const level = enough && (confirmed || persistent) ? "hot" : "warm";
  const kind = signal.kind === "k-of-n" && !enough ? "forecast" : signal.kind;
  const cause = causeOf(signal, newest, parameters, kind);
  return { level, cause: { ...cause, sentence: sentenceOf(signal, newest, parameters, persistent && !confirmed) } };
}

/** Every one of a longer run of samples is over: whatever a forecast says, it has been so all the time. */
function isPersistent({ samples = [], threshold }: Signal, { persistentSamples }: DetectionParameters): boolean {
  const run = samples.slice(-persistentSamples);
  return run.length === persistentSamples && run.every((value) => value !== null && value > threshold);
}

export function causeOf(
  signal: Signal,
  { last, over, ahead, values }: Newest,
  { overSamples }: DetectionParameters,
  kind: DetectionCause["kind"],
): Omit<DetectionCause, "sentence"> {
  return {
    metric: signal.metric,
    kind,
    value: last,
    threshold: signal.threshold,
    k: overSamples,
    n: values.length,
    over,
    forecast: ahead.known ? ahead.mean : null,
    p90: ahead.known ? ahead.p90 : null,
    ...(signal.vmUuid === undefined ? {} : { vmUuid: signal.vmUuid }),
  };
}

/** No samples: the average, else p95, alone counts. */
function judgeAverage(signal: Signal): Verdict {
  const { average, p95, threshold, metric, kind, vmUuid } = signal;
  const value = average ?? p95;
  if (value === undefined) return UNKNOWN;
  if (value <= threshold) return NORMAL;
  const what = average === undefined ? "p95" : "average";
  return {
    level: "hot",
    cause: {
      metric,
      kind: kind === "k-of-n" ? "threshold" : kind,
      value,
      threshold,
      k: null,
      n: null,
      over: null,
      forecast: null,
      p90: null,
      ...(vmUuid === undefined ? {} : { vmUuid }),
      sentence: `${capital(signal.name)}: the ${what} of ${shown(signal, value)} is over ${shown(signal, threshold)}; without recent samples it alone counts.`,
    },
  };
}

function sentenceOf(
  signal: Signal,
  { values, over, ahead, last }: Newest,
  { overSamples, persistentSamples }: DetectionParameters,
  inSpite: boolean,
): string {
  const { threshold } = signal;
  const counted = `${over} of the newest ${values.length} samples are over ${shown(signal, threshold)} (${overSamples} have to be), the last ${shown(signal, last)}`;
  const head = `${capital(signal.name)}: ${counted}`;
  if (!ahead.known) return `${head}; no forecast, so that the average counts: ${ahead.reason}`;
  const next = `${shown(signal, ahead.mean)} (p90 ${shown(signal, ahead.p90)})`;
  if (inSpite) return `${head}; the forecast is ${next}, but all of the newest ${persistentSamples} are over it.`;
  return `${head}; the forecast is ${next}, ${ahead.mean > threshold ? "over it too" : "under it"}.`;
}

export function shown({ show }: Pick<Signal, "show">, value: number): string {
  if (show === "percent") return percent(value);
  return show === "rate" ? `${size(value)}/s` : `${Number(value.toPrecision(3))} s`;
}

export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
