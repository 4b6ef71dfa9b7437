import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Frame, HOST, seriesKey } from "../../../worker/model/telemetry/frame.ts";
import { lastValues, layoutOf, readLive, writeLiveFrame } from "../../../worker/model/telemetry/live.ts";
import { anyBatches, joined, samplesOf, written } from "./any-live.ts";
import { METRICS, VM_A, VM_B } from "./any-packed.ts";

const SEED = 20_261_126;
const ALL = (): boolean => true;
const T0 = 1_795_399_200_000;

const frame = (times: number[], columns: [entity: string, metric: string, values: number[]][]): Frame => ({
  times,
  columns: columns.map(([entity, metric, values]) => ({ entity, metric, values: Float64Array.from(values) })),
});

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64");

describe("live frames", () => {
  test("are read back bit for bit: series that change, gaps at every place, values before known or forgotten", () => {
    fc.assert(
      fc.property(anyBatches, (batches) => {
        const frames = batches.map((batch) => batch.frame);
        const read = readLive(joined(written(batches)), ALL);
        expect(read.times).toEqual(frames.flatMap(({ times }) => times));
        expect(samplesOf([read])).toEqual(samplesOf(frames));
      }),
      { seed: SEED, numRuns: 1500 },
    );
  });

  test("leave out series without a value, and keep the order of the others", () => {
    fc.assert(
      fc.property(anyBatches, ([batch]) => {
        if (batch === undefined) return;
        const { times, columns } = batch.frame;
        const kept = columns.filter(({ values }) => values.some((value) => !Number.isNaN(value)));
        expect(readLive(joined(written([batch])), ALL)).toEqual({ times, columns: kept });
      }),
      { seed: SEED },
    );
  });

  test("give of wanted series what they give of all", () => {
    const keys = ["", VM_A, VM_B].flatMap((entity) => METRICS.map((metric) => seriesKey(entity, metric)));
    fc.assert(
      fc.property(anyBatches, fc.subarray(keys), (batches, wanted) => {
        const read = readLive(joined(written(batches)), (entity, metric) => wanted.includes(seriesKey(entity, metric)));
        const all = samplesOf(batches.map((batch) => batch.frame));
        expect(samplesOf([read])).toEqual(all.filter(([key]) => wanted.includes(key)));
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test("are multiples of three bytes, hence their base64 texts joined are that of the frames joined", () => {
    fc.assert(
      fc.property(anyBatches, (batches) => {
        const parts = written(batches);
        expect(parts.every(({ length }) => length % 3 === 0)).toBe(true);
        expect(parts.map(base64).join("")).toBe(base64(joined(parts)));
      }),
      { seed: SEED },
    );
  });

  test("are the same bytes for the same samples", () => {
    fc.assert(
      fc.property(anyBatches, (batches) => {
        expect(written(batches)).toEqual(written(batches));
      }),
      { seed: SEED },
    );
  });

  test("of which there are none are empty", () => {
    expect(readLive(new Uint8Array(), ALL)).toEqual({ times: [], columns: [] });
  });

  test("keep a time of 0 and the last one that JavaScript has", () => {
    const batch = frame([0, 8_640_000_000_000_000], [[HOST, "a", [1, 2]]]);
    expect(readLive(writeLiveFrame(batch, layoutOf(batch.columns), true), ALL)).toEqual(batch);
  });

  test("that say a sample again: the later one stands, its gaps do not", () => {
    const first = frame([T0, T0 + 2], [[HOST, "a", [1, 2]]]);
    const second = frame([T0 + 1, T0 + 2, T0 + 3], [[HOST, "a", [5, Number.NaN, 7]]]);
    const third = frame([T0], [[HOST, "a", [9]]]);
    const all = [first, second, third].map((each) => ({ frame: each, isRemembered: true }));
    expect(readLive(joined(written(all)), ALL)).toEqual(
      frame([T0, T0 + 1, T0 + 2, T0 + 3], [[HOST, "a", [9, 5, 2, 7]]]),
    );
  });

  test("are no longer where the values before are known", () => {
    const values = Array.from({ length: 4 }, (_, row) => 8_000_000_000 + 4096 * row);
    const batch = frame(
      values.map((_, row) => T0 + row),
      [
        [HOST, "memory_used_bytes", values],
        [HOST, "power_watts", [0.1, 0.1, 0.1, 0.1]],
      ],
    );
    const layout = layoutOf(batch.columns);
    const named = writeLiveFrame(batch, layout, true).length;
    const unnamed = writeLiveFrame(batch, layout, false).length;
    const relative = writeLiveFrame(batch, layout, false, Float64Array.of(8_000_000_000, 0.1)).length;
    expect(named).toBeGreaterThan(unnamed);
    expect(unnamed).toBeGreaterThan(relative);
  });
});

describe("values before", () => {
  /** Three frames of one series, of which the second is read only for its end. */
  const readBack = (parts: number[][]): number[] => {
    let time = T0;
    const batches = parts.map((values) => ({
      frame: frame(
        values.map(() => (time += 1)),
        [[VM_A, "a", values]],
      ),
      isRemembered: true,
    }));
    const [column] = readLive(joined(written(batches)), ALL).columns;
    return Array.from(column?.values ?? []);
  };

  test.each<[string, number[][]]>([
    ["that stand before gaps at the end of a frame", [[5, Number.NaN], [5], [6]]],
    ["that stand before a frame of gaps alone", [[5], [Number.NaN, Number.NaN], [5, 5]]],
    ["that there are none of yet", [[Number.NaN], [5], [5]]],
    ["with decimals that those after have not", [[0.123], [1e15, 1e15 + 1], [0.123]]],
    ["that no decimals hold", [[1 / 3], [1 / 3, 1 / 3], [1, 2], [1 / 3]]],
    ["that are too large to go on from", [[2 ** 53 + 2], [1, 2], [-(2 ** 53)], [2 ** 51 - 1], [-(2 ** 51) + 1]]],
    ["of 0, which may be -0", [[0], [-0], [0, -0], [-0], [-0, -0], [0, 0]]],
    ["that are the same, with a gap between", [[7], [7, Number.NaN, 7], [7]]],
    ["of fewer zeros at the end than those after", [[4096 * 3], [4096 * 8, 4096 * 16], [1, 4096 * 16]]],
    ["at the ends of float64", [[1e308], [1e308], [-Number.MAX_VALUE], [5e-324], [5e-324, -5e-324]]],
  ])("%s", (_, parts) => {
    expect(readBack(parts)).toEqual(parts.flat());
  });

  test("are the last of each column, or those from before where a column has none", () => {
    const { columns } = frame(
      [1, 2],
      [
        ["", "a", [1, 2]],
        ["", "b", [3, Number.NaN]],
        ["", "c", [Number.NaN, Number.NaN]],
        ["", "d", [Number.NaN, -0]],
      ],
    );
    expect(lastValues(null, columns)).toEqual(Float64Array.of(2, 3, Number.NaN, -0));
    expect(lastValues(Float64Array.of(9, 9, 8, 9), columns)).toEqual(Float64Array.of(2, 3, 8, -0));
  });
});

describe("a layout", () => {
  test("has a key of its own for every order of series", () => {
    const a = { entity: VM_A, metric: "a" };
    const b = { entity: VM_A, metric: "b" };
    const host = { entity: HOST, metric: "a" };
    const orders = [[a], [b], [host], [a, b], [b, a], [host, a, b], [a, host, b], [{ entity: VM_B, metric: "a" }]];
    expect(new Set(orders.map((series) => layoutOf(series).key)).size).toBe(orders.length);
    expect(layoutOf([a, b])).toEqual(layoutOf([{ ...a }, { ...b }]));
  });

  test("names metrics of the catalogue by their number, and entities once for a run of theirs", () => {
    const series = ["cpu_used_cores", "power_watts", "own"].map((metric) => ({ entity: VM_A, metric }));
    const uuid = VM_A.replaceAll("-", "");
    expect(Buffer.from(layoutOf(series).names).toString("hex")).toBe(`0101${uuid}03010900036f776e`);
    expect(Buffer.from(layoutOf([{ entity: HOST, metric: "cpu_used_cores" }]).names).toString("hex")).toBe("01000101");
  });
});

describe("live frames of version 1", () => {
  type Golden = {
    hex: string[];
    frames: { times: number[]; columns: { entity: string; metric: string; values: (number | null)[] }[] }[];
  };
  const golden = JSON.parse(readFileSync("test/golden/telemetry/live-v1.json", "utf8")) as Golden;
  const frames = golden.frames.map(({ times, columns }) =>
    frame(
      times,
      columns.map(({ entity, metric, values }) => [entity, metric, values.map((value) => value ?? Number.NaN)]),
    ),
  );

  test("stay readable: the golden frames, of which the second goes on from the first", () => {
    const parts = written(frames.map((each) => ({ frame: each, isRemembered: true })));
    expect(parts.map((part) => Buffer.from(part).toString("hex"))).toEqual(golden.hex);
    const read = readLive(Buffer.from(golden.hex.join(""), "hex"), ALL);
    expect(read.times).toEqual(frames.flatMap(({ times }) => times));
    expect(samplesOf([read])).toEqual(samplesOf(frames));
  });

  test("are those that FORMAT.md shows byte for byte", () => {
    const text = readFileSync("worker/model/telemetry/FORMAT.md", "utf8");
    const table = text.slice(text.indexOf("| live bytes | are |"), text.indexOf("## Packed frames"));
    const shown = table
      .split("\n")
      .map((line) => Array.from((line.split("|")[1] ?? "").matchAll(/`([0-9a-f]+)`/g), (match) => match[1]).join(""))
      .join("");
    expect(shown).toBe(golden.hex.join(""));
  });
});
