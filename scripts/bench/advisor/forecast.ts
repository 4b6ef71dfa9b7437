// How well forecasters predict CPU loads of real VMs, and of hosts made of twenty of them.
import { forecasters } from "../../../worker/model/forecast/index.ts";
import { randomOf } from "../../../worker/model/forecast/random.ts";
import { type Forecast, forecastParameters, type History } from "../../../worker/model/forecast/types.ts";
import { report } from "../report.ts";
import { forecastByBackTest } from "./back-test.ts";
import { forecastBySynthesis } from "./synthesis.ts";
import { loadsOf, type LoadOptions } from "./loads.ts";

const HORIZONS = [1, 3, 12];
/** How many steps of the past are seen: what a snapshot holds, and half a day of five minutes. */
const HISTORIES = [30, 144];
/** A forecast an hour from every series. */
const ORIGINS_EVERY = 12;

type Predict = (history: History, stepsAhead: number) => Forecast;
/** Of one forecaster over all forecasts: mean absolute error, mean pinball loss of p10 and p90, share inside, CPU. */
type Judged = { count: number; error: number; pinball: number; inside: number; cpuUs: number };

/** Reports skill, coverage and CPU by load, history, horizon and forecaster. */
export function benchForecast(options: LoadOptions): void {
  for (const [load, series] of Object.entries(loadsOf(options)))
    for (const historySteps of HISTORIES)
      for (const horizon of HORIZONS) {
        const judged = Object.entries(predictors(historySteps)).map(
          ([forecaster, predict]) => [forecaster, judge(series, historySteps, horizon, predict)] as const,
        );
        const base = judged.find(([forecaster]) => forecaster === "last")?.[1];
        if (base === undefined) throw new Error("no baseline");
        for (const [forecaster, figures] of judged) {
          const say = (metric: string, value: number, unit: string): void =>
            report({
              bench: "advisor",
              case: "forecast",
              load,
              historySteps,
              horizon,
              forecaster,
              metric,
              value,
              unit,
            });
          say("skill", 1 - figures.error / base.error, "ratio");
          say("pinballSkill", 1 - figures.pinball / base.pinball, "ratio");
          say("coverage", figures.inside, "ratio");
          say("meanAbsoluteError", figures.error, "ratio");
          say("cpuUs", figures.cpuUs, "µs");
          say("forecasts", figures.count, "forecasts");
        }
      }
}

function predictors(windowSamples: number): Record<string, Predict> {
  const plain = forecastParameters.parse({ windowSamples, min: 0 });
  const hourly = forecastParameters.parse({ windowSamples, min: 0, periodSteps: 12 });
  const random = randomOf(1);
  return {
    ...Object.fromEntries(
      Object.values(forecasters).map(({ name, forecast }): [string, Predict] => [
        name,
        (history, stepsAhead) => forecast(history, stepsAhead, plain, random),
      ]),
    ),
    "holt-winters, 1 h season": (history, stepsAhead) =>
      forecasters["holt-winters"].forecast(history, stepsAhead, hourly, random),
    "cloud, published synthesis": (history, stepsAhead) => forecastBySynthesis(history, stepsAhead, plain, random),
    "by back-test": (history, stepsAhead) => forecastByBackTest(history, stepsAhead, plain, random),
  };
}

function judge(series: readonly number[][], historySteps: number, horizon: number, predict: Predict): Judged {
  const sums = { count: 0, error: 0, pinball: 0, inside: 0 };
  const before = process.cpuUsage();
  for (const values of series)
    for (let origin = historySteps; origin + horizon <= values.length; origin += ORIGINS_EVERY) {
      const answer = predict(values.slice(origin - historySteps, origin), horizon);
      const actual = values[origin + horizon - 1];
      if (!answer.known || actual === undefined) continue;
      const { mean, p10, p90 } = answer;
      sums.count += 1;
      sums.error += Math.abs(actual - mean);
      sums.pinball += (pinball(actual, p10, 0.1) + pinball(actual, p90, 0.9)) / 2;
      sums.inside += actual >= p10 && actual <= p90 ? 1 : 0;
    }
  const { user, system } = process.cpuUsage(before);
  const { count } = sums;
  return {
    count,
    error: sums.error / count,
    pinball: sums.pinball / count,
    inside: sums.inside / count,
    cpuUs: (user + system) / count,
  };
}

/** Quantile loss (Koenker and Bassett 1978). */
const pinball = (actual: number, quantile: number, at: number): number =>
  actual >= quantile ? at * (actual - quantile) : (1 - at) * (quantile - actual);
