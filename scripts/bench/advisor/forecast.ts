// How well forecasters predict CPU loads of real VMs, and of hosts made of twenty of them.
import { forecasters } from "../../../worker/model/forecast/index.ts";
import { randomOf } from "../../../worker/model/forecast/random.ts";
import { type Forecast, forecastParameters, type History } from "../../../worker/model/forecast/types.ts";
import { report, seeded } from "../report.ts";
import { forecastByBackTest } from "./back-test.ts";
import { type Day, planetlabDays } from "./traces.ts";

/** On these days constants were chosen; what is published was measured on the others. */
const CHOSEN_ON = ["20110303", "20110306"];
const HORIZONS = [1, 3, 12];
/** What of the past is seen: 4 h and 12 h of five minutes. */
const HISTORIES = [48, 144];
const VMS_A_HOST = 20;
/** Single VMs a day: they are many, and alike. */
const VMS_A_DAY = 200;
/** A forecast an hour from every series. */
const ORIGINS_EVERY = 12;

export type ForecastBenchOptions = {
  /** Folder of PlanetLab's archives. */
  planetlab: string;
  /** Shuffles VMs into hosts. */
  seed?: number;
  /** Those of the days on which constants were chosen, in place of the others. */
  chosenOn?: boolean;
};

type Predict = (history: History, stepsAhead: number) => Forecast;
/** Of one forecaster over all forecasts: mean absolute error, mean pinball loss of p10 and p90, share inside, CPU. */
type Judged = { count: number; error: number; pinball: number; inside: number; cpuUs: number };

/** Reports, and gives back, skill, coverage and CPU by load, history, horizon and forecaster. */
export function benchForecast({ planetlab, seed = 7, chosenOn = false }: ForecastBenchOptions): void {
  const days = planetlabDays(planetlab).filter(({ day }) => CHOSEN_ON.includes(day) === chosenOn);
  if (days.length === 0) throw new Error(`no ${chosenOn ? "chosen" : "held-out"} day of PlanetLab in ${planetlab}`);
  const loads = loadsOf(days, seed);
  for (const [load, series] of Object.entries(loads))
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

/** Ratios of single VMs, and of hosts of equal VMs drawn at random within a day. */
export function loadsOf(days: readonly Day[], seed: number): { host: number[][]; vm: number[][] } {
  const host: number[][] = [];
  const vm: number[][] = [];
  for (const { vms } of days) {
    const random = seeded(seed);
    const shuffled = vms
      .map(({ ratios }) => ({ ratios, key: random() }))
      .toSorted((a, b) => a.key - b.key)
      .map(({ ratios }) => ratios);
    vm.push(...shuffled.slice(0, VMS_A_DAY));
    for (let first = 0; first + VMS_A_HOST <= shuffled.length; first += VMS_A_HOST) {
      const group = shuffled.slice(first, first + VMS_A_HOST);
      const sumAt = (step: number): number => group.reduce((sum, ratios) => sum + (ratios[step] ?? 0), 0);
      host.push((group[0] ?? []).map((_, step) => sumAt(step) / VMS_A_HOST));
    }
  }
  return { host, vm };
}
