// Figures of accuracy over pairs of predicted and measured.
import type { Quantity } from "../../../worker/model/migration/types.ts";

export type Pair = { predicted: Quantity; measured: number };

/** 0 of an empty list is NaN: a figure over nothing is not a figure. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** Linear between order statistics (type 7). */
export function quantile(values: readonly number[], probability: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const position = probability * (sorted.length - 1);
  const below = sorted[Math.floor(position)] ?? Number.NaN;
  const above = sorted[Math.ceil(position)] ?? below;
  return below + (above - below) * (position % 1);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

export const absoluteError = ({ predicted, measured }: Pair): number => Math.abs(predicted.p50 - measured);
export const relativeError = (pair: Pair): number => absoluteError(pair) / pair.measured;

/** Share of the measured values inside p10 to p90. */
export function coverage(pairs: readonly Pair[]): number {
  return mean(pairs.map(({ predicted: { p10, p90 }, measured }) => (measured >= p10 && measured <= p90 ? 1 : 0)));
}

/** Pinball (quantile) loss, mean of p10, p50 and p90 (Koenker and Bassett, 1978). */
export function pinball({ predicted, measured }: Pair): number {
  const loss = (at: number, probability: number) =>
    measured >= at ? probability * (measured - at) : (1 - probability) * (at - measured);
  return (loss(predicted.p10, 0.1) + loss(predicted.p50, 0.5) + loss(predicted.p90, 0.9)) / 3;
}

/** Interval score of the central 80 % (Gneiting and Raftery, 2007), in units of the measured value. */
export function intervalScore({ predicted: { p10, p90 }, measured }: Pair): number {
  const miss = 2 / 0.2;
  return p90 - p10 + miss * Math.max(0, p10 - measured) + miss * Math.max(0, measured - p90);
}
