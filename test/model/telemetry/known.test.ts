import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Frame, HOST, sliceFrame } from "../../../worker/model/telemetry/frame.ts";
import {
  advance,
  advanceCurves,
  curvesSchema,
  formatLayout,
  formatReadings,
  hasForgotten,
  type Known,
  latestOf,
  latestSchema,
  NOTHING_KNOWN,
  parseLayout,
  parseReadings,
  placeColumns,
  type SeriesName,
} from "../../../worker/model/telemetry/known.ts";
import type { DirtyCurveReport } from "../../../worker/model/wire/telemetry.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const NOW = 1_795_399_200_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

type Samples = [msFromNow: number, value: number][];

const frameOf = (metric: string, samples: Samples, entity = HOST): Frame => ({
  times: samples.map(([offset]) => NOW + offset),
  columns: [{ entity, metric, values: Float64Array.from(samples, ([, value]) => value) }],
});

/** `known` after a frame. */
function afterFrame(known: Known, frame: Frame, now = NOW): Known {
  const placed = placeColumns(known, frame.columns, now);
  return advance(placed.known, frame, placed.places, 0);
}
const after = (known: Known, metric: string, samples: Samples, entity = HOST, now = NOW): Known =>
  afterFrame(known, frameOf(metric, samples, entity), now);

const everything = (known: Known) => latestOf(known, () => true);

const curve = (at: number, points: DirtyCurveReport["points"] = [[1000, 5]]): DirtyCurveReport => ({
  at,
  method: "dirty-ring",
  points,
});

/** As it is after it was stored and read. */
function stored(known: Known): Known {
  const series = parseLayout(formatLayout(known.series));
  const curves = curvesSchema.parse(JSON.parse(JSON.stringify(Object.fromEntries(known.curves))));
  return {
    series,
    ...parseReadings(formatReadings(known), series.length),
    curves: new Map(Object.entries(curves)),
  };
}

describe("latest values", () => {
  test("the first sample is its own average; after one half-life the average is half-way to the new value", () => {
    const first = after(NOTHING_KNOWN, "cpu_used_cores", [[0, 8]]);
    expect(everything(first).host).toEqual({ cpu_used_cores: [NOW, 8, 8] });
    expect(everything(after(first, "cpu_used_cores", [[5 * MINUTE, 4]])).host).toEqual({
      cpu_used_cores: [NOW + 5 * MINUTE, 4, 6],
    });
  });

  test("the average does not depend on how often an unchanging value is sampled", () => {
    const start = after(NOTHING_KNOWN, "cpu_used_cores", [[0, 8]]);
    const often = Array.from({ length: 40 }, (_, index): [number, number] => [(index + 1) * 15_000, 4]);
    const [, , sampledOften] = everything(after(start, "cpu_used_cores", often)).host["cpu_used_cores"] ?? [];
    expect(sampledOften).toBeCloseTo(5, 4);
  });

  test("an older sample changes nothing, one of the same time corrects the value, a gap is no sample", () => {
    const known = after(NOTHING_KNOWN, "a", [[0, 1]]);
    expect(after(known, "a", [[-1, 9]])).toEqual(known);
    expect(after(known, "a", [[1, Number.NaN]])).toEqual(known);
    expect(everything(after(known, "a", [[0, 9]])).host).toEqual({ a: [NOW, 9, 1] });
  });

  test("follow a frame from a row on, and what has no place is left aside", () => {
    const frame = frameOf("a", [
      [0, 1],
      [1, 2],
      [2, Number.NaN],
    ]);
    const { known, places } = placeColumns(NOTHING_KNOWN, frame.columns, NOW);
    expect(everything(advance(known, frame, places, 1)).host).toEqual({ a: [NOW + 1, 2, 2] });
    expect(advance(known, frame, places, 2)).toEqual(known);
    expect(advance(known, frame, Int32Array.of(-1), 0)).toEqual(known);
  });

  test("are copied, not changed in place", () => {
    const known = after(NOTHING_KNOWN, "a", [[0, 1]]);
    after(known, "a", [[1, 9]]);
    expect(everything(known).host).toEqual({ a: [NOW, 1, 1] });
  });

  test("are told for the wanted series; one that was never read is none", () => {
    const known = after(after(NOTHING_KNOWN, "a", [[0, 1]]), "b", [[0, 2]], VM);
    const { known: grown } = placeColumns(known, [{ entity: HOST, metric: "c" }], NOW);
    expect(latestOf(grown, (entity) => entity === HOST)).toEqual({ host: { a: [NOW, 1, 1] }, vms: {} });
    expect(latestOf(grown, (_, metric) => metric === "b")).toEqual({
      host: {},
      vms: { [VM]: { metrics: { b: [NOW, 2, 2] } } },
    });
    expect(latestOf(grown, (_, metric) => metric === "c")).toEqual({ host: {}, vms: {} });
  });

  test("fit the API's schema, names of Object's own members included", () => {
    const known = after(after(NOTHING_KNOWN, "constructor", [[0, 1.5]]), "toString", [[0, -1e308]], VM);
    const later = { ...after(known, "toString", [[1, 1e308]], VM), curves: new Map([[VM, curve(NOW)]]) };
    const latest = everything(later);
    expect(latestSchema.parse(JSON.parse(JSON.stringify(latest)))).toEqual(latest);
    expect(latest.vms[VM]?.curve?.at).toBe(NOW);
    expect(latest.vms[VM]?.metrics["toString"]?.slice(0, 2)).toEqual([NOW + 1, 1e308]);
    expect(everything(after(later, "constructor", [[1, 2]])).host["constructor"]?.[1]).toBe(2);
  });
});

const anyValue = fc.oneof(
  fc.constant(Number.NaN),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.double({ min: 0, max: 100, noNaN: true }),
);
const anySamples = fc
  .uniqueArray(fc.tuple(fc.integer({ min: -2 * HOUR, max: 0 }), anyValue), { maxLength: 40, selector: ([at]) => at })
  .map((samples) => samples.toSorted(([a], [b]) => a - b));

describe("the moving average", () => {
  test("is the same, bit for bit, into whatever batches samples are split", () => {
    fc.assert(
      fc.property(anySamples, fc.array(fc.integer({ min: -2 * HOUR, max: 0 }), { maxLength: 8 }), (samples, cuts) => {
        const frame = frameOf("a", samples);
        const borders = [-Infinity, ...cuts.toSorted((a, b) => a - b), Infinity];
        const parts = borders.slice(1).map((to, i) => sliceFrame(frame, NOW + (borders[i] ?? 0), NOW + to));
        expect(parts.reduce((known, part) => stored(afterFrame(known, part)), NOTHING_KNOWN)).toEqual(
          afterFrame(NOTHING_KNOWN, frame),
        );
      }),
      { seed: 63, numRuns: 500 },
    );
  });

  test("follows a + (1 - 2^(-Δt / 5 min)) · (v - a) and stays finite", () => {
    const anyFigure = fc.double({ min: 0.01, max: 1000, noNaN: true });
    const anyOfThem = fc.array(fc.tuple(fc.integer({ min: 1, max: 20 * MINUTE }), anyFigure), { minLength: 1 });
    fc.assert(
      fc.property(anyOfThem, (steps) => {
        let at = 0;
        const samples = steps.map(([ms, value]): [number, number] => [(at += ms), value]);
        let average = samples[0]?.[1] ?? 0;
        steps.slice(1).forEach(([ms, value]) => (average += (1 - 2 ** (-ms / (5 * MINUTE))) * (value - average)));
        const [kept = 0] = after(NOTHING_KNOWN, "a", samples).averages;
        expect(Math.abs(kept - average)).toBeLessThanOrEqual(1e-5 * average);
      }),
      { seed: 64, numRuns: 300 },
    );
    const { averages } = after(NOTHING_KNOWN, "a", [
      [0, Number.MAX_VALUE],
      [1, -Number.MAX_VALUE],
    ]);
    expect(averages[0]).toSatisfy(Number.isFinite);
  });
});

describe("places of columns", () => {
  const names = (...metrics: string[]): SeriesName[] => metrics.map((metric) => ({ entity: HOST, metric }));

  test("are those the series have, new ones come at the end", () => {
    const known = after(after(NOTHING_KNOWN, "a", [[0, 1]]), "b", [[0, 2]]);
    const placed = placeColumns(known, names("c", "b"), NOW);
    expect([...placed.places]).toEqual([2, 1]);
    expect(placed.known.series).toEqual(names("a", "b", "c"));
    expect(everything(placed.known)).toEqual(everything(known));
  });

  test("leave `known` as it is where nothing is new or forgotten, so that alternating senders do not move it", () => {
    const known = after(after(NOTHING_KNOWN, "a", [[0, 1]]), "b", [[0, 2]]);
    expect(placeColumns(known, names("b"), NOW).known).toBe(known);
    expect(placeColumns(known, names("a"), NOW).known).toBe(known);
  });

  test("are given up 24 h after the last sample, and a VM with its last one", () => {
    const known = after(after(NOTHING_KNOWN, "a", [[0, 1]]), "a", [[0, 1]], VM);
    expect(hasForgotten(known, NOW + 24 * HOUR)).toBe(false);
    expect(everything(placeColumns(known, [], NOW + 24 * HOUR).known)).toEqual(everything(known));
    expect(hasForgotten(known, NOW + 24 * HOUR + 1)).toBe(true);
    const later = placeColumns(known, names("a"), NOW + 24 * HOUR + 1);
    expect(later.known.series).toEqual(names("a"));
    expect(everything(later.known)).toEqual({ host: {}, vms: {} });
    expect(hasForgotten(later.known, NOW + 24 * HOUR + 1)).toBe(false);
  });

  test("are so many that all fits a row: what does not is left out, the catalogue apart from the rest", () => {
    const uuid = (index: number): string => `f0000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
    const of = (entities: number, metrics: string[]): SeriesName[] =>
      Array.from({ length: entities }, (_, i) => metrics.map((metric) => ({ entity: uuid(i), metric }))).flat();
    const others = of(
      2000,
      Array.from({ length: 10 }, (_, index) => `${"x".repeat(120)}${index}`),
    );
    const catalogue = of(7000, ["cpu_used_cores", "memory_used_bytes"]);
    const { known, places } = placeColumns(NOTHING_KNOWN, [...others, ...catalogue], NOW);
    expect(places.slice(0, 20_000).filter((place) => place !== -1)).toHaveLength(4000);
    expect(places.slice(20_000).filter((place) => place !== -1)).toHaveLength(12_000);
    expect(places[20_000]).toBe(4000);
    expect(known.series).toHaveLength(16_000);
    const times = { ...known, times: Float64Array.from(known.times, (_, index) => NOW + index) };
    expect(formatLayout(known.series).length + formatReadings(times).length).toBeLessThan(1_000_000);
    // As unlike as they can be.
    const apart = known.series.map((_, index) => ({
      entity: uuid(index),
      metric: index < 4000 ? String(index).padStart(128, "x") : "memory_working_set_bytes",
    }));
    expect(formatLayout(apart).length + formatReadings(times).length).toBeLessThan(1_700_000);
  });
});

describe("dirty curves", () => {
  const OTHER_VM = "f0000000-0000-4000-8000-000000000001";
  const NONE: Known["curves"] = new Map();
  const update = (known: Known["curves"], at: number, now = NOW): Known["curves"] =>
    advanceCurves(known, new Map([[VM, curve(at)]]), now);

  test("are the newest of each VM", () => {
    const known = update(NONE, NOW);
    expect(update(known, NOW - 1)).toEqual(known);
    expect(update(known, NOW + 1).get(VM)?.at).toBe(NOW + 1);
    expect(advanceCurves(known, new Map([[OTHER_VM, curve(NOW)]]), NOW).size).toBe(2);
  });

  test("are kept for 24 h, and are the same map as long as nothing changes", () => {
    const known = update(NONE, NOW);
    expect(advanceCurves(known, NONE, NOW + 24 * HOUR)).toBe(known);
    expect(advanceCurves(known, NONE, NOW + 24 * HOUR + 1)).toEqual(NONE);
    expect(advanceCurves(known, new Map([[OTHER_VM, curve(NOW + HOUR)]]), NOW + 25 * HOUR)).toEqual(
      new Map([[OTHER_VM, curve(NOW + HOUR)]]),
    );
  });

  test("are at most as many as fit a row, those that were there first", () => {
    const long = Array.from({ length: 64 }, (_, index): [number, number] => [1e-300 * (Math.PI + index), 1e300 / 3]);
    const uuid = (index: number): string => `f0000000-0000-4000-8000-${String(index).padStart(12, "0")}`;
    const reported = new Map(Array.from({ length: 1000 }, (_, index) => [uuid(index), curve(NOW, long)]));
    const known = advanceCurves(update(NONE, NOW), reported, NOW);
    expect(known.size).toBeGreaterThan(100);
    expect(known.has(VM)).toBe(true);
    expect(JSON.stringify(Object.fromEntries(known)).length).toBeLessThan(400_000);
  });
});

const UUIDS = [HOST, VM, "f0000000-0000-4000-8000-000000000001", "f0000000-0000-4000-8000-000000000002"];
const anySeries = fc.uniqueArray(
  fc.record({
    entity: fc.constantFrom(...UUIDS),
    metric: fc.oneof(fc.constantFrom("cpu_used_cores", "a", "constructor"), fc.stringMatching(/^[a-zA-Z][\w:]{0,20}$/)),
  }),
  { selector: ({ entity, metric }) => `${entity}/${metric}`, maxLength: 20 },
);
const anyTime = fc.oneof(fc.constantFrom(0, NOW), fc.integer({ min: 0, max: NOW }));
const anyFinite = fc.double({ noNaN: true, noDefaultInfinity: true });
const anyKnown: fc.Arbitrary<Known> = anySeries.chain((series) => {
  const each = <T>(one: fc.Arbitrary<T>): fc.Arbitrary<T[]> =>
    fc.array(one, { minLength: series.length, maxLength: series.length });
  return fc
    .record({
      times: fc.oneof(
        each(anyTime),
        anyTime.map((time) => series.map(() => time)),
      ),
      values: each(anyFinite),
      averages: each(fc.float({ noNaN: true, noDefaultInfinity: true })),
    })
    .map(({ times, values, averages }) => ({
      series,
      times: Float64Array.from(times),
      values: Float64Array.from(values),
      averages: Float32Array.from(averages),
      curves: new Map([[VM, curve(NOW)]]),
    }));
});

describe("what is known, stored and read", () => {
  test("is the same", () => {
    fc.assert(
      fc.property(anyKnown, (known) => {
        expect(stored(known)).toEqual(known);
      }),
      { seed: 65, numRuns: 1000 },
    );
  });

  test("takes 12 bytes a series where all were read at one time, 20 where not; VMs share one list of metrics", () => {
    const metrics = ["cpu_used_cores", "memory_used_bytes"];
    const columns = UUIDS.flatMap((entity) =>
      metrics.map((metric) => ({ entity, metric, values: Float64Array.of(1) })),
    );
    const known = afterFrame(NOTHING_KNOWN, { times: [NOW], columns });
    expect(formatReadings(known)).toHaveLength(8 * 12 + 8);
    const mixed = after(known, "cpu_used_cores", [[1, 2]]);
    expect(formatReadings(mixed)).toHaveLength(8 * 20);
    expect(JSON.parse(formatLayout(known.series))).toEqual([[metrics], UUIDS.map((uuid) => [uuid, 0])]);
  });

  test("readings may lie anywhere in their buffer", () => {
    const known = after(NOTHING_KNOWN, "a", [[0, 1.5]]);
    const bytes = formatReadings(known);
    const moved = new Uint8Array(bytes.length + 3);
    moved.set(bytes, 3);
    expect(parseReadings(moved.subarray(3), 1)).toEqual(parseReadings(bytes, 1));
  });

  test("is refused where it is not whole", () => {
    const bytes = formatReadings(after(after(NOTHING_KNOWN, "a", [[0, 1]]), "b", [[1, 2]]));
    expect(() => parseReadings(bytes, 1)).toThrow(RangeError);
    expect(() => parseReadings(bytes, 3)).toThrow(RangeError);
    expect(() => parseReadings(bytes.subarray(1), 2)).toThrow(RangeError);
    expect(() => parseLayout('[[["a"]],[["",1]]]')).toThrow(RangeError);
    expect(() => parseLayout('[[["a"]]]')).toThrow("Too small");
  });
});
