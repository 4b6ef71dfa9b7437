// A peer: for each series the forecaster that was least wrong on that series' own newest samples.
import { forecasters } from "../../../worker/model/forecast/index.ts";
import type {
  Forecast,
  ForecasterName,
  ForecastParameters,
  History,
  Random,
} from "../../../worker/model/forecast/types.ts";

const CANDIDATES: readonly ForecasterName[] = ["arp", "holt-winters", "cloud"];
/** So many of the newest samples are foretold from what was before them. */
const TESTS = 12;

export function forecastByBackTest(
  history: History,
  stepsAhead: number,
  parameters: ForecastParameters,
  random: Random,
): Forecast {
  const wrongOf = (name: ForecasterName): number => {
    let wrong = 0;
    for (let test = 1; test <= TESTS; test++) {
      const before = history.slice(0, history.length - test - stepsAhead + 1);
      const answer = forecasters[name].forecast(before, stepsAhead, parameters, random);
      wrong += answer.known ? Math.abs((history.at(-test) ?? 0) - answer.mean) : 0;
    }
    return wrong;
  };
  const [best] = CANDIDATES.map((name) => ({ name, wrong: wrongOf(name) })).toSorted((a, b) => a.wrong - b.wrong);
  return forecasters[best?.name ?? "arp"].forecast(history, stepsAhead, parameters, random);
}
