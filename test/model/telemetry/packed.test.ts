import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hostLoad } from "../../../scripts/bench/telemetry/workload.ts";
import { packFrame, type PackedContent } from "../../../worker/model/telemetry/packed/frame.ts";
import { readPacked } from "../../../worker/model/telemetry/packed/read.ts";
import { rollUp } from "../../../worker/model/telemetry/rollup.ts";
import { anyContent, seriesOf, VM_A } from "./any-packed.ts";

const T0 = 1_795_399_200_000;
const ALL = { entities: null, metric: () => true };

function readAll(bytes: Uint8Array): PackedContent {
  const answer = readPacked([{ offset: 0, bytes }], ALL);
  if ("missing" in answer) throw new Error("a whole frame misses nothing");
  return answer.content;
}

const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const fromHex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16));

const column = (values: number[], metric = "cpu_used_cores", entity = ""): PackedContent["columns"][number] => ({
  entity,
  metric,
  values: [Float64Array.from(values)],
});

describe("a packed frame", () => {
  test("is read back bit for bit: nasty floats, gaps, -0, one aggregate or five", () => {
    fc.assert(
      fc.property(anyContent, (content) => {
        const read = readAll(packFrame(content));
        expect(read.times).toEqual(content.times);
        expect(read.aggregates).toBe(content.aggregates);
        expect(seriesOf(read)).toEqual(seriesOf(content));
      }),
      { seed: 20_261_125, numRuns: 1000 },
    );
  });

  test.each<[string, number[]]>([
    ["integers up to 2^53 and past it", [2 ** 53 - 1, 2 ** 53, 2 ** 53 + 2, -(2 ** 53) + 1, 0]],
    ["the ends of float64", [1e308, -1e308, 5e-324, -5e-324, Number.MAX_VALUE, Number.MIN_VALUE]],
    ["-0 among integers", [0, -0, 1, -0]],
    ["-0 alone", [-0, -0]],
    ["large round numbers", [1e22, 3e22, 2e22, 7e22]],
    ["sums that decimals do not hold", [0.1 + 0.2, 0.1, 0.7, 1 / 3]],
    ["decimals with 17 digits between short ones", [0.1, 123_456_789.123_456_7, 0.30000000000000004]],
    ["four digits at every decade", [0.001, 9999, 1234e12, 1e-3, 45_670, -9.999e9]],
    ["differences over 2^53", [Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER, -2, 3]],
    ["nine quadrillion and one, which looks round", [9_000_000_000_000_001, 9_000_000_000_000_000, 1]],
  ])("keeps %s", (_, values) => {
    const times = values.map((_value, index) => T0 + index);
    for (const aggregates of [1, 5]) {
      const series = Array.from({ length: aggregates }, () => Float64Array.from(values));
      const columns = [{ entity: "", metric: "x", values: series }];
      expect(seriesOf(readAll(packFrame({ times, aggregates, columns })))[`/x`]).toEqual(
        series.map((each) => Array.from(each)),
      );
    }
  });

  test("is the same bytes whatever the order of its columns", () => {
    fc.assert(
      fc.property(anyContent, (content) => {
        expect(packFrame({ ...content, columns: content.columns.toReversed() })).toEqual(packFrame(content));
      }),
      { seed: 20_261_125 },
    );
  });

  test("stands in its order: the host, VMs by uuid, metrics by number and then by name", () => {
    const values = [Float64Array.of(1)];
    const keys = ["/cpu_used_cores", "/latency_seconds", "/a", "/b", `${VM_A}/memory_used_bytes`];
    const columns = keys.toReversed().map((key) => {
      const [entity = "", metric = ""] = key.split("/");
      return { entity, metric, values };
    });
    expect(Object.keys(seriesOf(readAll(packFrame({ times: [1], aggregates: 1, columns }))))).toEqual(keys);
  });

  test("of version 2 stays readable: the golden frame, which FORMAT.md shows byte for byte", () => {
    const golden = JSON.parse(readFileSync("test/golden/telemetry/packed-v2.json", "utf8")) as {
      hex: string;
      times: number[];
      columns: { entity: string; metric: string; values: (number | null)[] }[];
    };
    const columns = golden.columns.map(({ entity, metric, values }) =>
      column(
        values.map((value) => value ?? Number.NaN),
        metric,
        entity,
      ),
    );
    const content = { times: golden.times, aggregates: 1, columns };
    expect(hex(packFrame(content))).toBe(golden.hex);
    expect(seriesOf(readAll(fromHex(golden.hex)))).toEqual(seriesOf(content));
    const text = readFileSync("worker/model/telemetry/FORMAT.md", "utf8");
    const table = text.slice(text.indexOf("| bytes | are |"));
    const shown = table
      .split("\n")
      .map((line) => Array.from((line.split("|")[1] ?? "").matchAll(/`([0-9a-f]+)`/g), (match) => match[1]).join(""))
      .join("");
    expect(shown).toBe(golden.hex);
  });

  test.each<[string, PackedContent]>([
    ["no time", { times: [], aggregates: 1, columns: [] }],
    ["times that do not rise", { times: [2, 2], aggregates: 1, columns: [] }],
    ["a time that is no integer", { times: [1.5], aggregates: 1, columns: [] }],
    ["a negative time", { times: [-1], aggregates: 1, columns: [] }],
    [
      "more times than any frame has",
      { times: Array.from({ length: 20_001 }, (_, i) => i), aggregates: 1, columns: [] },
    ],
    ["no aggregate", { times: [1], aggregates: 0, columns: [] }],
    ["a column of another length", { times: [1], aggregates: 1, columns: [column([1, 2])] }],
    ["a column of another number of aggregates", { times: [1], aggregates: 5, columns: [column([1])] }],
    ["a value that is not finite", { times: [1], aggregates: 1, columns: [column([Infinity])] }],
    ["an entity that is no uuid", { times: [1], aggregates: 1, columns: [column([1], "a", "vm-1")] }],
    ["a name that is none", { times: [1], aggregates: 1, columns: [column([1], "a b")] }],
    ["a series twice", { times: [1], aggregates: 1, columns: [column([1]), column([2])] }],
  ])("with %s is never written", (_, content) => {
    expect(() => packFrame(content)).toThrow(RangeError);
  });
});

describe("density on the reference workload", () => {
  const hosts = Array.from({ length: 3 }, (_, index) => hostLoad(index, { seed: 0xc0ffee, from: T0, steps: 240 }));
  const frames = hosts.map(({ times, series, vms }) => ({
    times,
    columns: [
      ...series.map(({ metric, values }) => ({ entity: "", metric, values })),
      ...vms.flatMap(({ uuid, series: own }) => own.map(({ metric, values }) => ({ entity: uuid, metric, values }))),
    ],
  }));

  test("an hour of 15 s takes less than 0.96 bytes a sample, header and checks included", () => {
    let bytes = 0;
    let samples = 0;
    for (const { times, columns } of frames) {
      const raw = columns.map((each) => ({ ...each, values: [each.values] }));
      bytes += packFrame({ times, aggregates: 1, columns: raw }).length;
      samples += times.length * columns.length;
    }
    expect(bytes / samples).toBeLessThan(0.96);
  });

  test("an hour of five-minute roll-ups takes less than 11,000 bytes a host", () => {
    for (const frame of frames) {
      const { times, columns } = rollUp(frame, 300_000, T0, T0 + 3_600_000);
      expect(packFrame({ times, aggregates: 5, columns }).length).toBeLessThan(11_000);
    }
  });
});
