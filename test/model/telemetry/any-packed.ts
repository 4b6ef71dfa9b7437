// Packed contents of every shape, for the properties of their codec.
import fc from "fast-check";
import type { PackedContent } from "../../../worker/model/telemetry/packed/frame.ts";

export const VM_A = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
export const VM_B = "f0000000-0000-4000-8000-000000000001";

const anyFloat = fc.double({ noNaN: true, noDefaultInfinity: true });

export const anyValue = fc.oneof(
  anyFloat,
  fc.maxSafeInteger(),
  fc.integer({ min: -3, max: 3 }),
  fc.integer({ min: -99_999, max: 99_999 }).map((value) => value / 100),
  fc.integer({ min: -9999, max: 9999 }).chain((digits) => fc.nat(12).map((zeros) => digits * 10 ** zeros)),
  fc.constantFrom(0, -0, 2 ** 53, 2 ** 53 + 2, -(2 ** 53), 1e15, 1e22, 1e23, 1e308, -Number.MAX_VALUE, 5e-324, 1e-22),
);

const repeated = <T>(value: fc.Arbitrary<T>, length: number): fc.Arbitrary<T[]> =>
  fc.array(value, { minLength: length, maxLength: length });

/** A walk: counters, gauges, pages of memory, values that mostly stay. */
const anyWalk = (length: number): fc.Arbitrary<number[]> =>
  fc
    .record({
      start: fc.oneof(fc.maxSafeInteger(), fc.integer({ min: -1000, max: 1000 })),
      step: fc.constantFrom(1, 0.01, 0.5, 512, 4096, 1e9, 0.1 + 0.2),
      moves: repeated(
        fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 40 }), fc.integer({ min: -1e6, max: 1e6 })),
        length,
      ),
    })
    .map(({ start, step, moves }) => {
      let place = start;
      return moves.map((move) => (place += move) * step);
    });

/** Values of one series; NaN: a gap. */
export const anyValues = (length: number): fc.Arbitrary<number[]> =>
  fc.oneof(
    repeated(anyValue, length),
    repeated(anyFloat, length),
    repeated(fc.oneof(anyValue, fc.constant(Number.NaN)), length),
    anyWalk(length),
    anyWalk(length).map((values) => values.map((value, index) => (index % 7 < 2 ? Number.NaN : value))),
    anyValue.map((value) => Array.from({ length }, () => value)),
    fc.constant(Array.from({ length }, () => Number.NaN)),
  );

/** Aggregates that lie about one another, as those of roll-ups do. */
const anyRolled = (length: number, aggregates: number): fc.Arbitrary<number[][]> =>
  fc
    .tuple(anyWalk(length), repeated(fc.nat(50), aggregates))
    .map(([mean, distances]) =>
      distances.map((distance, index) => mean.map((value) => value + (index === 0 ? -distance : distance))),
    );

const anyTimes = fc.oneof(
  fc
    .uniqueArray(fc.integer({ min: 0, max: 2 ** 43 }), { minLength: 1, maxLength: 12 })
    .map((times) => times.toSorted((a, b) => a - b)),
  fc
    .tuple(
      fc.integer({ min: 0, max: 2 ** 41 }),
      fc.array(fc.integer({ min: -2, max: 2 }), { minLength: 1, maxLength: 60 }),
    )
    .map(([start, late]) => late.map((ms, index) => start + 2 + 15_000 * index + ms)),
);

export const METRICS = [
  "cpu_used_cores",
  "memory_used_bytes",
  "latency_seconds",
  "other_metric",
  "other",
  "x:y",
  "Z9_",
  "constructor",
];

/** Contents of one or five aggregates, in any order of columns. */
export const anyContent: fc.Arbitrary<PackedContent> = fc
  .tuple(anyTimes, fc.constantFrom(1, 1, 5))
  .chain(([times, aggregates]) =>
    fc
      .uniqueArray(
        fc.record({
          entity: fc.constantFrom("", VM_A, VM_B),
          metric: fc.constantFrom(...METRICS),
          values: fc
            .oneof(repeated(anyValues(times.length), aggregates), anyRolled(times.length, aggregates))
            .map((series) => series.map((values) => Float64Array.from(values.map(finite)))),
        }),
        { selector: ({ entity, metric }) => `${entity}/${metric}`, maxLength: 10 },
      )
      .map((columns) => ({ times, aggregates, columns })),
  );

const finite = (value: number): number => (Math.abs(value) === Infinity ? 0 : value);

/** Series by key, for comparison: -0 is not 0, NaN is NaN. */
export const seriesOf = ({ columns }: PackedContent): Record<string, number[][]> =>
  Object.fromEntries(
    columns.map(({ entity, metric, values }) => [`${entity}/${metric}`, values.map((series) => Array.from(series))]),
  );
