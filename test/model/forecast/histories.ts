// Histories for tests of forecasters.
import fc from "fast-check";
import { forecasters } from "../../../worker/model/forecast/index.ts";
import { randomOf } from "../../../worker/model/forecast/random.ts";
import {
  type Forecast,
  type ForecasterName,
  forecastParameters,
  type History,
  type KnownForecast,
} from "../../../worker/model/forecast/types.ts";

export const RUNS = { numRuns: 200, seed: 41 };

/** The series of the golden vectors. */
export const GOLDEN = [0.52, 0.61, 0.58, 0.66, 0.71, 0.69, 0.73, 0.64, 0.7, 0.75];

export type Asked = { stepsAhead?: number; parameters?: Record<string, unknown>; seed?: number };

export function ask(
  forecaster: ForecasterName,
  history: History,
  { stepsAhead = 1, parameters = {}, seed = 1 }: Asked = {},
): Forecast {
  return forecasters[forecaster].forecast(history, stepsAhead, forecastParameters.parse(parameters), randomOf(seed));
}

export function known(forecaster: ForecasterName, history: History, asked: Asked = {}): KnownForecast {
  const answer = ask(forecaster, history, asked);
  if (!answer.known) throw new Error(`${forecaster}: ${answer.reason}`);
  return answer;
}

/** Loads as they are: ratios in thousandths, some steps of any length. */
export const loads = fc.array(
  fc.integer({ min: 0, max: 1000 }).map((thousandths) => thousandths / 1000),
  { minLength: 20, maxLength: 120 },
);

export const steps = fc.integer({ min: 1, max: 24 });

/** Anything that the type permits, however mad. */
export const anything = fc.array(fc.oneof(fc.double(), fc.constant(null), fc.constant(0.5)), { maxLength: 60 });
