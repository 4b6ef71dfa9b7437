// Integers around 0 whose size drifts: Golomb coding in units that follow the mean size, every decision of it made by the
// range coder (FORMAT.md, "Residuals").
import { contextsOf, EVEN_ODDS, type RangeReader, type RangeWriter } from "./coder.ts";

/** Contexts: whether it is 0 (by the two before), its sign (by the one before), whether more units follow (by how many did). */
const ZERO = 0;
const SIGN = 4;
const UNIT = 7;
const UNIT_CONTEXTS = 4;
/** More units than this are written as a number. */
const UNITS_MAX = 24;
/** Share of the newest residual in the mean size, by how many there were. */
const COUNT_MAX = 22;
const SHARES = Float64Array.from({ length: COUNT_MAX + 1 }, (_, count) => 1 / (count + 3));
/** Starting means up to 2^52 - 1: no residual of a writer is larger. */
export const SIZE_BITS_MAX = 52;

const INITIAL = contextsOf(
  { odds: 18_500, count: SIGN },
  { odds: EVEN_ODDS, count: UNIT - SIGN },
  { odds: 14_800, count: UNIT_CONTEXTS },
);

/** What the residuals so far say of the next. */
export class ResidualState {
  readonly contexts = INITIAL.slice();
  zeroContext = ZERO;
  signContext = SIGN;
  /** Power of two at or below the mean, of 1 or more: sizes are written in these. */
  unit = 1;
  unitBits = 0;
  /** Mean of the sizes, less 1, of those that are not 0. */
  #mean: number;
  #count = 0;

  /** `sizeBits`: the mean to start from is 2^sizeBits - 1. */
  constructor(sizeBits: number) {
    this.#mean = 2 ** sizeBits - 1;
    this.#fitUnit();
  }

  saw(residual: number): void {
    if (residual === 0) {
      this.zeroContext = ((this.zeroContext << 1) & 2) | 1;
      return;
    }
    this.zeroContext = (this.zeroContext << 1) & 2;
    this.signContext = residual < 0 ? SIGN + 1 : SIGN + 2;
    const size = (residual < 0 ? -residual : residual) - 1;
    this.#mean += (size - this.#mean) * (SHARES[this.#count] ?? 0);
    if (this.#count < COUNT_MAX) this.#count += 1;
    this.#fitUnit();
  }

  #fitUnit(): void {
    while (this.#mean >= this.unit * 2) {
      this.unit *= 2;
      this.unitBits += 1;
    }
    while (this.#mean < this.unit && this.unitBits > 0) {
      this.unit /= 2;
      this.unitBits -= 1;
    }
  }
}

const unitContext = (units: number): number => UNIT + (units < UNIT_CONTEXTS ? units : UNIT_CONTEXTS - 1);

/** `isSigned`: whether any residual of the series may be below 0. */
export function writeResidual(out: RangeWriter, state: ResidualState, residual: number, isSigned: boolean): void {
  const { contexts } = state;
  out.bit(contexts, state.zeroContext, residual === 0 ? 1 : 0);
  if (residual !== 0) {
    if (isSigned) out.bit(contexts, state.signContext, residual < 0 ? 1 : 0);
    const size = Math.abs(residual) - 1;
    const units = Math.floor(size / state.unit);
    const counted = units < UNITS_MAX ? units : UNITS_MAX;
    for (let unit = 0; unit < counted; unit++) out.bit(contexts, unitContext(unit), 1);
    if (units < UNITS_MAX) out.bit(contexts, unitContext(units), 0);
    else out.number(units - UNITS_MAX);
    out.raw(size - units * state.unit, state.unitBits);
  }
  state.saw(residual);
}

export function readResidual(input: RangeReader, state: ResidualState, isSigned: boolean): number {
  const { contexts } = state;
  let residual = 0;
  if (input.bit(contexts, state.zeroContext) === 0) {
    const isNegative = isSigned && input.bit(contexts, state.signContext) === 1;
    let units = input.ones(contexts, UNIT, UNIT_CONTEXTS, UNITS_MAX);
    if (units === UNITS_MAX) units += input.number();
    const size = units * state.unit + input.raw(state.unitBits) + 1;
    residual = isNegative ? -size : size;
  }
  state.saw(residual);
  return residual;
}
