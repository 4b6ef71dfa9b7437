// What of a series of integers is written: the difference to what a predictor says, by the predictor that seems cheapest.
import type { RangeReader, RangeWriter } from "./coder.ts";
import { readResidual, ResidualState, SIZE_BITS_MAX, writeResidual } from "./residual.ts";

/** Predictors 0 to 4: the mean of those before, the newest with at least this share. */
const SHARES = [1, 1 / 2, 1 / 4, 1 / 8, 0];
const MEAN = 4;
/** 0 always. */
const ZERO = 5;
/** The least and the greatest of the series, which stands before it: residuals have one sign. */
const LEAST = 6;
const GREATEST = 7;
const PREDICTOR_BITS = 3;
const SIZE_BITS = 6;

/** How a series is written. `values`: what is predicted, the series itself or its changes. */
export type Plan = {
  values: Float64Array;
  ofChanges: boolean;
  predictor: number;
  /** The least or the greatest value, of the predictors that need it. */
  bound: number;
  /** About how many bits it takes. */
  bits: number;
};

/** Costs are estimated for so many at once, because sizes drift, and on no more than the first of a long series. */
const BLOCK = 32;
const ESTIMATED_MAX = 160;

/** The level of a predictor that has seen one more, as the `index`th. */
const moved = (level: number, value: number, index: number, share: number): number => {
  const first = 1 / (index + 1);
  return level + (value - level) * (first > share ? first : share);
};

/** About how many bits the residuals of `values` take: the entropy of geometric sizes of each block's mean, within 5 %. */
function bitsOf(values: Float64Array, predictor: number, bound: number): number {
  const length = values.length < ESTIMATED_MAX ? values.length : ESTIMATED_MAX;
  const share = SHARES[predictor] ?? 0;
  const isMoving = predictor < ZERO;
  let level = bound;
  let bits = 0;
  let others = 0;
  for (let start = 0; start < length; start += BLOCK) {
    const end = start + BLOCK < length ? start + BLOCK : length;
    let sum = 0;
    for (let index = start; index < end; index++) {
      const value = values[index] ?? 0;
      const residual = value - Math.floor(level + 0.5);
      if (residual !== 0) others += 1;
      sum += residual < 0 ? -residual : residual;
      if (isMoving) level = moved(level, value, index, share);
    }
    if (sum > 0) bits += (end - start) * Math.log2(1 + (2.7 * sum) / (end - start));
  }
  const estimate = predictor < LEAST ? bits + others : bits;
  return length === 0 ? 0 : (estimate * values.length) / length;
}

/** Predictors worth a try: for changes that are all 0 or more, for other changes, for integers that do not only rise. */
const OF_RISES = [0, 1, 2, 3, MEAN, LEAST];
const OF_CHANGES = [ZERO, 0, 1, MEAN];
const OF_LEVELS = [ZERO, 1, 2, 3, MEAN, LEAST, GREATEST];

function cheapest(values: Float64Array, ofChanges: boolean, predictors: readonly number[], before: Plan | null): Plan {
  let least = Infinity;
  let greatest = -Infinity;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
  }
  let best = before ?? { values, ofChanges, predictor: ZERO, bound: 0, bits: Infinity };
  for (const predictor of predictors) {
    const bound = values.length === 0 || predictor < LEAST ? 0 : predictor === LEAST ? least : greatest;
    const bits = bitsOf(values, predictor, bound) + (bound === 0 ? 0 : SIZE_BITS + 1 + Math.log2(Math.abs(bound)));
    if (bits < best.bits) best = { values, ofChanges, predictor, bound, bits };
  }
  return best;
}

/** The plan that seems cheapest for a series of integers, of at most INTEGER_MAX either side of 0. */
export function planOf(series: Float64Array): Plan {
  const changes = new Float64Array(series.length);
  let before = 0;
  let isRising = true;
  for (let index = 0; index < series.length; index++) {
    const value = series[index] ?? 0;
    changes[index] = value - before;
    if (value < before) isRising = false;
    before = value;
  }
  if (isRising) return cheapest(changes, true, OF_RISES, null);
  return cheapest(series, false, OF_LEVELS, cheapest(changes, true, OF_CHANGES, null));
}

/** What the sizes start from: the mean of the first few residuals that are not 0. */
function sizeBitsOf(residuals: Float64Array): number {
  let sum = 0;
  let others = 0;
  for (let index = 0; index < residuals.length && others < 16; index++) {
    const residual = residuals[index] ?? 0;
    if (residual === 0) continue;
    sum += Math.abs(residual);
    others += 1;
  }
  return others === 0 ? 0 : Math.round(Math.log2(sum / others));
}

function residualsOf({ values, predictor, bound }: Plan): Float64Array {
  const residuals = new Float64Array(values.length);
  const sign = predictor === GREATEST ? -1 : 1;
  const share = SHARES[predictor] ?? 0;
  let level = bound;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    residuals[index] = sign * (value - Math.floor(level + 0.5));
    if (predictor < ZERO) level = moved(level, value, index, share);
  }
  return residuals;
}

/** `sizeBefore`: starting size of the series before in this column, null for the first. Returns that of this one. */
export function writeSeries(out: RangeWriter, plan: Plan, sizeBefore: number | null): number {
  const { ofChanges, predictor, bound } = plan;
  const residuals = residualsOf(plan);
  const sizeBits = sizeBitsOf(residuals);
  out.raw(ofChanges ? 1 : 0, 1);
  out.raw(predictor, PREDICTOR_BITS);
  if (sizeBefore !== null) out.raw(sizeBits === sizeBefore ? 1 : 0, 1);
  if (sizeBits !== sizeBefore) out.raw(sizeBits, SIZE_BITS);
  if (predictor >= LEAST) {
    out.raw(bound === 0 ? 0 : 1, 1);
    if (bound !== 0) out.signed(bound);
  }
  const state = new ResidualState(sizeBits);
  for (let index = 0; index < residuals.length; index++)
    writeResidual(out, state, residuals[index] ?? 0, predictor < LEAST);
  return sizeBits;
}

/** Reads into all of `series`, as it was written. Sizes are not checked: sums past 2^53 are not exact, but finite. */
export function readSeries(input: RangeReader, series: Float64Array, sizeBefore: number | null): number {
  const ofChanges = input.raw(1) === 1;
  const predictor = input.raw(PREDICTOR_BITS);
  const sizeBits = sizeBefore !== null && input.raw(1) === 1 ? sizeBefore : input.raw(SIZE_BITS);
  if (sizeBits > SIZE_BITS_MAX) throw input.fail("residuals over 2^52");
  const bound = predictor >= LEAST && input.raw(1) === 1 ? input.signed() : 0;
  const state = new ResidualState(sizeBits);
  const isSigned = predictor < LEAST;
  const sign = predictor === GREATEST ? -1 : 1;
  const share = SHARES[predictor] ?? 0;
  let level = bound;
  let before = 0;
  for (let index = 0; index < series.length; index++) {
    const value = Math.floor(level + 0.5) + sign * readResidual(input, state, isSigned);
    if (predictor < ZERO) level = moved(level, value, index, share);
    before = ofChanges ? before + value : value;
    series[index] = before;
  }
  return sizeBits;
}
