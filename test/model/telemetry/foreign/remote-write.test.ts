import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Label, readLabels, readWriteRequest } from "../../../../worker/model/telemetry/foreign/remote-write.ts";
import { createSeriesCache } from "../../../../worker/model/telemetry/foreign/series-cache.ts";
import { WireError } from "../../../../worker/model/telemetry/foreign/wire.ts";

type Series = { labels: Label[]; times: number[]; values: number[]; exemplars: number; histograms: number };

const message = (fill: (writer: BinaryWriter) => void): Uint8Array => {
  const writer = new BinaryWriter();
  fill(writer);
  return writer.finish();
};
const field = (writer: BinaryWriter, number: number, content: Uint8Array): void => {
  writer.tag(number, WireType.LengthDelimited).bytes(content);
};

const labelMessage = ([name, value]: Label): Uint8Array =>
  message((writer) =>
    writer.tag(1, WireType.LengthDelimited).string(name).tag(2, WireType.LengthDelimited).string(value),
  );
const sampleMessage = (time: number, value: number): Uint8Array =>
  message((writer) => writer.tag(1, WireType.Bit64).double(value).tag(2, WireType.Varint).int64(time));

/** As Prometheus writes it. */
const encode = (all: Series[], metadata = 0): Uint8Array =>
  message((request) => {
    for (const { labels, times, values, exemplars, histograms } of all) {
      const content = message((writer) => {
        for (const label of labels) field(writer, 1, labelMessage(label));
        times.forEach((time, index) => field(writer, 2, sampleMessage(time, values[index] ?? 0)));
        for (let index = 0; index < exemplars; index++) field(writer, 3, sampleMessage(1, 1));
        for (let index = 0; index < histograms; index++) field(writer, 4, sampleMessage(1, 1));
      });
      field(request, 1, content);
    }
    for (let index = 0; index < metadata; index++) field(request, 3, labelMessage(["a", "b"]));
  });

/** The twin: the same message read with the library's reader, as simply as can be. */
function twin(bytes: Uint8Array): { series: Series[]; metadata: number } {
  const reader = new BinaryReader(bytes);
  const result: { series: Series[]; metadata: number } = { series: [], metadata: 0 };
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 1) result.series.push(twinSeries(new BinaryReader(reader.bytes())));
    else {
      if (number === 3) result.metadata += 1;
      reader.skip(type, number);
    }
  }
  return result;
}

function twinSeries(reader: BinaryReader): Series {
  const series: Series = { labels: [], times: [], values: [], exemplars: 0, histograms: 0 };
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number > 4) {
      reader.skip(type, number);
      continue;
    }
    const content = new BinaryReader(reader.bytes());
    if (number === 1) series.labels.push(twinLabel(content));
    if (number === 2) {
      const [time, value] = twinSample(content);
      series.times.push(time);
      series.values.push(value);
    }
    if (number === 3) series.exemplars += 1;
    if (number === 4) series.histograms += 1;
  }
  return series;
}

function twinLabel(reader: BinaryReader): Label {
  let [name, value] = ["", ""];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 1) name = reader.string();
    else if (number === 2) value = reader.string();
    else reader.skip(type, number);
  }
  return [name, value];
}

function twinSample(reader: BinaryReader): [number, number] {
  let [time, value] = [0, 0];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (number === 1) value = reader.double();
    else if (number === 2) time = Number(reader.int64());
    else reader.skip(type, number);
  }
  return [time, value];
}

const anyLabel: fc.Arbitrary<Label> = fc.tuple(
  fc.constantFrom("__name__", "instance", "job", "größe", ""),
  fc.string({ unit: "grapheme", maxLength: 20 }),
);
const anySeries: fc.Arbitrary<Series> = fc
  .record({
    labels: fc.array(anyLabel, { maxLength: 5 }),
    samples: fc.array(fc.tuple(fc.maxSafeInteger(), fc.double()), { maxLength: 4 }),
    exemplars: fc.nat({ max: 2 }),
    histograms: fc.nat({ max: 2 }),
  })
  .map(({ samples, ...rest }) => ({ ...rest, times: samples.map(([t]) => t), values: samples.map(([, v]) => v) }));

const errorOf = (bytes: Uint8Array): WireError | null => {
  try {
    readWriteRequest(bytes, readLabels);
    return null;
  } catch (error) {
    if (error instanceof WireError) return error;
    throw error;
  }
};

describe("remote write", () => {
  test("reads what was written, as the library's reader does", () => {
    fc.assert(
      fc.property(fc.array(anySeries, { maxLength: 6 }), fc.nat({ max: 3 }), (series, metadata) => {
        const bytes = encode(series, metadata);
        const read = readWriteRequest(bytes, readLabels);
        expect(read).toEqual({ series, metadata });
        expect(read).toEqual(twin(bytes));
      }),
      { seed: 1, numRuns: 500 },
    );
  });

  test("damaged bytes are an error that lies within them, or read as the library reads them", () => {
    const damaged = fc
      .tuple(fc.array(anySeries, { minLength: 1, maxLength: 4 }), fc.nat(), fc.integer({ min: 0, max: 255 }), fc.nat())
      .map(([series, place, byte, cut]) => {
        const bytes = encode(series);
        bytes[place % bytes.length] = byte;
        return cut % 3 === 0 ? bytes.subarray(0, cut % bytes.length) : bytes;
      });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 40 })), (bytes) => {
        const error = errorOf(bytes);
        // A body that is taken must read the same; the library takes some that are refused.
        const offset = error?.offset ?? 0;
        expect(offset).toBeLessThanOrEqual(bytes.length);
        expect(error?.kind ?? readWriteRequest(bytes, readLabels)).toEqual(error === null ? twin(bytes) : "malformed");
      }),
      { seed: 2, numRuns: 3000 },
    );
  });

  test("fields that it does not know are read over, at every level", () => {
    const unknown = (writer: BinaryWriter): BinaryWriter =>
      writer
        .tag(15, WireType.Varint)
        .int64(-1n)
        .tag(16, WireType.Bit64)
        .double(1)
        .tag(17, WireType.Bit32)
        .float(1)
        .tag(18, WireType.LengthDelimited)
        .string("x");
    const label = message((writer) => unknown(unknown(writer).raw(labelMessage(["__name__", "a"]))));
    const sample = message((writer) => unknown(unknown(writer).raw(sampleMessage(-5, 2))));
    const series = message((writer) => {
      field(unknown(writer), 1, label);
      field(unknown(writer), 2, sample);
    });
    const bytes = message((writer) => field(unknown(writer), 1, series));
    expect(readWriteRequest(bytes, readLabels).series).toEqual([
      { labels: [["__name__", "a"]], times: [-5], values: [2], exemplars: 0, histograms: 0 },
    ]);
  });

  test("labels that stand behind samples are labels all the same", () => {
    const series = message((writer) => {
      field(writer, 1, labelMessage(["__name__", "a"]));
      field(writer, 2, sampleMessage(1, 2));
      field(writer, 1, labelMessage(["job", "b"]));
    });
    const [read] = readWriteRequest(
      message((writer) => field(writer, 1, series)),
      readLabels,
    ).series;
    expect(read?.labels).toEqual([
      ["__name__", "a"],
      ["job", "b"],
    ]);
  });

  test.each([
    ["a series", message((writer) => writer.tag(1, WireType.Varint).int64(1)), 1],
    [
      "a sample",
      message((writer) =>
        field(
          writer,
          1,
          message((series) => series.tag(2, WireType.Varint).int64(1)),
        ),
      ),
      3,
    ],
    [
      "a sample's value",
      message((writer) =>
        field(
          writer,
          1,
          message((series) =>
            field(
              series,
              2,
              message((sample) => sample.tag(1, WireType.Varint).int64(1)),
            ),
          ),
        ),
      ),
      5,
    ],
  ])("%s of another wire type is malformed", (_, bytes, offset) => {
    expect(errorOf(bytes)).toMatchObject({ kind: "malformed", offset });
  });

  test("a body has at most 100,000 series, or as many as are stated", () => {
    const bytes = encode(
      Array.from({ length: 11 }, () => ({ labels: [], times: [], values: [], exemplars: 0, histograms: 0 })),
    );
    expect(readWriteRequest(bytes, readLabels, 11).series).toHaveLength(11);
    expect(() => readWriteRequest(bytes, readLabels, 10)).toThrow(expect.objectContaining({ kind: "too_large" }));
    const many = new Uint8Array(200_002).fill(0).map((_, index) => (index % 2 === 0 ? 10 : 0));
    expect(errorOf(many)).toMatchObject({ kind: "too_large", offset: 200_000 });
  });
});

test("a body has at most a million samples, in one series or in many", () => {
  const bodyOf = (perSeries: number, count: number): Uint8Array =>
    message((request) => {
      // Samples that say nothing: 0 at time 0.
      const series = Uint8Array.from({ length: 2 * perSeries }, (_, index) => (index % 2 === 0 ? (2 << 3) | 2 : 0));
      for (let index = 0; index < count; index++) field(request, 1, series);
    });
  expect(errorOf(bodyOf(100_000, 10))).toBeNull();
  expect(errorOf(bodyOf(100_000, 11))).toMatchObject({ kind: "too_large" });
  expect(errorOf(bodyOf(1_000_001, 1))).toMatchObject({ kind: "too_large" });
});

describe("the cache of series", () => {
  const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const block = (text: string): DataView => viewOf(new TextEncoder().encode(text));

  const anyBlock = fc.oneof(fc.uint8Array({ maxLength: 2 }), fc.uint8Array({ maxLength: 6, max: 1 }));

  test("answers like a map of all that was ever asked, whatever its size", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.array(fc.tuple(fc.constantFrom("x", "y"), anyBlock), { maxLength: 60 }),
        (entries, asked) => {
          const cache = createSeriesCache<string>({ entries, bytes: 1000 });
          for (const [owner, bytes] of asked) {
            const meaning = `${owner}:${[...bytes].join(" ")}`;
            expect(cache.get(owner, viewOf(bytes), 0, bytes.length, () => meaning)).toBe(meaning);
            expect(cache.size()).toBeLessThanOrEqual(2 * entries);
          }
        },
      ),
      { seed: 3, numRuns: 500 },
    );
  });

  test("what is asked for again is not made again, and survives the forgetting of others", () => {
    const cache = createSeriesCache<number>({ entries: 4, bytes: 1000 });
    const bytes = block("a series");
    let made = 0;
    for (let round = 0; round < 50; round++) {
      cache.get("", bytes, 0, bytes.byteLength, () => (made += 1));
      const other = block(`another ${round}`);
      cache.get("", other, 0, other.byteLength, () => 0);
    }
    expect(made).toBe(1);
  });

  test("what could not be made is asked for again", () => {
    const cache = createSeriesCache<number>();
    const fail = (): number => {
      throw new WireError("not a label", 0);
    };
    expect(() => cache.get("", block("a"), 0, 1, fail)).toThrow(WireError);
    expect(cache.get("", block("a"), 0, 1, () => 7)).toBe(7);
  });
});
