// Which rule says of a load that it is over its threshold to stay: the newest sample, k of n samples, or these and the forecast.
import { judge, newestOf } from "../../../worker/model/detection/judge.ts";
import type { Signal } from "../../../worker/model/detection/signals.ts";
import { detectionParameters } from "../../../worker/model/detection/types.ts";
import { quantile } from "../../../worker/model/quantile.ts";
import { MINUTE_MS } from "../../../worker/model/units.ts";
import { report } from "../report.ts";
import { loadsOf, type LoadOptions } from "./loads.ts";

/** These loads are low: each is judged by a threshold that it is over in so much of its day. */
const OVER_SHARE = 0.15;
const HISTORY = 30;
/** It stayed if it was over the threshold in half of the next hour. */
const NEXT = 12;
const STAYED_SHARE = 0.5;
const EVERY = 3;

const parameters = detectionParameters.parse({});
const rules: Record<string, (signal: Signal) => boolean> = {
  "newest sample": ({ samples, threshold }) => (samples?.at(-1) ?? 0) > threshold,
  "3 of 5": (signal) => (newestOf(signal, parameters)?.over ?? 0) >= parameters.overSamples,
  "3 of 5 and forecast": (signal) => judge(signal, parameters).level === "hot",
};

/** Reports precision (of the alarms, those after which the load stayed), recall, and how many alarms there were. */
export function benchAlarms(options: LoadOptions): void {
  for (const [load, series] of Object.entries(loadsOf(options)))
    for (const [forecaster, alarms] of Object.entries(rules)) {
      const counts = { alarms: 0, right: 0, stayed: 0 };
      for (const values of series) count(values, alarms, counts);
      const say = (metric: string, value: number, unit: string): void =>
        report({
          bench: "advisor",
          case: "alarms",
          load,
          historySteps: HISTORY,
          horizon: NEXT,
          forecaster,
          metric,
          value,
          unit,
        });
      say("precision", counts.right / counts.alarms, "ratio");
      say("recall", counts.right / counts.stayed, "ratio");
      say("alarms", counts.alarms, "alarms");
    }
}

function count(
  values: readonly number[],
  alarms: (signal: Signal) => boolean,
  counts: { alarms: number; right: number; stayed: number },
): void {
  const threshold = quantile(values, 1 - OVER_SHARE);
  for (let now = HISTORY; now + NEXT <= values.length; now += EVERY) {
    const samples = values.slice(now - HISTORY, now);
    const over = values.slice(now, now + NEXT).filter((value) => value > threshold).length;
    const stayed = over >= STAYED_SHARE * NEXT;
    const alarm = alarms({
      metric: "cpu_used_cores",
      name: "CPU",
      kind: "k-of-n",
      show: "percent",
      threshold,
      samples,
      stepMs: 5 * MINUTE_MS,
    });
    counts.alarms += alarm ? 1 : 0;
    counts.stayed += stayed ? 1 : 0;
    counts.right += alarm && stayed ? 1 : 0;
  }
}
