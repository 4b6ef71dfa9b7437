import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, ChunkError, fromHex, toHex } from "../../../worker/model/telemetry/bytes.ts";
import { CATALOGUE } from "../../../worker/model/telemetry/catalogue.ts";
import {
  type Column,
  type Frame,
  frameBytes,
  mergeFrames,
  packFrame,
  packFrames,
  readColumns,
} from "../../../worker/model/telemetry/chunk.ts";

const VM_A = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const VM_B = "f0000000-0000-4000-8000-000000000001";
const T0 = 1_795_399_200_000;
const all = (): boolean => true;

const concat = (...parts: Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

const byKey = (columns: Column[]): Map<string, (number | null)[]> =>
  new Map(columns.map(({ entity, metric, values }) => [`${entity}/${metric}`, values]));

const anyValue = fc.oneof(
  { weight: 2, arbitrary: fc.double({ noNaN: true, noDefaultInfinity: true }) },
  { weight: 2, arbitrary: fc.maxSafeInteger() },
  { weight: 2, arbitrary: fc.integer({ min: -3, max: 3 }) },
  fc.constantFrom(0, -0, 2 ** 51 - 1, 2 ** 51, -(2 ** 51) + 1, -(2 ** 51), Number.MIN_VALUE, -Number.MAX_VALUE),
);

const anyColumnValues = (length: number): fc.Arbitrary<(number | null)[]> =>
  fc.oneof(
    fc.array(fc.option(anyValue), { minLength: length, maxLength: length }),
    fc.array(fc.integer(), { minLength: length, maxLength: length }),
    anyValue.map((value) => Array.from({ length }, () => value)),
    fc.constant(Array.from({ length }, () => null)),
  );

const anyFrame: fc.Arbitrary<Frame> = fc
  .uniqueArray(fc.integer({ min: 0, max: 2 ** 50 }), { minLength: 1, maxLength: 20 })
  .chain((times) =>
    fc
      .uniqueArray(
        fc.record({
          entity: fc.constantFrom("", VM_A, VM_B),
          metric: fc.constantFrom("cpu_used_cores", "latency_seconds", "other_metric", "x:y", "constructor"),
          values: anyColumnValues(times.length),
        }),
        { selector: ({ entity, metric }) => `${entity}/${metric}`, maxLength: 8 },
      )
      .map((columns) => ({ times: times.toSorted((a, b) => a - b), columns })),
  );

describe("a frame", () => {
  test("is read back bit for bit, gaps and -0 included", () => {
    fc.assert(
      fc.property(anyFrame, (frame) => {
        const [read, ...more] = readColumns(packFrame(frame), all);
        expect(more).toEqual([]);
        expect(read?.times).toEqual(frame.times);
        // toEqual tells -0 from 0.
        expect(byKey(read?.columns ?? [])).toEqual(byKey(frame.columns));
      }),
    );
  });

  test("is the same bytes whatever the order of its columns", () => {
    fc.assert(
      fc.property(anyFrame, (frame) => {
        expect(packFrame({ ...frame, columns: frame.columns.toReversed() })).toEqual(packFrame(frame));
      }),
    );
  });

  test("is what FORMAT.md says, byte for byte", () => {
    const text = readFileSync("worker/model/telemetry/FORMAT.md", "utf8");
    const table = text.slice(text.indexOf("| bytes | are |"));
    const hex = table
      .split("\n")
      .map((line) => Array.from((line.split("|")[1] ?? "").matchAll(/`([0-9a-f]+)`/g), (match) => match[1]).join(""))
      .join("");
    const packed = packFrame({
      times: [T0, T0 + 15_000, T0 + 30_000],
      columns: [
        { entity: "", metric: "cpu_used_cores", values: [0.5, null, 0.75] },
        { entity: "", metric: "memory_used_bytes", values: [4096, 4096, 4096] },
        { entity: VM_A, metric: "gc_pauses", values: [3, 4, 2] },
      ],
    });
    expect(toHex(packed)).toBe(hex);
  });

  test("of version 1 stays readable: the golden chunk", () => {
    const golden = JSON.parse(readFileSync("test/golden/telemetry/chunk-v1.json", "utf8")) as {
      hex: string;
      frames: Frame[];
    };
    expect(readColumns(fromHex(golden.hex), all)).toEqual(golden.frames);
    expect(toHex(concat(...golden.frames.map(packFrame)))).toBe(golden.hex);
  });

  test.each<[string, Frame]>([
    ["no time", { times: [], columns: [] }],
    ["times that do not rise", { times: [2, 2], columns: [] }],
    ["a time that is no integer", { times: [1.5], columns: [] }],
    ["a negative time", { times: [-1], columns: [] }],
    ["a column of another length", { times: [1], columns: [{ entity: "", metric: "a", values: [1, 2] }] }],
    ["a value that is not finite", { times: [1], columns: [{ entity: "", metric: "a", values: [Infinity] }] }],
    ["an entity that is no uuid", { times: [1], columns: [{ entity: "vm-1", metric: "a", values: [1] }] }],
    ["a name that is none", { times: [1], columns: [{ entity: "", metric: "a b", values: [1] }] }],
    [
      "a series twice",
      {
        times: [1],
        columns: [
          { entity: "", metric: "a", values: [1] },
          { entity: "", metric: "a", values: [2] },
        ],
      },
    ],
  ])("with %s is never written", (_, frame) => {
    expect(() => packFrame(frame)).toThrow(RangeError);
  });

  test("larger than allowed is split without losing a sample", () => {
    const wide: Frame = {
      times: [T0, T0 + 1],
      columns: Array.from({ length: 40 }, (_, index) => ({
        entity: "",
        metric: `m${String(index).padStart(2, "0")}`,
        values: [index + 0.5, index + 0.25],
      })),
    };
    const parts = packFrames(wide, 300);
    expect(Math.max(...parts.map(({ length }) => length))).toBeLessThanOrEqual(300);
    const merged = mergeFrames(parts.flatMap((part) => readColumns(part, all)));
    expect(merged.times).toEqual(wide.times);
    expect(byKey(merged.columns)).toEqual(byKey(wide.columns));
    expect(() => packFrames(wide, 10)).toThrow(RangeError);
  });
});

describe("a chunk", () => {
  const first = packFrame({ times: [1, 2], columns: [{ entity: "", metric: "a", values: [1, 2] }] });
  const second = packFrame({ times: [3], columns: [{ entity: VM_A, metric: "a", values: [0.5] }] });

  test("is its frames, appended", () => {
    expect(readColumns(concat(first, second), all)).toEqual([readColumns(first, all)[0], readColumns(second, all)[0]]);
    expect(readColumns(new Uint8Array(), all)).toEqual([]);
    expect(frameBytes(concat(first, second))).toEqual([first.subarray(1), second.subarray(1)]);
  });

  test("gives the wanted columns and does not decode the others", () => {
    const chunk = packFrame({
      times: [1],
      columns: [
        { entity: "", metric: "cpu_used_cores", values: [1.5] },
        { entity: "", metric: "memory_used_bytes", values: [7] },
      ],
    });
    // The coding of the first column, which nobody can read any more.
    chunk[chunk.length - 2 - 9] = 0x7f;
    expect(readColumns(chunk, (_, metric) => metric === "memory_used_bytes")[0]?.columns).toEqual([
      { entity: "", metric: "memory_used_bytes", values: [7] },
    ]);
    expect(() => readColumns(chunk, all)).toThrow(ChunkError);
  });

  test("tells where it is broken", () => {
    const chunk = concat(first, second);
    chunk[first.length + 1] = 9;
    expect(() => readColumns(chunk, all)).toThrow(`unknown frame version 9 (byte ${first.length + 1})`);
  });

  test.each<[string, (chunk: Uint8Array) => Uint8Array]>([
    ["cut short", (chunk) => chunk.slice(0, -1)],
    ["a byte too long", (chunk) => concat(chunk, new Uint8Array([0]))],
    [
      "with a frame a byte too long",
      (chunk) => concat(new Uint8Array([(chunk[0] ?? 0) + 1]), chunk.slice(1), new Uint8Array([0])),
    ],
    ["with a length over 2^53", () => new Uint8Array([255, 255, 255, 255, 255, 255, 255, 127])],
    ["with a length that does not end", () => new Uint8Array(20).fill(255)],
    [
      "with a length not in its shortest form",
      (chunk) => concat(new Uint8Array([(chunk[0] ?? 0) | 128, 0]), chunk.slice(1)),
    ],
    ["that announces more VMs than it has bytes", () => fromHex("06" + "0101" + "00" + "ffff7f")],
  ])("that is %s is refused", (_, broken) => {
    expect(() => readColumns(broken(first), all)).toThrow(ChunkError);
  });

  test("that was altered anywhere is refused or gives well-formed samples, and ends", () => {
    const mutation = fc.record({ place: fc.nat(), kind: fc.constantFrom("set", "cut", "insert"), byte: fc.nat(255) });
    fc.assert(
      fc.property(anyFrame, anyFrame, fc.array(mutation, { minLength: 1, maxLength: 4 }), (a, b, mutations) => {
        let chunk = concat(packFrame(a), packFrame(b));
        for (const { place, kind, byte } of mutations) {
          const at = place % (chunk.length + 1);
          const rest = chunk.slice(at);
          if (kind === "set") chunk = concat(chunk.slice(0, at), new Uint8Array([byte]), rest.slice(1));
          else if (kind === "cut") chunk = concat(chunk.slice(0, at), rest.slice(1 + (byte % 8)));
          else chunk = concat(chunk.slice(0, at), new Uint8Array([byte]), rest);
        }
        expectRefusedOrWellFormed(chunk);
      }),
      { seed: 20_261_123, numRuns: 3000 },
    );
  });
});

function expectRefusedOrWellFormed(chunk: Uint8Array): void {
  let frames: Frame[] = [];
  try {
    frames = readColumns(chunk, all);
  } catch (error) {
    if (!(error instanceof ChunkError)) throw error;
  }
  // What was read can be written, hence is well-formed, and reads the same again.
  expect(readColumns(concat(...frames.map(packFrame)), all)).toEqual(frames);
}

describe("merging", () => {
  test("keeps, by series and time, what the last frame that has a value says", () => {
    fc.assert(
      fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 4 }), (frames) => {
        const expected = new Map<string, number>();
        for (const { times, columns } of frames)
          for (const { entity, metric, values } of columns)
            values.forEach((value, index) => {
              if (value !== null) expected.set(`${entity}/${metric}@${times[index]}`, value);
            });
        const merged = mergeFrames(frames);
        const got = new Map<string, number>();
        for (const { entity, metric, values } of merged.columns)
          values.forEach((value, index) => {
            if (value !== null) got.set(`${entity}/${metric}@${merged.times[index]}`, value);
          });
        expect(got).toEqual(expected);
        expect(merged.times).toEqual(merged.times.toSorted((a, b) => a - b));
        // A replay changes nothing.
        expect(mergeFrames([...frames, ...frames])).toEqual(merged);
      }),
    );
  });
});

describe("bytes", () => {
  const edges = [0, 1, ...Array.from({ length: 53 }, (_, bit) => [2 ** bit - 1, 2 ** bit, 2 ** bit + 1]).flat()];

  test("varints are read back at every power of two", () => {
    const writer = new ByteWriter();
    const values = [...edges, Number.MAX_SAFE_INTEGER].filter((value) => value <= Number.MAX_SAFE_INTEGER);
    for (const value of values) writer.varint(value);
    const reader = new ByteReader(writer.finish(), 0);
    expect(values.map(() => reader.varint("an edge"))).toEqual(values);
    expect(reader.remaining).toBe(0);
  });

  test("hex is read back in either case, and nothing else is hex", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(toHex(bytes)).toBe(Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(""));
        expect(fromHex(toHex(bytes))).toEqual(bytes);
        expect(fromHex(toHex(bytes).toUpperCase())).toEqual(bytes);
      }),
    );
    for (const text of ["0", "0g", "g0", "é0", "0 ", "👍"]) expect(() => fromHex(text)).toThrow(ChunkError);
  });
});

test("catalogue numbers and names stand for one metric each", () => {
  expect(new Set(CATALOGUE.map(({ number }) => number)).size).toBe(CATALOGUE.length);
  expect(new Set(CATALOGUE.map(({ name }) => name)).size).toBe(CATALOGUE.length);
});
