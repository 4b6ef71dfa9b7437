import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkError } from "../../../worker/model/telemetry/bytes.ts";
import { packFrame, type PackedContent } from "../../../worker/model/telemetry/packed/frame.ts";
import { RangeWriter } from "../../../worker/model/telemetry/packed/coder.ts";
import { packColumn, readColumn, sealColumn } from "../../../worker/model/telemetry/packed/column.ts";
import { crc16 } from "../../../worker/model/telemetry/packed/crc.ts";
import { headerLength, readHeader } from "../../../worker/model/telemetry/packed/header.ts";
import { type ByteRange, readPacked, type Span, type Wanted } from "../../../worker/model/telemetry/packed/read.ts";
import { anyMutations, mutated } from "./any-mutation.ts";
import { anyContent, seriesOf, VM_A, VM_B } from "./any-packed.ts";

const SEED = 20_261_125;
const ALL: Wanted = { entities: null, metric: () => true };

const spanOf = (packed: Uint8Array, { offset, length }: ByteRange): Span => ({
  offset,
  bytes: packed.slice(offset, offset + length),
});

/** Reads as a query does: what is at hand, then what is missing, at most twice. */
function query(packed: Uint8Array, first: Span[], wanted: Wanted): { content: PackedContent; asked: ByteRange[][] } {
  const spans = [...first];
  const asked: ByteRange[][] = [];
  for (;;) {
    const answer = readPacked(spans, wanted);
    if ("content" in answer) return { ...answer, asked };
    asked.push(answer.missing);
    expect(asked.length).toBeLessThanOrEqual(3);
    spans.push(...answer.missing.map((range) => spanOf(packed, range)));
  }
}

const anyWanted: fc.Arbitrary<Wanted> = fc.record(
  {
    entities: fc.option(
      fc.subarray(["", VM_A, VM_B, "00000000-0000-4000-8000-000000000000"]).map((all) => new Set(all)),
    ),
    metric: fc
      .subarray(["cpu_used_cores", "memory_used_bytes", "latency_seconds", "other", "x:y"])
      .map((names) => (name: string) => names.includes(name)),
  },
  { noNullPrototype: true },
);

function only(content: PackedContent, { entities, metric, aggregates }: Wanted): Record<string, number[][]> {
  const columns = content.columns
    .filter((column) => (entities === null || entities.has(column.entity)) && metric(column.metric))
    .map((column) => ({
      ...column,
      values: aggregates === undefined ? column.values : column.values.filter((_, index) => aggregates.includes(index)),
    }));
  return seriesOf({ ...content, columns });
}

describe("reading from pieces", () => {
  test("gives what a full read gives, whatever is at hand at first, in at most three rounds", () => {
    const anyRanges = fc.array(fc.record({ offset: fc.nat(400), length: fc.nat(400) }), { maxLength: 4 });
    fc.assert(
      fc.property(anyContent, anyWanted, anyRanges, (content, wanted, ranges) => {
        const packed = packFrame(content);
        const spans = ranges.filter(({ offset }) => offset < packed.length).map((range) => spanOf(packed, range));
        const read = query(packed, spans, wanted).content;
        expect(read.times).toEqual(content.times);
        expect(seriesOf(read)).toEqual(only(content, wanted));
      }),
      { seed: SEED, numRuns: 600 },
    );
  });

  test("gives the wanted aggregates, in the wanted order", () => {
    const values = [1, 2, 3, 4, 5].map((value) => Float64Array.of(value, value + 0.5));
    const packed = packFrame({ times: [1, 2], aggregates: 5, columns: [{ entity: "", metric: "a", values }] });
    const { content } = query(packed, [], { ...ALL, aggregates: [3, 0] });
    expect(content.aggregates).toBe(2);
    expect(seriesOf(content)).toEqual({
      "/a": [
        [4, 4.5],
        [1, 1.5],
      ],
    });
    expect(() => query(packed, [], { ...ALL, aggregates: [5] })).toThrow(RangeError);
  });

  /** A host of 20 VMs, an hour of 15 s. */
  const host = (): PackedContent => ({
    times: Array.from({ length: 240 }, (_, index) => 15_000 * index),
    aggregates: 1,
    columns: Array.from({ length: 21 }, (_, vm) =>
      ["cpu_used_cores", "memory_used_bytes", "latency_seconds"].map((metric, place) => ({
        entity: vm === 0 ? "" : `f0000000-0000-4000-8000-0000000000${vm + 10}`,
        metric,
        values: [Float64Array.from({ length: 240 }, (_, index) => ((index * 7919 * (vm + 3) + place) % 1009) / 100)],
      })),
    ).flat(),
  });

  test("asks once after the first 2 KiB, for no more than the wanted columns and what lies close between them", () => {
    const packed = packFrame(host());
    expect(headerLength(packed)).toBeLessThan(2048);
    const prefix = spanOf(packed, { offset: 0, length: 2048 });
    const one = new Set([`f0000000-0000-4000-8000-000000000020`]);
    const { asked } = query(packed, [prefix], { entities: one, metric: () => true });
    expect(asked.map((ranges) => ranges.length)).toEqual([1]);
    const cpu = query(packed, [prefix], { entities: null, metric: (name) => name === "cpu_used_cores" }).asked;
    expect(cpu).toHaveLength(1);
    const bytes = cpu.flat().reduce((sum, { length }) => sum + length, 0);
    expect(bytes).toBeLessThan(packed.length / 2.5);
    expect(
      query(packed, [prefix], { entities: new Set([""]), metric: (name) => name === "cpu_used_cores" }).asked,
    ).toEqual([]);
    expect(query(packed, [prefix], { entities: new Set(), metric: () => true }).asked).toEqual([]);
  });
});

function expectRefusedOr(read: () => void): void {
  try {
    read();
  } catch (error) {
    if (!(error instanceof ChunkError)) throw error;
  }
}

/** A well-formed answer can be packed, and is read the same again. */
function expectRefusedOrWellFormed(packed: Uint8Array, wanted: Wanted): "refused" | "read" | "missing" {
  let answer: ReturnType<typeof readPacked>;
  try {
    answer = readPacked([{ offset: 0, bytes: packed }], wanted);
  } catch (error) {
    if (!(error instanceof ChunkError) || error.offset > packed.length + 1) throw error;
    return "refused";
  }
  if ("missing" in answer) return "missing";
  const again = readPacked([{ offset: 0, bytes: packFrame(answer.content) }], ALL);
  expect("content" in again && seriesOf(again.content)).toEqual(seriesOf(answer.content));
  return "read";
}

describe("broken bytes", () => {
  test("a flipped bit anywhere is refused", () => {
    fc.assert(
      fc.property(anyContent, fc.nat(), (content, place) => {
        const packed = packFrame(content);
        const bit = place % (packed.length * 8);
        packed[bit >> 3] = (packed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        // Only of the header's length a flip can make the reader want more than there is.
        expect(expectRefusedOrWellFormed(packed, ALL)).toMatch(bit < 40 ? /refused|missing/ : /refused/);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  test("bytes that were cut off are missing, never made up", () => {
    fc.assert(
      fc.property(anyContent, fc.nat(), (content, place) => {
        const packed = packFrame(content);
        const cut = packed.slice(0, place % packed.length);
        expect(readPacked([{ offset: 0, bytes: cut }], ALL)).toHaveProperty("missing");
      }),
      { seed: SEED, numRuns: 500 },
    );
  });

  test("columns of another frame or place are told from those that were written", () => {
    const columns = (values: number[]): PackedContent["columns"] =>
      ["a", "b"].map((metric) => ({ entity: "", metric, values: [Float64Array.from(values)] }));
    const first = packFrame({ times: [1, 2], aggregates: 1, columns: columns([5, 6]) });
    const second = packFrame({ times: [1, 3], aggregates: 1, columns: columns([5, 6]) });
    expect(first.length).toBe(second.length);
    const start = headerLength(first);
    const mixed = first.slice();
    mixed.set(second.subarray(start), start);
    expect(expectRefusedOrWellFormed(mixed, ALL)).toBe("refused");
    const half = (first.length - start) / 2;
    const swapped = first.slice();
    swapped.copyWithin(start, start + half);
    expect(expectRefusedOrWellFormed(swapped, ALL)).toBe("refused");
  });

  test("altered in several places: refused, missing or well-formed, and always an end", () => {
    fc.assert(
      fc.property(anyContent, anyMutations, (content, how) => {
        expectRefusedOrWellFormed(mutated(packFrame(content), how), ALL);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  test("columns that were altered and pass their check: refused or well-formed, and always an end", () => {
    const anyColumn = anyContent.filter(({ columns }) => columns.length > 0);
    fc.assert(
      fc.property(anyColumn, anyMutations, ({ times, aggregates, columns }, how) => {
        const column = mutated(packColumn(new RangeWriter(), columns[0]?.values ?? []), how);
        sealColumn(column, 7);
        expectRefusedOr(() => {
          const read = readColumn(column, { offset: 0, count: times.length, aggregates, seed: 7 });
          expect(read.map(({ length }) => length)).toEqual(Array.from({ length: aggregates }, () => times.length));
          expect(read.every((values) => values.every((value) => Math.abs(value) !== Infinity))).toBe(true);
        });
      }),
      { seed: SEED, numRuns: 1500 },
    );
  });

  test("headers that were altered and pass their check: refused or well-formed, and always an end", () => {
    fc.assert(
      fc.property(anyContent, anyMutations, (content, how) => {
        const packed = packFrame(content);
        const header = mutated(packed.subarray(0, headerLength(packed)), how);
        const checked = header.length - 2;
        if (checked < 4) return;
        const check = crc16(header.subarray(0, checked));
        header.set([check >> 8, check & 0xff], checked);
        expectRefusedOr(() => {
          const { times, entities, sets, lengths } = readHeader(header);
          expect(packFrame({ times, aggregates: 1, columns: [] }).length).toBeGreaterThan(0);
          expect(lengths).toHaveLength(entities.reduce((sum, { set }) => sum + (sets[set]?.length ?? 0), 0));
        });
      }),
      { seed: SEED, numRuns: 1500 },
    );
  });

  test("random bytes are no frame", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), (bytes, isVersioned) => {
        if (isVersioned && bytes.length > 0) bytes[0] = 2;
        expectRefusedOrWellFormed(bytes, ALL);
      }),
      { seed: SEED, numRuns: 1000 },
    );
  });

  test("another version is refused", () => {
    const packed = packFrame({ times: [1], aggregates: 1, columns: [] });
    packed[0] = 1;
    expect(() => readPacked([{ offset: 0, bytes: packed }], ALL)).toThrow("unknown frame version 1 (byte 0)");
  });
});
