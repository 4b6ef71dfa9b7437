import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ChunkError, toHex } from "../../../worker/model/telemetry/bytes.ts";
import { type Frame, HOST } from "../../../worker/model/telemetry/frame.ts";
import {
  addHour,
  dropHour,
  emptyWindow,
  expiredHours,
  readWindow,
  type Window,
  writeWindow,
} from "../../../worker/model/telemetry/window.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const OTHER_VM = "f0000000-0000-4000-8000-000000000001";
const HOUR = 3_600_000;
const FIRST = 498_722;

type Series = [entity: string, metric: string, values: number[]];

/** Samples a minute apart from the start of an hour. */
const frameOf = (hour: number, ...series: Series[]): Frame => ({
  times: Array.from(
    { length: Math.max(...series.map(([, , { length }]) => length)) },
    (_, i) => hour * HOUR + i * 60_000,
  ),
  columns: series.map(([entity, metric, values]) => ({ entity, metric, values: Float64Array.from(values) })),
});

const anyValue = fc.oneof(
  fc.constant(Number.NaN),
  fc.integer({ min: 0, max: 9 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
const anyValues = fc.array(anyValue, { minLength: 8, maxLength: 8 });
const anyMetric = fc.constantFrom("cpu_used_cores", "memory_used_bytes", "page_fault_rate", "not_in_the_catalogue");
const anyHour = fc.uniqueArray(fc.tuple(fc.constantFrom(HOST, VM, OTHER_VM), anyMetric, anyValues), {
  minLength: 1,
  maxLength: 6,
  selector: ([entity, metric]) => entity + metric,
});
/** Frames of as many hours, one after the other. */
const anyHours = fc
  .array(anyHour, { minLength: 1, maxLength: 8 })
  .map((hours) => hours.map((series, index) => frameOf(FIRST + index, ...series)));

const windowOf = (frames: readonly Frame[], hours: readonly number[]): Window =>
  hours.reduce(
    (window, index) => addHour(window, FIRST + index, frames[index] ?? frameOf(0, [HOST, "", []])),
    emptyWindow(),
  );

const hex = (window: Window | null): string => (window === null ? "null" : toHex(writeWindow(window)));

describe("a window", () => {
  test("kept hour by hour is the window made anew from the hours that are left, byte for byte", () => {
    fc.assert(
      fc.property(
        anyHours.chain((frames) =>
          fc.record({
            frames: fc.constant(frames),
            added: fc.shuffledSubarray([...frames.keys()], { minLength: frames.length }),
            dropped: fc.shuffledSubarray([...frames.keys()]),
          }),
        ),
        ({ frames, added, dropped }) => {
          let window: Window | null = windowOf(frames, added);
          for (const index of dropped)
            window = window && dropHour(window, FIRST + index, frames[index] ?? frameOf(0, [HOST, "", []]));
          const left = [...frames.keys()].filter((index) => !dropped.includes(index));
          expect(hex(window)).toBe(hex(windowOf(frames, left)));
          expect(window).toEqual(windowOf(frames, left));
        },
      ),
      { seed: 21, numRuns: 300 },
    );
  });

  test("takes an hour once, whatever the frame says the second time, and drops it once", () => {
    const frame = frameOf(FIRST, [HOST, "cpu_used_cores", [1, 2]]);
    const window = addHour(emptyWindow(), FIRST, frame);
    expect(addHour(window, FIRST, frameOf(FIRST, [HOST, "cpu_used_cores", [3]]))).toBe(window);
    const empty = dropHour(window, FIRST, frame) ?? window;
    expect(empty).toEqual(emptyWindow());
    expect(dropHour(empty, FIRST, frame)).toBe(empty);
  });

  test("takes of a frame what is of that hour and in the catalogue; nothing of it is no hour", () => {
    const frame = frameOf(
      FIRST,
      [HOST, "cpu_used_cores", [1, Number.NaN, 3]],
      [VM, "custom", [1]],
      [VM, "power_watts", []],
    );
    const window = addHour(emptyWindow(), FIRST, frame);
    expect([...window.hours]).toEqual([[FIRST, 2]]);
    expect([...window.series.values()].map(({ entity, metric }) => [entity, metric])).toEqual([
      [HOST, "cpu_used_cores"],
    ]);
    expect(addHour(window, FIRST + 1, frame)).toBe(window);
    expect(addHour(window, FIRST + 1, frameOf(FIRST + 1, [VM, "custom", [1]]))).toBe(window);
  });

  test.each<[string, Series[]]>([
    ["a sample more than was added", [[HOST, "cpu_used_cores", [1, 2, 3, 3]]]],
    ["a sample less", [[HOST, "cpu_used_cores", [1, 2]]]],
    ["another value", [[HOST, "cpu_used_cores", [1, 2, 9]]]],
    ["another series", [[VM, "cpu_used_cores", [1, 2, 3]]]],
    ["nothing", [[HOST, "cpu_used_cores", []]]],
  ])("cannot be rid of an hour with a frame that has %s", (_, series) => {
    const window = addHour(emptyWindow(), FIRST, frameOf(FIRST, [HOST, "cpu_used_cores", [1, 2, 3]]));
    expect(dropHour(window, FIRST, frameOf(FIRST, ...series))).toBeNull();
  });

  test("says which hours are no longer among the last 24", () => {
    const hours = Array.from({ length: 26 }, (_, index) => FIRST + index);
    const window = hours.reduce(
      (all, hour) => addHour(all, hour, frameOf(hour, [HOST, "cpu_used_cores", [1]])),
      emptyWindow(),
    );
    expect(expiredHours(window, FIRST + 25)).toEqual([FIRST, FIRST + 1]);
    expect(expiredHours(window, FIRST + 23)).toEqual([]);
  });
});

describe("a window as bytes", () => {
  const example = (): Window =>
    addHour(
      addHour(emptyWindow(), FIRST + 1, frameOf(FIRST + 1, [HOST, "memory_used_bytes", [4096]])),
      FIRST,
      frameOf(FIRST, [HOST, "cpu_used_cores", [0, 1, 1, 2, 1]]),
    );

  test("are those of the worked example in WINDOW.md", () => {
    const page = readFileSync("worker/model/telemetry/WINDOW.md", "utf8");
    const [, table = ""] = page.split("## Worked example");
    const cells = table.split("\n").flatMap((line) => /^\| (`[^|]*`) \|/.exec(line)?.[1]?.split(/[` ]+/) ?? []);
    expect(cells.join("")).toBe(hex(example()));
  });

  test("come back as they were", () => {
    fc.assert(
      fc.property(anyHours, (frames) => {
        const window = windowOf(frames, [...frames.keys()]);
        expect(readWindow(writeWindow(window))).toEqual(window);
      }),
      { seed: 22, numRuns: 300 },
    );
  });

  test("a day of 20 VMs with twelve series each, and of their host, takes under 40 kB", () => {
    const metrics = ["cpu_used_cores", "memory_used_bytes", "page_fault_rate", "swap_in_bytes_per_second"];
    const more = [
      "network_receive_bytes_per_second",
      "network_transmit_bytes_per_second",
      "disk_read_bytes_per_second",
    ];
    const last = ["disk_write_bytes_per_second", "cpu_steal_ratio", "memory_nonzero_bytes", "power_watts"];
    const all = [...metrics, ...more, ...last, "memory_working_set_bytes"];
    const entities = [HOST, ...Array.from({ length: 20 }, (_, index) => OTHER_VM.replace(/\d\d$/, String(10 + index)))];
    const columns = entities.flatMap((entity, e) =>
      all.map((metric, m) => ({
        entity,
        metric,
        // A daily course with bursts, over a factor of about four.
        values: Float64Array.from({ length: 240 }, (_, i) => (e + m) * (2 + Math.sin(i / 40) + 0.6 * Math.sin(i * i))),
      })),
    );
    const times = (hour: number): number[] => Array.from({ length: 240 }, (_, index) => hour * HOUR + index * 15_000);
    let window = emptyWindow();
    for (let hour = FIRST; hour < FIRST + 24; hour++) window = addHour(window, hour, { times: times(hour), columns });
    expect(window.series.size).toBe(252);
    expect(writeWindow(window).length).toBeLessThan(40_000);
  });

  /** Of what is no window, 0; anything but a ChunkError is thrown. */
  function seriesIn(bytes: Uint8Array): number {
    try {
      return readWindow(bytes).series.size;
    } catch (error) {
      if (error instanceof ChunkError) return 0;
      throw error;
    }
  }

  test("that are cut short, continued or changed are refused, or are another window", () => {
    const bytes = writeWindow(example());
    for (let end = 0; end < bytes.length; end++) expect(() => readWindow(bytes.subarray(0, end))).toThrow(ChunkError);
    expect(() => readWindow(Uint8Array.of(...bytes, 0))).toThrow(ChunkError);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), (place, value) => {
        const changed = bytes.with(place, value);
        expect(seriesIn(changed)).toBeGreaterThanOrEqual(0);
      }),
      { seed: 23, numRuns: 2000 },
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (any) => {
        expect(seriesIn(Uint8Array.of(1, ...any))).toBeGreaterThanOrEqual(0);
      }),
      { seed: 24, numRuns: 2000 },
    );
  });

  test("what is read is written the same again: there is one way to write a window", () => {
    const bytes = writeWindow(example());
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 0, max: 255 }), (place, value) => {
        const changed = bytes.with(place, value);
        fc.pre(seriesIn(changed) > 0);
        expect(toHex(writeWindow(readWindow(changed)))).toBe(toHex(changed));
      }),
      { seed: 25, numRuns: 500 },
    );
  });
});
