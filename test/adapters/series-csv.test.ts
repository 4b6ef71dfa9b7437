import fc from "fast-check";
import { expect, test } from "vitest";
import { csvLine, readCsv } from "../../worker/adapters/csv.ts";
import { type CsvSeries, seriesCsv } from "../../worker/adapters/series-csv.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const START = 1_795_399_200_000;

const text = (times: number[], ...series: CsvSeries[]): string => [...seriesCsv(times, series)].join("");

test("series are a row a value; steps without a value have none", () => {
  const values = Float64Array.of(0.5, Number.NaN, 1e21);
  expect(
    text(
      [START, START + 1000, START + 2000],
      { host: "hv-01", vm: "", metric: "cpu_used_cores", values },
      { host: "hv-01", vm: VM, metric: "power_watts", values: Float64Array.of(-0.25) },
      { host: "", vm: "", metric: "no_value", values: Float64Array.of(Number.NaN) },
    ).split("\r\n"),
  ).toEqual([
    "time,host,vm,metric,value",
    "2026-11-23T02:00:00.000Z,hv-01,,cpu_used_cores,0.5",
    "2026-11-23T02:00:02.000Z,hv-01,,cpu_used_cores,1e+21",
    `2026-11-23T02:00:00.000Z,hv-01,${VM},power_watts,-0.25`,
    "",
  ]);
});

test("no series is a header alone", () => {
  expect(text([])).toBe("time,host,vm,metric,value\r\n");
});

test("what is written is read back, whatever is in a cell", () => {
  const anyText = fc.string({ unit: fc.constantFrom("a", ",", '"', "\n", "\r", " ") });
  fc.assert(
    fc.property(anyText, fc.double({ noNaN: true, noDefaultInfinity: true }), (host, value) => {
      const { records, rejected } = readCsv(
        text([START], { host, vm: "", metric: "a", values: Float64Array.of(value) }),
      );
      expect(rejected).toEqual([]);
      expect(records.map(({ record }) => [record["host"], Number(record["value"])])).toEqual([[host, value + 0]]);
    }),
    { seed: 61, numRuns: 500 },
  );
  expect(csvLine(["a", 'b"c', "d,e"])).toBe('a,"b""c","d,e"\r\n');
});
