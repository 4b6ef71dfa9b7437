// The normal cloud model (Li Deyi 1995): a notion such as "the load of now" as expectation Ex, entropy En (how far it spreads)
// and hyper-entropy He (how unsure the spread is). Prediction by the clouds of two adjacent windows: Liu, Gong, Xing and Jian
// 2014, whose purpose it is to act on what the load is about to be, never on a momentary peak.
import { quantileInPlace } from "../quantile.ts";
import { answerOf } from "./interval.ts";
import { normalOf } from "./random.ts";
import { prepare } from "./series.ts";
import type { Forecaster, Random } from "./types.ts";

export type Cloud = { ex: number; en: number; he: number };

/** Both windows need some samples. */
const WINDOW_SAMPLES_MIN = 4;

/** The cloud that samples come from, without their certainties: Ex = mean, En = √(π/2)·mean|x − Ex|, He = √|S² − En²|. */
export function backwardCloud(values: Float64Array): Cloud {
  const count = values.length;
  if (count === 0) return { ex: 0, en: 0, he: 0 };
  const ex = values.reduce((sum, value) => sum + value, 0) / count;
  const en = Math.sqrt(Math.PI / 2) * (values.reduce((sum, value) => sum + Math.abs(value - ex), 0) / count);
  const variance = values.reduce((sum, value) => sum + (value - ex) ** 2, 0) / Math.max(1, count - 1);
  return { ex, en, he: Math.sqrt(Math.abs(variance - en ** 2)) };
}

/** Drops of a cloud: En' from N(En, He), then x from N(Ex, |En'|), with the certainty exp(−(x − Ex)² / 2En'²). */
export function forwardCloud({ ex, en, he }: Cloud, count: number, random: Random): { x: number; certainty: number }[] {
  return Array.from({ length: count }, () => {
    const spread = Math.abs(en + he * normalOf(random));
    const x = ex + spread * normalOf(random);
    return { x, certainty: spread === 0 ? 1 : Math.exp(-((x - ex) ** 2) / (2 * spread ** 2)) };
  });
}

/** The current window counts so many times as much as the historic one that spreads equally. */
const CURRENT_WEIGHT = 2;

/**
 * One cloud of two: each counts by the inverse of how much it spreads, so that the steadier says more, and the current one
 * twice. (The synthesis of Li and Du 2007 counts each by how much it spreads, for notions that overlap; of loads it predicts
 * worse: docs/forecasts.md.)
 */
export function blend(historic: Cloud, current: Cloud): Cloud {
  const ofCurrent = CURRENT_WEIGHT * historic.en;
  const weight = historic.en + current.en === 0 ? 0.5 : ofCurrent / (ofCurrent + current.en);
  const mixed = (a: number, b: number): number => (1 - weight) * a + weight * b;
  // What comes from either window is spread by how far the two lie apart as well.
  const apart = Math.sqrt(weight * (1 - weight)) * (historic.ex - current.ex);
  return {
    ex: mixed(historic.ex, current.ex),
    en: Math.hypot(mixed(historic.en, current.en), apart),
    he: mixed(historic.he, current.he),
  };
}

export const cloud: Forecaster = {
  name: "cloud",
  summary: "The blended normal clouds of the historic and the current window, and the drops of the blend.",
  forecast: (history, stepsAhead, parameters, random) => {
    const needed = Math.max(parameters.samplesMin, 2 * WINDOW_SAMPLES_MIN);
    const prepared = prepare("cloud", history, stepsAhead, parameters, needed);
    if (!prepared.ok) return prepared.unknown;
    const { series } = prepared;
    const { values, scale } = series;
    const size = Math.min(parameters.currentSamples, Math.floor(values.length / 2));
    const historic = backwardCloud(values.subarray(0, values.length - size));
    const current = backwardCloud(values.subarray(values.length - size));
    const blended = blend(historic, current);
    const drops = Float64Array.from(forwardCloud(blended, parameters.drops, random), ({ x }) => x);
    const at = (q: number): number => quantileInPlace(drops, drops.length, q);
    const { ex, en, he } = blended;
    return answerOf(
      "cloud",
      series,
      { mean: ex, p10: at(0.1), p90: at(0.9), model: { ex: ex * scale, en: en * scale, he: he * scale } },
      parameters,
    );
  },
};
