import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  appendFrame,
  formatTails,
  hoursOf,
  isLate,
  LATE_MS,
  type StoredPart,
  type Tail,
  unknownHours,
} from "../../../worker/model/telemetry/append.ts";
import { inOrder, recognise } from "../../../worker/model/telemetry/arrival.ts";
import { chunkId, chunkKey, PART_BYTES_MAX } from "../../../worker/model/telemetry/chunk-id.ts";
import { type Column, type Frame, HOST } from "../../../worker/model/telemetry/frame.ts";
import { NOTHING_KNOWN } from "../../../worker/model/telemetry/known.ts";
import { readLive } from "../../../worker/model/telemetry/live.ts";
import {
  appended,
  chunksOf,
  closed,
  HOST_NUMBER,
  NEW_WRITER,
  restarted,
  samplesIn,
  samplesOf,
  sizeOf,
  type Writer,
  written,
} from "./chunk-rows.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const HOUR_MS = 3_600_000;
const HOUR = 498_722;
const START = HOUR * HOUR_MS;
const OPEN_BYTES = 128 * 1024;

const id = (part: number, hour = HOUR): number => chunkId({ hostNumber: HOST_NUMBER, tier: "raw", hour, part });
const stored = (part: number, size: number, hour = HOUR): StoredPart => ({ id: id(part, hour), revision: 5, size });

const column = (entity: string, metric: string, ...values: number[]): Column => ({
  entity,
  metric,
  values: Float64Array.from(values),
});
const frameAt = (times: number[], ...columns: Column[]): Frame => ({ times, columns });
/** One sample of the host and one of a VM. */
const small = (time: number): Frame => frameAt([time], column(HOST, "a", 1), column(VM, "a", 2));

/** Values that no coding makes short: some 10.7 characters each. */
const large = (times: number, series: number, start = START): Frame => ({
  times: Array.from({ length: times }, (_, index) => start + index),
  columns: Array.from({ length: series }, (_, place) => ({
    entity: VM,
    metric: `m${place}`,
    values: Float64Array.from({ length: times }, (__, index) => Math.sin(index * series + place + 1) * 1e-7),
  })),
});

function append(frame: Frame, tails: readonly Tail[] = [], parts: readonly StoredPart[] = []) {
  const { arrival } = recognise([], frame.columns, NOTHING_KNOWN, START);
  const ordered = { times: frame.times, columns: inOrder(arrival, frame.columns) };
  return appendFrame(HOST_NUMBER, ordered, arrival, tails, parts);
}
const idsOf = (appends: readonly { id: number }[]): number[] => appends.map((one) => one.id);

describe("a frame is appended", () => {
  test.each<[string, StoredPart[], number]>([
    ["to the first part of an hour of which there is nothing", [], id(0)],
    ["to the part that is there", [stored(0, 10)], id(0)],
    ["to the last part, whatever room an earlier one has", [stored(3, 10), stored(0, 1)], id(3)],
    ["to the next part where the last one is full", [stored(0, OPEN_BYTES)], id(1)],
    ["to the next part of a packed hour that is large", [stored(0, 1), stored(1, 800_000)], id(2)],
    ["to a part that was left empty", [stored(0, 800_000), stored(1, 0)], id(1)],
    ["to its own hour, others aside", [stored(9, 10, HOUR - 1), stored(2, 10)], id(2)],
    ["to the last part even where parts run short", [stored(64, OPEN_BYTES)], id(64)],
  ])("%s", (_, parts, expected) => {
    expect(idsOf(append(small(START), [], parts).appends)).toEqual([expected]);
  });

  test("to as many hours as it has times in", () => {
    const times = [START - 1, START, START + HOUR_MS - 1, START + HOUR_MS];
    const { appends, tails } = append(frameAt(times, column(HOST, "a", 1, 2, 3, 4)));
    expect(idsOf(appends)).toEqual([id(0, HOUR - 1), id(0), id(0, HOUR + 1)]);
    expect(appends.map(({ head }) => readLive(head ?? new Uint8Array(), () => true).times)).toEqual([
      [START - 1],
      [START, START + HOUR_MS - 1],
      [START + HOUR_MS],
    ]);
    expect(idsOf(tails)).toEqual(idsOf(appends));
  });

  test("the host apart from its VMs; what there is nothing of is not written", () => {
    const both = append(small(START)).appends[0];
    const everything = (bytes: Uint8Array | null | undefined) =>
      samplesOf(readLive(bytes ?? new Uint8Array(), () => true));
    expect(everything(both?.head)).toEqual(new Map([[`/a@${START}`, 1]]));
    expect(everything(both?.live)).toEqual(new Map([[`${VM}/a@${START}`, 2]]));
    expect(append(frameAt([START], column(HOST, "a", 1))).appends[0]?.live).toBeNull();
    expect(append(frameAt([START], column(VM, "a", 1))).appends[0]?.head).toBeNull();
  });

  test("nowhere if it has no times or no series, and what is known of tails stays", () => {
    const { tails } = append(small(START));
    expect(append(frameAt([]), tails)).toEqual({ appends: [], tails });
    expect(append(frameAt([START]), tails)).toEqual({ appends: [], tails });
    expect(append(frameAt([], column(HOST, "a")), tails)).toEqual({ appends: [], tails });
  });

  test("to a part that has room for eight such batches", () => {
    const frame = large(10, 80);
    const [size = 0] = append(frame).tails.map((tail) => tail.size);
    expect(size * 8).toBeGreaterThan(32 * 1024);
    const to = (before: number) => idsOf(append(frame, [], [stored(0, before)]).appends);
    expect(to(7 * size)).toEqual([id(0)]);
    expect(to(7 * size + 1)).toEqual([id(1)]);
  });

  test("in a part of its own where the last one would grow over 128 kB", () => {
    const frame = large(100, 80);
    const first = append(frame);
    const [size = 0] = first.tails.map((tail) => tail.size);
    expect(size).toBeGreaterThan(OPEN_BYTES / 2);
    expect(size).toBeLessThan(OPEN_BYTES);
    const second = append(frame, first.tails);
    expect(second.appends).toMatchObject([{ id: id(1), revision: null }]);
    expect(second.tails).toMatchObject([{ id: id(1), revision: 1, size }]);
  });

  test("in several parts where it is over 900 kB, none of them larger", () => {
    const frame = large(500, 300);
    const { appends } = append(frame, [], [stored(0, 10)]);
    expect(idsOf(appends)).toEqual([id(1), id(2)]);
    for (const { live } of appends) expect((live?.length ?? 0) * (4 / 3)).toBeLessThanOrEqual(PART_BYTES_MAX);
    const rows = appended(new Map(), appends) ?? new Map();
    expect(samplesIn(rows)).toEqual(samplesOf(frame));
  });

  test("never where one moment is over 900 kB, or no part is left", () => {
    expect(() => append(large(1, 90_000))).toThrow(RangeError);
    expect(() => append(small(START), [], [stored(127, PART_BYTES_MAX)])).toThrow(RangeError);
  });
});

describe("frames rely on those before them", () => {
  test("while the series are the same: names are not repeated, and the revision must be that of the tail", () => {
    const first = append(small(START));
    expect(first.appends[0]?.revision).toBeNull();
    const second = append(small(START + 1), first.tails);
    expect(second.appends).toMatchObject([{ id: id(0), revision: 1 }]);
    expect(second.appends[0]?.live?.length).toBeLessThan((first.appends[0]?.live?.length ?? 0) / 2);
    expect(append(small(START + 2), second.tails).appends[0]?.revision).toBe(2);
  });

  test("and go nowhere but to the chunk that is known, unless it is new", () => {
    const { tails } = append(small(START));
    const other = frameAt([START + 1], column(HOST, "b", 1), column(VM, "a", 2), column(VM, "b", 3));
    expect(append(other, tails).appends).toMatchObject([{ id: id(0), revision: 1 }]);
    expect(append(small(START + HOUR_MS), tails).appends).toMatchObject([{ id: id(0, HOUR + 1), revision: null }]);
    const [{ size = 0 } = {}] = tails;
    expect(append(small(START + 1), [], [{ id: id(0), revision: 3, size }]).appends[0]?.revision).toBe(3);
  });

  test("of the host only, where only VMs are others", () => {
    const { tails } = append(small(START));
    const other = frameAt([START + 1], column(HOST, "a", 1), column(VM, "b", 3));
    expect(append(other, tails).appends[0]?.revision).toBe(1);
  });

  test("values too, as long as they are remembered; they are not stored", () => {
    const pi = (time: number): Frame => frameAt([time], column(VM, "a", Math.PI), column(VM, "b", Math.E));
    const { tails } = append(pi(START));
    const read = JSON.parse(formatTails(tails)) as Tail[];
    expect(read).toEqual(tails.map(({ headLast: _, liveLast: __, ...tail }) => tail));
    const remembered = append(pi(START + 1), tails).appends[0]?.live?.length ?? 0;
    expect(remembered).toBeLessThan((append(pi(START + 1), read).appends[0]?.live?.length ?? 0) - 12);
  });
});

describe("tails", () => {
  test("are of the newest three hours, and count what is written", () => {
    const times = Array.from({ length: 5 }, (_, index) => START + index * HOUR_MS);
    const { appends, tails } = append(frameAt(times, column(HOST, "a", 1, 2, 3, 4, 5)));
    expect(idsOf(tails)).toEqual([2, 3, 4].map((hour) => id(0, HOUR + hour)));
    const sizes = chunksOf(appended(new Map(), appends) ?? new Map()).map(sizeOf);
    expect(tails.map(({ size }) => size)).toEqual(sizes.slice(2));
  });

  test("say which hours must be read: older ones that they do not have", () => {
    const { tails } = append(small(START));
    const frame = frameAt(
      [START - 2 * HOUR_MS, START - HOUR_MS, START, START + HOUR_MS],
      column(HOST, "a", 1, 2, 3, 4),
    );
    expect(unknownHours(frame, tails)).toEqual([HOUR - 2, HOUR - 1]);
    expect(unknownHours(small(START), tails)).toEqual([]);
    expect(unknownHours(small(START), [])).toEqual([]);
  });

  test("that cannot be trusted are found again: all hours from the frame's own to the newest that may be there", () => {
    const hours = unknownHours(small(START), null);
    expect(hours[0]).toBe(HOUR);
    // 48 h after a sample's own hour, and five minutes that a clock may be ahead.
    expect(hours.at(-1)).toBe(HOUR + 49);
    expect(unknownHours(frameAt([]), null)).toEqual([]);
  });
});

test("an hour is late once it was looked at for the second time", () => {
  expect(isLate(HOUR, START + HOUR_MS + LATE_MS - 1)).toBe(false);
  expect(isLate(HOUR, START + HOUR_MS + LATE_MS)).toBe(true);
  expect(hoursOf(frameAt([START - 1, START, START + 1]))).toEqual([HOUR - 1, HOUR]);
  expect(hoursOf(frameAt([]))).toEqual([]);
});

const anyValue = fc.oneof(
  fc.constant(Number.NaN),
  fc.constantFrom(0, -0, 1, Number.MAX_VALUE),
  fc.integer({ min: 0, max: 500 }).map((value) => value / 100),
  fc.integer({ min: 0, max: 2 ** 20 }).map((pages) => pages * 4096),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const ALL_SERIES = [HOST, VM, "f0000000-0000-4000-8000-000000000001"].flatMap((entity) =>
  ["cpu_used_cores", "memory_used_bytes", "custom"].map((metric) => ({ entity, metric })),
);
const anySeries = fc.oneof(
  fc.constant(ALL_SERIES),
  fc.constant(ALL_SERIES.slice(0, 5)),
  fc.shuffledSubarray(ALL_SERIES, { minLength: 1 }),
);
const anyTimes = fc
  .tuple(fc.nat(3), fc.uniqueArray(fc.integer({ min: -30, max: 90 }), { minLength: 1, maxLength: 6 }))
  .map(([hour, minutes]) =>
    minutes.toSorted((a, b) => a - b).map((minute) => START + hour * HOUR_MS + minute * 60_000),
  );
const anyFrame: fc.Arbitrary<Frame> = fc.tuple(anyTimes, anySeries).chain(([times, series]) =>
  fc
    .array(fc.array(anyValue, { minLength: times.length, maxLength: times.length }), {
      minLength: series.length,
      maxLength: series.length,
    })
    .map((values) => ({
      times,
      columns: series.map((one, place) => ({ ...one, values: Float64Array.from(values[place] ?? []) })),
    })),
);
type Step = Frame | "restart" | "distrust" | { close: number };
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: anyFrame },
  fc.constantFrom<Step>("restart", "distrust"),
  fc.integer({ min: -1, max: 4 }).map((hour) => ({ close: HOUR + hour })),
);

/** The writer after all of it, and what should be there. */
function afterSteps(steps: readonly Step[]): { writer: Writer; samples: Map<string, number> } {
  let writer = NEW_WRITER;
  let trusted = true;
  const frames: Frame[] = [];
  for (const step of steps) {
    if (step === "restart") writer = restarted(writer);
    else if (step === "distrust") trusted = false;
    else if ("close" in step) writer = closed(writer, step.close);
    else {
      writer = written(writer, step, START, trusted);
      trusted = true;
      frames.push(step);
    }
  }
  return { writer, samples: samplesOf(...frames) };
}

describe("whatever is appended is read back, later samples over earlier ones,", () => {
  test("with tails remembered, read or found again, and hours packed in between", () => {
    fc.assert(
      fc.property(fc.array(anyStep, { minLength: 1, maxLength: 15, size: "max" }), (steps) => {
        const { writer, samples } = afterSteps(steps);
        expect(samplesIn(writer.rows)).toEqual(samples);
      }),
      { seed: 66, numRuns: 1000 },
    );
  });

  test("after an earlier hour was written to with tails that were not trusted", () => {
    const frame = large(100, 80);
    const correction = frameAt([START], column(VM, "m0", 5));
    let writer = [frame, frame].reduce((all, one) => written(all, one, START), NEW_WRITER);
    expect(writer.rows.size).toBe(2);
    writer = written(writer, small(START - 1), START, false);
    writer = written(writer, correction, START);
    expect(samplesIn(writer.rows)).toEqual(samplesOf(frame, small(START - 1), correction));
  });

  test("over several parts of an hour, none of them over its limit", () => {
    const anyLarge = fc
      .tuple(fc.integer({ min: 10, max: 150 }), fc.integer({ min: 1, max: 100 }), fc.integer({ min: -200, max: 200 }))
      .map(([times, series, start]) => large(times, series, START + start));
    const anyLargeStep = fc.oneof({ weight: 6, arbitrary: anyLarge }, anyStep);
    let parts = 0;
    fc.assert(
      fc.property(fc.array(anyLargeStep, { minLength: 3, maxLength: 8, size: "max" }), (steps) => {
        const { writer, samples } = afterSteps(steps);
        expect(samplesIn(writer.rows)).toEqual(samples);
        const rows = chunksOf(writer.rows);
        for (const row of rows) expect(sizeOf(row)).toBeLessThanOrEqual(PART_BYTES_MAX);
        parts = Math.max(parts, ...rows.map((row) => chunkKey(row.id).part + 1));
      }),
      { seed: 67, numRuns: 25 },
    );
    expect(parts).toBeGreaterThan(2);
  });
});
