import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Frame, HOST, sliceFrame } from "../../../worker/model/telemetry/frame.ts";
import { advance, type Known, latestOf, NOTHING_KNOWN, placeColumns } from "../../../worker/model/telemetry/known.ts";
import { rebuildKnown } from "../../../worker/model/telemetry/rebuild.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const HOUR = 3_600_000;
const NOW = 1_795_399_200_000;
const NO_CURVES: Known["curves"] = new Map();

const everything = (known: Known) => latestOf(known, () => true);

/** As the write path does it: each part when its last sample has come. */
function batchByBatch(frames: readonly Frame[]): Known {
  let known = NOTHING_KNOWN;
  for (const frame of frames) {
    const placed = placeColumns(known, frame.columns, frame.times.at(-1) ?? NOW);
    known = advance(placed.known, frame, placed.places, 0);
  }
  return known;
}

/** A frame cut in two at every one of these times; series that are left without a sample do not come with the part. */
function cut(frame: Frame, at: readonly number[]): Frame[] {
  const borders = [-Infinity, ...at.toSorted((a, b) => a - b), Infinity];
  return borders
    .slice(1)
    .map((to, index) => sliceFrame(frame, borders[index] ?? 0, to))
    .filter(({ times }) => times.length > 0)
    .map(({ times, columns }) => ({
      times,
      columns: columns.filter(({ values }) => values.some((value) => !Number.isNaN(value))),
    }));
}

const SPAN = 5 * HOUR;
const anyTime = fc.integer({ min: NOW - SPAN, max: NOW - 1 });
const anyValue = fc.oneof(fc.constant(Number.NaN), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.nat(9));
const anyFrame: fc.Arbitrary<Frame> = fc.uniqueArray(anyTime, { minLength: 1, maxLength: 40 }).chain((times) =>
  fc
    .array(fc.array(anyValue, { minLength: times.length, maxLength: times.length }), { minLength: 3, maxLength: 3 })
    .map(([a = [], b = [], c = []]): Frame => ({
      times: times.toSorted((x, y) => x - y),
      columns: [
        { entity: HOST, metric: "cpu_used_cores", values: Float64Array.from(a) },
        { entity: VM, metric: "cpu_used_cores", values: Float64Array.from(b) },
        { entity: VM, metric: "custom", values: Float64Array.from(c) },
      ],
    })),
);

describe("latest values and averages made anew from stored samples", () => {
  test("are those that were advanced batch by batch, into whatever batches and hours samples were split", () => {
    fc.assert(
      fc.property(anyFrame, fc.array(anyTime, { maxLength: 8 }), fc.array(anyTime, { maxLength: 5 }), (frame, a, b) => {
        const rebuilt = rebuildKnown(cut(frame, b), NO_CURVES, NOW);
        expect(everything(rebuilt)).toEqual(everything(batchByBatch(cut(frame, a))));
      }),
      { seed: 41, numRuns: 500 },
    );
  });

  test("need three hours only for the average", () => {
    const times = Array.from({ length: 6 * 240 }, (_, index) => NOW - 6 * HOUR + index * 15_000);
    const values = Float64Array.from(times, (_, index) => 5 + Math.sin(index) + Math.sin(index / 400));
    const frame: Frame = { times, columns: [{ entity: HOST, metric: "cpu_used_cores", values }] };
    const recent = sliceFrame(frame, NOW - 3 * HOUR, NOW);
    expect(everything(rebuildKnown([recent], NO_CURVES, NOW))).toEqual(
      everything(rebuildKnown([frame], NO_CURVES, NOW)),
    );
  });

  test("hold no series that was not renewed for 24 h or never had a sample", () => {
    const column = (metric: string, value: number) => ({ entity: HOST, metric, values: Float64Array.of(value) });
    const old: Frame = { times: [NOW - 24 * HOUR - 1], columns: [column("a", 1), column("b", 1)] };
    const recent: Frame = { times: [NOW - 24 * HOUR], columns: [column("b", 2), column("c", Number.NaN)] };
    const { series } = rebuildKnown([old, recent], NO_CURVES, NOW);
    expect(series).toEqual([{ entity: HOST, metric: "b" }]);
    expect(rebuildKnown([], NO_CURVES, NOW)).toEqual(NOTHING_KNOWN);
  });

  test("take over the dirty curves that are not older than 24 h", () => {
    const curve = (at: number): DirtyCurveReport => ({ at, method: "dirty-ring", points: [[1000, 5]] });
    const other = "f0000000-0000-4000-8000-000000000001";
    const curves = new Map([
      [VM, curve(NOW - HOUR)],
      [other, curve(NOW - 25 * HOUR)],
    ]);
    expect([...rebuildKnown([], curves, NOW).curves.keys()]).toEqual([VM]);
  });
});
