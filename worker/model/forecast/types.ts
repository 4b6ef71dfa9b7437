// What every forecaster takes and gives. History and forecast are in the unit of the series; time is counted in its steps.
import { z } from "zod";

export const forecasterName = z.enum(["last", "mean", "ar1", "arp", "holt-winters", "cloud", "combined"]);
export type ForecasterName = z.infer<typeof forecasterName>;

export const forecastParameters = z
  .strictObject({
    /** Only the newest samples are looked at: what was long ago says little of the next steps (Sandpiper: 200). */
    windowSamples: z.int().min(8).max(4096).default(200),
    /** Fewer known samples than this, and the answer is unknown. */
    samplesMin: z.int().min(4).max(4096).default(8),
    /** `arp`: no order above this is tried. */
    orderMax: z.int().min(1).max(32).default(8),
    /** `holt-winters`: steps after which the series repeats itself; 1: it does not. */
    periodSteps: z.int().min(1).max(2048).default(1),
    /** `cloud`: how many of the newest samples are the current window; those before are the historic one. */
    currentSamples: z.int().min(4).max(1024).default(12),
    /** `cloud`: drops of the forward generator from which the interval is read. */
    drops: z.int().min(16).max(4096).default(256),
    /** Values that the series cannot take: the forecast is kept between them. */
    min: z.number().optional(),
    max: z.number().optional(),
  })
  .meta({ id: "ForecastParameters" });
export type ForecastParameters = z.infer<typeof forecastParameters>;

/** Numbers from 0 up to 1, the same ones from the same seed. */
export type Random = () => number;

export type KnownForecast = {
  known: true;
  forecaster: ForecasterName;
  /** Best guess; it lies in the interval. */
  mean: number;
  /** 80 % of what happens is expected between these. */
  p10: number;
  p90: number;
  /** Known samples that it rests on. */
  samples: number;
  /** Steps from the newest known sample to what is forecast: more than was asked where the newest samples are missing. */
  horizonSteps: number;
  /** What was fitted, by the names of the method: `phi`, `order`, `alpha`, `ex`, … */
  model: Record<string, number>;
};

export type UnknownForecast = {
  known: false;
  forecaster: ForecasterName;
  samples: number;
  samplesMin: number;
  /** Why, and what to do about it. */
  reason: string;
};

export type Forecast = KnownForecast | UnknownForecast;

/** Evenly spaced, oldest first; null: a gap. A number that is not finite counts as a gap. */
export type History = readonly (number | null)[];

export type Forecaster = {
  name: ForecasterName;
  summary: string;
  /** `random` is drawn from by `cloud` only. */
  forecast: (history: History, stepsAhead: number, parameters: ForecastParameters, random: Random) => Forecast;
};
