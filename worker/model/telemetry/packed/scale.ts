// Turns values into integers that are as small as they can be (FORMAT.md, "Scale").

const DECIMALS_MAX = 22;
/** Powers of ten up to 10^22 are exact as float64. */
const POWERS = Float64Array.from({ length: DECIMALS_MAX + 1 }, (_, exponent) => Number(`1e${exponent}`));

/** Integers of a column stay below this on either side of 0, so that differences of their differences are exact. */
const INTEGER_MAX = 2 ** 50;
const WHOLE_MAX = Number.MAX_SAFE_INTEGER;

/** Rounded values have four significant digits; wholes of as many are 1000 to 9999 times a power of ten. */
const ROUNDED_BELOW = 10_000;
const ROUNDED_PER_DECADE = 9000;

/**
 * value = whole / 10^decimals, `decimals` negative for large round numbers, and whole = base + step * integer. Where
 * `isRounded`, base + step * integer is not the whole but its rank among those of four digits.
 */
export type Scale = { decimals: number; isRounded: boolean; base: number; step: number };

export const isScale = ({ decimals, base, step }: Scale): boolean =>
  Math.abs(decimals) <= DECIMALS_MAX && Math.abs(base) <= WHOLE_MAX && step <= WHOLE_MAX && step > 0;

const toWhole = (value: number, decimals: number): number =>
  Math.round(decimals < 0 ? value / (POWERS[-decimals] ?? 1) : value * (POWERS[decimals] ?? 1));

const toValue = (whole: number, decimals: number): number =>
  decimals < 0 ? whole * (POWERS[-decimals] ?? 1) : whole / (POWERS[decimals] ?? 1);

function isExact(value: number, decimals: number): boolean {
  const whole = toWhole(value, decimals);
  return toValue(whole, decimals) === value && whole <= WHOLE_MAX && whole >= -WHOLE_MAX;
}

/** The fewest decimals at which every value is whole; null if there are none, as for -0 and most computed values. */
function decimalsOf(values: Float64Array): number | null {
  let decimals = 0;
  for (let index = 0; index < values.length; index++) {
    const value = values[index] ?? 0;
    if (value === 0 && Object.is(value, -0)) return null;
    while (!isExact(value, decimals)) {
      // Values over 2^53 that need fewer decimals than 0 do not go together with others that need more.
      const isLarge = Math.abs(value) > WHOLE_MAX;
      if (isLarge ? decimals > 0 : decimals < 0) return null;
      decimals += isLarge ? -1 : 1;
      if (Math.abs(decimals) > DECIMALS_MAX) return null;
    }
  }
  return decimals;
}

/** The rank of a whole among those of at most four significant digits, no integer if it has more. Ranks of -n and n are opposite. */
function rankOf(whole: number): number {
  let digits = Math.abs(whole);
  let rank = 0;
  while (digits >= ROUNDED_BELOW) {
    digits /= 10;
    rank += ROUNDED_PER_DECADE;
  }
  return whole < 0 ? -rank - digits : rank + digits;
}

function wholeOf(rank: number): number {
  let digits = Math.abs(rank);
  let power = 1;
  while (digits >= ROUNDED_BELOW && power < WHOLE_MAX) {
    digits -= ROUNDED_PER_DECADE;
    power *= 10;
  }
  return (rank < 0 ? -digits : digits) * power;
}

function commonDivisor(a: number, b: number): number {
  let large = a;
  let small = b;
  while (small !== 0) [large, small] = [small, large % small];
  return large;
}

export type Scaled = { scale: Scale; integers: Float64Array };

/** Integers of `values` by a scale that gives each back bit for bit; null if there is none. The first integer is 0. */
export function scaled(values: Float64Array): Scaled | null {
  const decimals = decimalsOf(values);
  if (decimals === null) return null;
  const wholes = new Float64Array(values.length);
  for (let index = 0; index < values.length; index++) {
    // What is whole at fewer decimals may have too many digits at these.
    if (!isExact(values[index] ?? 0, decimals)) return null;
    wholes[index] = toWhole(values[index] ?? 0, decimals);
  }
  return divided(wholes, decimals, false);
}

/** The same in ranks of four significant digits, which are smaller where values differ by decades; null if one has more. */
export function rounded({ scale, integers }: Scaled): Scaled | null {
  const { decimals, base, step } = scale;
  const ranks = new Float64Array(integers.length);
  for (let index = 0; index < integers.length; index++) {
    const whole = base + step * (integers[index] ?? 0);
    const rank = rankOf(whole);
    if (!Number.isInteger(rank) || wholeOf(rank) !== whole) return null;
    ranks[index] = rank;
  }
  return divided(ranks, decimals, true);
}

/** Makes `wholes` differences to the first one, in units of their common divisor. */
function divided(wholes: Float64Array, decimals: number, isRounded: boolean): Scaled | null {
  const base = wholes[0] ?? 0;
  let step = 0;
  for (let index = 0; index < wholes.length; index++) {
    const difference = (wholes[index] ?? 0) - base;
    if (difference > WHOLE_MAX || difference < -WHOLE_MAX) return null;
    wholes[index] = difference;
    if (step !== 1 && Math.round(difference / step) * step !== difference)
      step = commonDivisor(step, Math.abs(difference));
  }
  if (step === 0) step = 1;
  for (let index = 0; index < wholes.length; index++) {
    const integer = (wholes[index] ?? 0) / step;
    if (integer > INTEGER_MAX || integer < -INTEGER_MAX) return null;
    wholes[index] = integer;
  }
  return { scale: { decimals, isRounded, base, step }, integers: wholes };
}

/** The value of an integer; NaN where no writer's integer is. */
export function unscaled(integer: number, { decimals, isRounded, base, step }: Scale): number {
  const sum = base + integer * step;
  const whole = isRounded ? wholeOf(sum) : sum;
  return whole <= WHOLE_MAX && whole >= -WHOLE_MAX ? toValue(whole, decimals) : Number.NaN;
}
