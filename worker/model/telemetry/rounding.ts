// Rounding to significant decimal digits, several times faster than through text.

/** Powers of ten up to 10^22 are exact as float64, hence one multiplication or division by them rounds once. */
const POWERS = Float64Array.from({ length: 23 }, (_, exponent) => Number(`1e${exponent}`));
const EXPONENT_MAX = 22;

/** So close to a tie the scaled value's own rounding error could decide. */
const TIE = 1e-6;

/**
 * `Number(value.toPrecision(digits))` for 1 to 9 digits and any finite value. Never falls where `value` rises, so that
 * rounding keeps the order of figures.
 */
export function roundDigits(value: number, digits: number): number {
  if (value === 0) return value;
  const size = Math.abs(value);
  // A logarithm that is off by a rounding error only matters right at a power of ten, where both scales give the same.
  const shift = digits - 1 - Math.floor(Math.log10(size));
  if (shift > EXPONENT_MAX || shift < -EXPONENT_MAX) return Number(value.toPrecision(digits));
  const power = POWERS[shift < 0 ? -shift : shift] ?? 1;
  const scaled = shift < 0 ? size / power : size * power;
  const whole = Math.floor(scaled + 0.5);
  // `whole` lies within half a unit; at the other end of it is a tie.
  if (Math.abs(Math.abs(scaled - whole) - 0.5) < TIE) return Number(value.toPrecision(digits));
  const rounded = shift < 0 ? whole * power : whole / power;
  return value < 0 ? -rounded : rounded;
}
