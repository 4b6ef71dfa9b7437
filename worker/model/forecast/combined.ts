// The mean of forecasters that err at different times is wrong less often than each of them (Bates and Granger 1969): smoothing
// follows a level that shifts, autoregression returns to the mean after a peak, clouds weigh the two by how steady they are.
import { arp } from "./arp.ts";
import { cloud } from "./cloud.ts";
import { holtWinters } from "./holt-winters.ts";
import type { Forecaster, KnownForecast } from "./types.ts";

const PARTS = [arp, holtWinters, cloud];

export const combined: Forecaster = {
  name: "combined",
  summary: "The mean of `arp`, `holt-winters` and `cloud`, quantile by quantile.",
  forecast: (history, stepsAhead, parameters, random) => {
    const answers: KnownForecast[] = [];
    for (const part of PARTS) {
      const answer = part.forecast(history, stepsAhead, parameters, random);
      if (!answer.known) return { ...answer, forecaster: "combined" };
      answers.push(answer);
    }
    // Shares before the sum, which might overflow; rounding must not put the mean outside what all agree on.
    const meanOf = (of: (answer: KnownForecast) => number): number => {
      const values = answers.map(of);
      const sum = values.reduce((total, value) => total + value / values.length, 0);
      return Math.max(Math.min(...values), Math.min(Math.max(...values), sum));
    };
    const mean = meanOf((answer) => answer.mean);
    return {
      known: true,
      forecaster: "combined",
      mean,
      p10: Math.min(
        mean,
        meanOf((answer) => answer.p10),
      ),
      p90: Math.max(
        mean,
        meanOf((answer) => answer.p90),
      ),
      samples: answers[0]?.samples ?? 0,
      horizonSteps: answers[0]?.horizonSteps ?? stepsAhead,
      model: Object.assign({}, ...answers.map(({ model }) => model)) as Record<string, number>,
    };
  },
};
