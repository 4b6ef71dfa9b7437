import { WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createNameCache, readOtlp } from "../../../../worker/model/telemetry/foreign/opentelemetry.ts";
import { readOtlpJson } from "../../../../worker/model/telemetry/foreign/otlp-json.ts";
import { readOtlpProtobuf } from "../../../../worker/model/telemetry/foreign/otlp-protobuf.ts";
import { USUAL_LABELS } from "../../../../worker/model/telemetry/foreign/target.ts";
import { WireError } from "../../../../worker/model/telemetry/foreign/wire.ts";
import { message, type Metric, nested, type Point, type Resource, toJson, toProtobuf } from "../../../support/otlp.ts";

const anyAttributes = fc.array(fc.tuple(fc.string({ unit: "grapheme", maxLength: 8 }), fc.string()), { maxLength: 3 });
const anyTime = fc.bigInt({ min: 0n, max: 2n ** 62n });
const anyPoint: fc.Arbitrary<Point> = fc.record({
  attributes: anyAttributes,
  start: anyTime,
  time: anyTime,
  value: fc.oneof(
    fc.record({ asInt: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }) }),
    fc.record({ asDouble: fc.double() }),
    fc.constant(null),
  ),
  flags: fc.nat({ max: 3 }),
  exemplars: fc.nat({ max: 2 }),
});
const anyMetric: fc.Arbitrary<Metric> = fc.record({
  name: fc.string(),
  kind: fc.constantFrom("gauge", "sum", "histogram", "exponentialHistogram", "summary"),
  temporality: fc.nat({ max: 3 }),
  isMonotonic: fc.boolean(),
  points: fc.array(anyPoint, { maxLength: 3 }),
});
const anyResource: fc.Arbitrary<Resource> = fc.record({
  attributes: anyAttributes,
  metrics: fc.array(anyMetric, { maxLength: 3 }),
});

const S = 1_000_000_000n;
const T0 = 1_795_399_200n * S;
const point = (rest: Partial<Point> = {}): Point => ({
  attributes: [],
  start: T0,
  time: T0 + 10n * S,
  value: { asDouble: 30 },
  flags: 0,
  exemplars: 0,
  ...rest,
});
const metric = (name: string, rest: Partial<Metric> = {}): Metric => ({
  name,
  kind: "sum",
  temporality: 2,
  isMonotonic: true,
  points: [point()],
  ...rest,
});
const HOST: [string, string][] = [["host.name", "hv-1"]];
const read = (...metrics: Metric[]) =>
  readOtlp(readOtlpProtobuf(toProtobuf([{ attributes: HOST, metrics }])), USUAL_LABELS, createNameCache());

describe("OTLP", () => {
  test("says the same in JSON as in protobuf", () => {
    fc.assert(
      fc.property(fc.array(anyResource, { maxLength: 3 }), (resources) => {
        const fromProtobuf = readOtlpProtobuf(toProtobuf(resources));
        expect(readOtlpJson(JSON.parse(JSON.stringify(toJson(resources))))).toEqual(fromProtobuf);
        expect(fromProtobuf.map(({ attributes }) => attributes)).toEqual(resources.map(({ attributes }) => attributes));
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  test("damaged protobuf is an error that lies within it, or is read", () => {
    const damaged = fc
      .tuple(fc.array(anyResource, { minLength: 1, maxLength: 2 }), fc.nat(), fc.nat({ max: 255 }))
      .map(([resources, place, byte]) => {
        const bytes = toProtobuf(resources);
        bytes[place % bytes.length] = byte;
        return bytes;
      });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 50 })), (bytes) => {
        let error: unknown = new WireError("none", 0);
        try {
          readOtlpProtobuf(bytes);
        } catch (thrown) {
          error = thrown;
        }
        expect(error).toBeInstanceOf(WireError);
        expect((error as WireError).offset).toBeLessThanOrEqual(bytes.length);
      }),
      { seed: 2, numRuns: 3000 },
    );
  });

  test("any JSON is an error that says what is wrong, or is read", () => {
    const anyBody = fc.oneof(
      fc.jsonValue(),
      fc.jsonValue().map((resourceMetrics) => ({ resourceMetrics })),
      fc.jsonValue().map((metrics) => ({ resourceMetrics: [{ scopeMetrics: [{ metrics }] }] })),
      fc.jsonValue().map((dataPoints) => ({
        resourceMetrics: [{ scopeMetrics: [{ metrics: [{ gauge: { dataPoints } }, { gauge: dataPoints }] }] }],
      })),
    );
    fc.assert(
      fc.property(anyBody, (body) => {
        let error: unknown = new WireError("none", 0);
        try {
          readOtlpJson(body);
        } catch (thrown) {
          error = thrown;
        }
        expect(error).toBeInstanceOf(WireError);
      }),
      { seed: 3, numRuns: 2000 },
    );
  });

  test("enums by name, integers as numbers, attributes that are no text", () => {
    const body = {
      resourceMetrics: [
        {
          resource: { attributes: null },
          scopeMetrics: [
            {
              metrics: [
                {
                  name: "a",
                  unknown: 1,
                  sum: {
                    aggregationTemporality: "AGGREGATION_TEMPORALITY_DELTA",
                    dataPoints: [
                      {
                        attributes: [
                          { key: "i", value: { intValue: "5" } },
                          { key: "b", value: { boolValue: false } },
                          { key: "d", value: { doubleValue: 0.5 } },
                        ],
                        timeUnixNano: 1_000_000,
                        asInt: 7,
                      },
                    ],
                  },
                },
              ],
            },
          ],
        },
      ],
    };
    const [resource] = readOtlpJson(body);
    expect(resource?.metrics).toEqual([
      {
        name: "a",
        kind: "sum",
        temporality: "delta",
        isMonotonic: false,
        skipped: 0,
        points: [
          {
            attributes: [
              ["i", "5"],
              ["b", "false"],
              ["d", "0.5"],
            ],
            timeMs: 1,
            spanMs: Number.NaN,
            value: 7,
            exemplars: 0,
          },
        ],
      },
    ]);
  });

  test.each([
    [null],
    [[]],
    [{ resourceMetrics: {} }],
    [{ resourceMetrics: [{ scopeMetrics: [{ metrics: [{ gauge: { dataPoints: [{ asInt: "x" }] } }] }] }] }],
  ])("%j is malformed", (body) => {
    expect(() => readOtlpJson(body ?? null)).toThrow(WireError);
  });

  test("attributes that are nested without end are malformed", () => {
    const nest = (depth: number): Uint8Array =>
      depth === 0
        ? new Uint8Array()
        : message((writer) =>
            nested(writer, 5, (list) => list.tag(1, WireType.LengthDelimited).bytes(nest(depth - 1))),
          );
    const body = message((writer) =>
      nested(writer, 1, (resource) =>
        nested(resource, 1, (inner) =>
          nested(inner, 1, (entry) => entry.tag(2, WireType.LengthDelimited).bytes(nest(100))),
        ),
      ),
    );
    expect(() => readOtlpProtobuf(body)).toThrow(WireError);
  });
});

describe("what OTLP's metrics become", () => {
  test("a cumulative sum that only rises is a counter where the tables know it, else stored as it is", () => {
    const attributes: [string, string][] = [
      ["system.cpu.state", "user"],
      ["system.cpu.logical_number", "0"],
    ];
    const { series } = read(metric("system.cpu.time", { points: [point({ attributes })] }), metric("jobs.done"));
    expect(series).toMatchObject([
      { target: { metric: "cpu_used_cores", isCounter: true }, values: [30] },
      { target: { metric: "jobs_done", isCounter: false }, times: [1_795_399_210_000], values: [30] },
    ]);
  });

  test("a delta is a rate over its own time", () => {
    const attributes: [string, string][] = [["state", "user"]];
    const { series } = read(
      metric("system.cpu.time", { temporality: 1, points: [point({ attributes })] }),
      metric("jobs.done", { temporality: 1 }),
    );
    expect(series).toMatchObject([
      { target: { metric: "cpu_used_cores", isCounter: false }, values: [3] },
      { target: { metric: "jobs_done" }, values: [3] },
    ]);
  });

  test("a value that was not recorded is a gap", () => {
    expect(read(metric("a", { points: [point({ flags: 1 })] })).series).toMatchObject([{ values: [Number.NaN] }]);
  });

  test.each([
    ["a histogram", metric("a", { kind: "histogram", points: [point(), point()] }), 2, "histograms are not stored"],
    ["an exponential one", metric("a", { kind: "exponentialHistogram" }), 1, "exponential histograms are not stored"],
    ["a summary", metric("a", { kind: "summary" }), 1, "a summary is not stored"],
    ["a sum of no temporality", metric("a", { temporality: 0 }), 1, "a sum without its aggregation temporality"],
    [
      "a delta of a level",
      metric("a", { temporality: 1, isMonotonic: false }),
      1,
      "a delta of what goes up and down does not say how much it is",
    ],
    [
      "a delta of no start",
      metric("a", { temporality: 1, points: [point({ start: 0n })] }),
      1,
      "a delta without the time over which it is",
    ],
  ])("%s is refused, all its data points", (_, refused, samples, reason) => {
    expect(read(refused)).toEqual({ series: [], refused: [{ series: "a", reason, samples }], samples });
  });

  test("exemplars are refused, their data point is not", () => {
    const body = read(metric("a", { points: [point({ exemplars: 2 })] }));
    expect(body.series).toHaveLength(1);
    expect(body.refused).toEqual([{ series: "a", reason: "exemplars are not stored", samples: 0 }]);
  });

  test("the same names under other settings or of another host mean something else", () => {
    const cache = createNameCache();
    const hosts = ["hv-1", "hv-2", "hv-1"].map((host) => {
      const body = toProtobuf([{ attributes: [["host.name", host]], metrics: [metric("a")] }]);
      return readOtlp(readOtlpProtobuf(body), USUAL_LABELS, cache).series[0]?.target.host;
    });
    expect(hosts).toEqual(["hv-1", "hv-2", "hv-1"]);
    const fixed = { ...USUAL_LABELS, host: "hv-9" };
    const body = toProtobuf([{ attributes: HOST, metrics: [metric("a")] }]);
    expect(readOtlp(readOtlpProtobuf(body), fixed, cache).series[0]?.target.host).toBe("hv-9");
  });
});
