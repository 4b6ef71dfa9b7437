// The forecasters. A new one is one file and one line here.
import { ar1 } from "./ar1.ts";
import { arp } from "./arp.ts";
import { cloud } from "./cloud.ts";
import { combined } from "./combined.ts";
import { holtWinters } from "./holt-winters.ts";
import { last } from "./last.ts";
import { mean } from "./mean.ts";
import {
  type Forecast,
  type Forecaster,
  type ForecasterName,
  type ForecastParameters,
  forecastParameters,
  type History,
  type Random,
} from "./types.ts";
import { randomOf } from "./random.ts";

export const forecasters: Record<ForecasterName, Forecaster> = {
  last,
  mean,
  ar1,
  arp,
  "holt-winters": holtWinters,
  cloud,
  combined,
};

/** The least wrong on real traces, at every horizon and for short histories too (docs/forecasts.md). */
export const STANDARD_FORECASTER: ForecasterName = "combined";

const STANDARD_PARAMETERS = forecastParameters.parse({});

/**
 * What a series will be `stepsAhead` steps after the end of its history, or why that cannot be said. The same arguments give
 * the same answer: without `random`, `cloud` draws from a fixed seed.
 */
export function forecast(
  history: History,
  stepsAhead: number,
  parameters: ForecastParameters = STANDARD_PARAMETERS,
  forecaster: ForecasterName = STANDARD_FORECASTER,
  random: Random = randomOf(0),
): Forecast {
  return forecasters[forecaster].forecast(history, stepsAhead, parameters, random);
}
