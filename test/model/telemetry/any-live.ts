// Frames appended one after the other, as batches of a host are: of changing series, remembered or not.
import fc from "fast-check";
import { type Frame, seriesKey } from "../../../worker/model/telemetry/frame.ts";
import {
  type LastValues,
  lastValues,
  type LiveLayout,
  layoutOf,
  writeLiveFrame,
} from "../../../worker/model/telemetry/live.ts";
import { anyValue, anyValues, METRICS, VM_A, VM_B } from "./any-packed.ts";

/** `isRemembered`: whether the writer still knows the values that the frame before ends with. */
export type Batch = { frame: Frame; isRemembered: boolean };

const anySeries = fc.uniqueArray(
  fc.record({ entity: fc.constantFrom("", VM_A, VM_B), metric: fc.constantFrom(...METRICS) }),
  { selector: ({ entity, metric }) => seriesKey(entity, metric), minLength: 1, maxLength: 8 },
);

const finite = (value: number): number => (Math.abs(value) === Infinity ? 0 : value);

/** One value all along or with gaps, or with another one at a single place. */
const anyStill = (length: number): fc.Arbitrary<number[]> =>
  fc
    .tuple(anyValue, fc.nat(length), anyValue, fc.integer({ min: 2, max: 12 }), fc.boolean())
    .map(([value, place, other, stride, hasGaps]) =>
      Array.from({ length }, (_, index) => {
        if (hasGaps && index % stride === 1) return Number.NaN;
        return index === place ? other : value;
      }),
    );

/** Series run on over the frames, some of which hold only a part of them. */
export const anyBatches: fc.Arbitrary<Batch[]> = fc
  .tuple(
    fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 6 }),
    anySeries,
    fc.integer({ min: 0, max: 2 ** 43 }),
    fc.constantFrom(1, 15_000, 3_600_000),
  )
  .chain(([lengths, series, start, step]) => {
    const total = lengths.reduce((sum, length) => sum + length, 0);
    const columns = fc.tuple(...series.map(() => fc.oneof(anyValues(total), anyStill(total))));
    const frames = lengths.map(() =>
      fc.record({
        isPart: fc.constantFrom(false, false, false, true),
        isRemembered: fc.constantFrom(true, true, false),
      }),
    );
    return fc
      .tuple(columns, fc.subarray([...series.keys()], { minLength: 1 }), fc.tuple(...frames))
      .map(([values, part, kinds]) => {
        let from = 0;
        return lengths.map((length, index) => {
          const [first, to] = [from, from + length];
          from = to;
          const { isPart = false, isRemembered = false } = kinds[index] ?? {};
          const places = isPart ? part : [...series.keys()];
          const frame: Frame = {
            times: Array.from({ length }, (_, row) => start + (first + row) * step),
            columns: places.map((place) => ({
              entity: series[place]?.entity ?? "",
              metric: series[place]?.metric ?? "",
              values: Float64Array.from((values[place] ?? []).slice(first, to), finite),
            })),
          };
          return { frame, isRemembered };
        });
      });
  });

/** The frames as an open chunk gets them: named where the series change, relative where the values before are remembered. */
export function written(batches: readonly Batch[]): Uint8Array[] {
  let layout: LiveLayout | null = null;
  let last: LastValues | null = null;
  return batches.map(({ frame, isRemembered }) => {
    const next = layoutOf(frame.columns);
    const isNamed = next.key !== layout?.key;
    const before = isNamed || !isRemembered ? null : last;
    layout = next;
    last = lastValues(before, frame.columns);
    return writeLiveFrame(frame, next, isNamed, before);
  });
}

export function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** What frames say, sample by sample: series, time, value; gaps say nothing. */
export const samplesOf = (frames: readonly Frame[]): [key: string, time: number, value: number][] =>
  frames
    .flatMap(({ times, columns }) =>
      columns.flatMap(({ entity, metric, values }) =>
        Array.from(values, (value, row): [string, number, number] => [
          seriesKey(entity, metric),
          times[row] ?? -1,
          value,
        ]),
      ),
    )
    .filter(([, , value]) => !Number.isNaN(value))
    .toSorted(([keyA, timeA], [keyB, timeB]) => (keyA === keyB ? timeA - timeB : keyA < keyB ? -1 : 1));
