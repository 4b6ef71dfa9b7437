// JSON written as bytes: tens of thousands of numbers take a fraction of what they take as strings.

const encoder = new TextEncoder();
const MINUS = 45;
const POINT = 46;
const ZERO = 48;
const POWERS = [1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6] as const;
/** Whole numbers up to here are exact, and so is every digit of them. */
const EXACT_MAX = 2 ** 53 - 1;
/** No number is longer. */
const NUMBER_CHARS_MAX = 32;

export type JsonBytes = {
  /** A few bytes as they are. */
  raw: (bytes: Uint8Array) => void;
  /** Many bytes as they are. */
  block: (bytes: Uint8Array) => void;
  /** Text as it is. */
  text: (text: string) => void;
  /** A number that `JSON.parse` reads as the same one; null where it is not finite. */
  number: (value: number) => void;
  /** What was written; nothing may be written after it. */
  take: () => Uint8Array<ArrayBuffer>;
};

export function createJsonBytes(sizeExpected: number): JsonBytes {
  let bytes = new Uint8Array(sizeExpected);
  let at = 0;
  const room = (more: number): void => {
    if (at + more <= bytes.length) return;
    const larger = new Uint8Array(Math.max(bytes.length * 2, at + more));
    larger.set(bytes.subarray(0, at));
    bytes = larger;
  };
  const text = (value: string): void => {
    room(value.length * 3);
    at += encoder.encodeInto(value, bytes.subarray(at)).written;
  };
  return {
    text,
    raw: (more) => {
      room(more.length);
      const to = bytes;
      const start = at;
      // For a few bytes faster than `set`.
      for (let index = 0; index < more.length; index++) to[start + index] = more[index] as number;
      at = start + more.length;
    },
    block: (more) => {
      room(more.length);
      bytes.set(more, at);
      at += more.length;
    },
    number: (value) => {
      room(NUMBER_CHARS_MAX);
      const end = writeDecimal(bytes, at, value);
      if (end === at) text(Number.isFinite(value) ? String(value) : "null");
      else at = end;
    },
    take: () => bytes.subarray(0, at),
  };
}

/**
 * Writes a number that has at most six decimals, and gives the end of it; the same place where it has more. A whole number and
 * a power of ten are exact, hence their quotient is the float64 next to the decimal that is written.
 */
function writeDecimal(bytes: Uint8Array, start: number, value: number): number {
  const size = Math.abs(value);
  for (let decimals = 0; decimals < POWERS.length; decimals++) {
    const power = POWERS[decimals] ?? 1;
    const scaled = Math.round(size * power);
    if (!(scaled <= EXACT_MAX)) return start;
    if (scaled / power !== size) continue;
    let at = start;
    if (value < 0) bytes[at++] = MINUS;
    const whole = Math.floor(size);
    at = writeDigits(bytes, at, whole, digitsOf(whole));
    if (decimals === 0) return at;
    bytes[at] = POINT;
    return writeDigits(bytes, at + 1, scaled - whole * power, decimals);
  }
  return start;
}

function digitsOf(whole: number): number {
  let digits = 1;
  for (let power = 10; power <= whole; power *= 10) digits += 1;
  return digits;
}

function writeDigits(bytes: Uint8Array, at: number, whole: number, digits: number): number {
  let rest = whole;
  for (let place = at + digits - 1; place >= at; place--) {
    const next = Math.floor(rest / 10);
    bytes[place] = ZERO + (rest - next * 10);
    rest = next;
  }
  return at + digits;
}
