import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { chunkId, type Tier } from "../../../worker/model/telemetry/chunk-id.ts";
import {
  advanceWindow,
  closeHour,
  type ClosedHour,
  dayOf,
  hoursToDrop,
  isOpen,
  isSummarized,
  lastClosedHour,
  rangeOf,
  rebuildWindow,
  windowHours,
} from "../../../worker/model/telemetry/closing.ts";
import { EMPTY_FRAME, type Frame, HOST, mergeFrames } from "../../../worker/model/telemetry/frame.ts";
import { layoutOf, writeLiveFrame } from "../../../worker/model/telemetry/live.ts";
import { mergeRollup, type Rollup, rollUp } from "../../../worker/model/telemetry/rollup.ts";
import { chunkFrame, type StoredChunk, unpack } from "../../../worker/model/telemetry/stored-chunk.ts";
import { emptyWindow, type Window, writeWindow } from "../../../worker/model/telemetry/window.ts";
import { joined, samplesOf } from "./any-live.ts";
import { anyValues, METRICS, seriesOf, VM_A, VM_B } from "./any-packed.ts";

const HOST_NUMBER = 7;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** The first hour of a day. */
const FIRST = 20_780 * 24;

const id = (hour: number, part = 0, tier: Tier = "raw"): number =>
  chunkId({ hostNumber: HOST_NUMBER, tier, hour, part });

const chunk = (at: number, stated: Partial<StoredChunk>): StoredChunk => ({
  id: at,
  revision: 1,
  head: null,
  live: null,
  packed: null,
  ...stated,
});

/** A batch of some series of the host or of a VM at some moments of an hour. */
const anyBatch = (hour: number): fc.Arbitrary<Frame> =>
  fc
    .tuple(
      fc.uniqueArray(fc.integer({ min: 0, max: HOUR - 1 }), { minLength: 1, maxLength: 8 }),
      fc.constantFrom(HOST, VM_A, VM_B),
      fc.subarray(METRICS, { minLength: 1, maxLength: 3 }),
    )
    .chain(([offsets, entity, metrics]) =>
      fc.tuple(...metrics.map(() => anyValues(offsets.length))).map((series): Frame => ({
        times: offsets.toSorted((a, b) => a - b).map((offset) => hour * HOUR + offset),
        columns: metrics.map((metric, place) => ({
          entity,
          metric,
          values: Float64Array.from(series[place] ?? [], (value) => (Math.abs(value) === Infinity ? 0 : value)),
        })),
      })),
    );

const appended = (frames: readonly Frame[]): Uint8Array | null =>
  frames.length === 0 ? null : joined(frames.map((frame) => writeLiveFrame(frame, layoutOf(frame.columns), true)));

/** An hour's batches as they lie in its parts before it is closed. */
const open = (hour: number, parts: readonly (readonly Frame[])[]): StoredChunk[] =>
  parts.map((frames, part) =>
    chunk(id(hour, part), {
      revision: frames.length,
      head: appended(frames.filter(({ columns }) => columns[0]?.entity === HOST)),
      live: appended(frames.filter(({ columns }) => columns[0]?.entity !== HOST)),
    }),
  );

const anyParts = (hour: number): fc.Arbitrary<Frame[][]> =>
  fc.array(fc.array(anyBatch(hour), { minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 3 });

const close = (hour: number, raw: readonly StoredChunk[], day: readonly StoredChunk[] = []): ClosedHour =>
  closeHour(HOST_NUMBER, hour, raw, day);

/** Raw chunks after the close. */
const rawAfter = ({ replaced }: ClosedHour): StoredChunk[] =>
  replaced.map(({ id: at, revision, packed }) => chunk(at, { revision: revision + 1, packed }));

/** The chunks of a day in the coarsest tier after the close. */
const dayAfter = ({ written }: ClosedHour): StoredChunk[] =>
  written.filter(({ id: at }) => at >= id(0, 0, "1h")).map(({ id: at, packed }) => chunk(at, { packed }));

const plain = ({ times, columns }: Rollup) => ({
  times: [...times],
  series: seriesOf({ times, aggregates: 5, columns }),
});

describe("an hour that is closed", () => {
  test("keeps every sample, bit for bit, in packed chunks alone", () => {
    fc.assert(
      fc.property(anyParts(FIRST), (parts) => {
        const raw = open(FIRST, parts);
        const closed = close(FIRST, raw);
        const after = rawAfter(closed);
        expect(after.some(isOpen)).toBe(false);
        expect(samplesOf([chunkFrame(after)])).toEqual(samplesOf([chunkFrame(raw)]));
        expect(samplesOf([closed.frame])).toEqual(samplesOf([chunkFrame(raw)]));
      }),
      { seed: 71, numRuns: 120 },
    );
  });

  test("that gets more samples later ends up as if all of them had come before", () => {
    fc.assert(
      fc.property(anyParts(FIRST), fc.array(anyBatch(FIRST), { minLength: 1, maxLength: 3 }), (parts, late) => {
        const first = close(FIRST, open(FIRST, parts));
        const [late0] = open(FIRST, [late]);
        const rows = rawAfter(first);
        const last = rows.pop() ?? chunk(id(FIRST), {});
        const behind = [...rows, { ...last, head: late0?.head ?? null, live: late0?.live ?? null }];
        const again = close(FIRST, behind, dayAfter(first));
        const whole = close(FIRST, open(FIRST, [...parts, late]));
        expect(samplesOf([again.frame])).toEqual(samplesOf([whole.frame]));
        expect(again.written).toEqual(whole.written);
      }),
      { seed: 72, numRuns: 100 },
    );
  });

  test("that is closed again becomes the same, byte for byte", () => {
    fc.assert(
      fc.property(anyParts(FIRST), (parts) => {
        const once = close(FIRST, open(FIRST, parts));
        const twice = close(FIRST, rawAfter(once), dayAfter(once));
        expect(twice.replaced.map(({ packed }) => packed)).toEqual(once.replaced.map(({ packed }) => packed));
        expect(twice.written).toEqual(once.written);
      }),
      { seed: 73, numRuns: 100 },
    );
  });

  test("is rolled up to five minutes and to an hour, as its samples are", () => {
    fc.assert(
      fc.property(anyParts(FIRST), (parts) => {
        const { frame, written } = close(FIRST, open(FIRST, parts));
        const of = (tier: Tier): Rollup => {
          const packed = written.find(({ id: at }) => at === id(FIRST, 0, tier))?.packed;
          return packed === undefined ? { times: [], aggregates: 5, columns: [] } : unpack(packed);
        };
        const [from, to] = [FIRST * HOUR, (FIRST + 1) * HOUR];
        expect(plain(of("5min"))).toEqual(plain(rollUp(frame, 5 * MINUTE, from, to)));
        expect(plain(of("1h"))).toEqual(plain(rollUp(frame, HOUR, from, to)));
        const hasSamples = samplesOf([frame]).length > 0;
        expect(written.map(({ id: at }) => at)).toEqual(hasSamples ? [id(FIRST, 0, "5min"), id(FIRST, 0, "1h")] : []);
      }),
      { seed: 74, numRuns: 100 },
    );
  });
});

const batch = (hour: number, value: number, entity = HOST, metric = "cpu_used_cores"): Frame => ({
  times: [hour * HOUR + 1],
  columns: [{ entity, metric, values: Float64Array.of(value) }],
});

describe("the chunks of a closed hour", () => {
  test("are none where there were none", () => {
    expect(close(FIRST, [])).toEqual({ frame: EMPTY_FRAME, replaced: [], removed: [], written: [] });
  });

  test("are removed where fewer parts are enough, each as it was read", () => {
    const raw = [0, 3].map((part) =>
      chunk(id(FIRST, part), { revision: 17 + part, head: appended([batch(FIRST, part)]) }),
    );
    const { replaced, removed } = close(FIRST, raw);
    expect(replaced.map(({ id: at, revision, packed }) => [at, revision, packed === null])).toEqual([
      [id(FIRST, 0), 17, false],
    ]);
    expect(removed).toEqual([{ id: id(FIRST, 3), revision: 20 }]);
  });

  test("stay where something was packed in them, so that no revision of it comes again", () => {
    const { replaced: first } = close(FIRST, open(FIRST, [[batch(FIRST, 1)]]));
    const raw = [0, 1].map((part) => chunk(id(FIRST, part), { revision: 5, packed: first[0]?.packed ?? null }));
    const { replaced, removed } = close(FIRST, raw);
    expect(replaced.map(({ id: at, revision, packed }) => [at, revision, packed === null])).toEqual([
      [id(FIRST, 0), 5, false],
      [id(FIRST, 1), 5, true],
    ]);
    expect(removed).toEqual([]);
  });

  test("have the revision 0 where one was not there", () => {
    const raw = [chunk(id(FIRST, 3), { revision: 2, head: appended([batch(FIRST, 3)]) })];
    expect(close(FIRST, raw).replaced.map(({ id: at, revision }) => [at, revision])).toEqual([[id(FIRST, 0), 0]]);
  });

  test("hold nothing where the batches held nothing", () => {
    const gap = batch(FIRST, Number.NaN);
    const closed = close(FIRST, open(FIRST, [[gap]]));
    expect(closed.replaced).toEqual([]);
    expect(closed.removed).toEqual([{ id: id(FIRST), revision: 1 }]);
    expect(closed.written).toEqual([]);
  });
});

describe("a day in the coarsest tier", () => {
  test("is the same in whatever order its hours are closed, one or more than once", () => {
    const hours = [0, 1, 5, 23].map((offset) => FIRST + offset);
    const anyHours = fc.tuple(...hours.map((hour) => anyParts(hour)));
    const anyOrder = fc
      .tuple(fc.shuffledSubarray([...hours.keys()], { minLength: 4 }), fc.subarray([...hours.keys()]))
      .map(([all, again]) => [...all, ...again]);
    const closeAll = (parts: Frame[][][], order: readonly number[]): StoredChunk[] =>
      order.reduce<StoredChunk[]>((day, place) => {
        const hour = hours[place] ?? FIRST;
        const after = dayAfter(close(hour, open(hour, parts[place] ?? []), day));
        return after.length === 0 ? day : after;
      }, []);
    fc.assert(
      fc.property(anyHours, anyOrder, (parts, order) => {
        const day = closeAll(parts, order);
        const rolled = hours.map((hour, place) =>
          rollUp(mergeFrames((parts[place] ?? []).flat()), HOUR, hour * HOUR, (hour + 1) * HOUR),
        );
        const expected = rolled.reduce(mergeRollup);
        expect(day.map(({ id: at }) => at)).toEqual(expected.columns.length === 0 ? [] : [id(FIRST, 0, "1h")]);
        for (const { packed } of day) expect(plain(unpack(packed ?? new Uint8Array()))).toEqual(plain(expected));
        expect(day).toEqual(closeAll(parts, [...hours.keys()]));
      }),
      { seed: 75, numRuns: 40 },
    );
  });

  test.each([
    [FIRST, FIRST],
    [FIRST + 23, FIRST],
    [FIRST + 24, FIRST + 24],
    [0, 0],
  ])("of the hour %i begins with the hour %i", (hour, day) => {
    expect(dayOf(hour)).toBe(day);
    expect((dayOf(hour) * HOUR) % DAY).toBe(0);
  });
});

describe("an hour is closed", () => {
  test.each([
    ["not before five minutes after its end", 5 * MINUTE - 1, FIRST - 2],
    ["five minutes after its end", 5 * MINUTE, FIRST - 1],
    ["until the next one is", HOUR + 5 * MINUTE - 1, FIRST - 1],
  ])("%s", (_, offset, expected) => expect(lastClosedHour(FIRST * HOUR + offset)).toBe(expected));

  test("with all parts of its tier, and no other's", () => {
    const { first, last } = rangeOf(HOST_NUMBER, "5min", FIRST);
    expect([first, last]).toEqual([id(FIRST, 0, "5min"), id(FIRST, 127, "5min")]);
    expect(last + 1).toBe(id(FIRST + 1, 0, "5min"));
  });
});

describe("the window of the last 24 hours", () => {
  const hex = (window: Window | null): string => (window === null ? "null" : writeWindow(window).join());
  const framesOf = (hours: ReadonlyMap<number, Frame>, last: number): [number, Frame][] =>
    windowHours(last).flatMap((hour): [number, Frame][] => {
      const frame = hours.get(hour);
      return frame === undefined ? [] : [[hour, frame]];
    });

  test("brought on hour by hour is the one made anew", () => {
    const anyHours = fc.array(
      fc.tuple(fc.constantFrom(1, 1, 1, 2, 7, 30), fc.array(anyBatch(0), { minLength: 1, maxLength: 3 })),
      { minLength: 1, maxLength: 40 },
    );
    const moved = (frame: Frame, hour: number): Frame => ({
      ...frame,
      times: frame.times.map((time) => time + hour * HOUR),
    });
    fc.assert(
      fc.property(anyHours, (steps) => {
        const hours = new Map<number, Frame>();
        let window: Window | null = emptyWindow();
        let hour = FIRST;
        for (const [step, batches] of steps) {
          hour += step;
          const frame = moved(mergeFrames(batches), hour);
          hours.set(hour, frame);
          const old: number[] | null = window && hoursToDrop(window, hour);
          const samples: Map<number, Frame> = new Map(
            (old ?? []).map((each) => [each, hours.get(each) ?? EMPTY_FRAME]),
          );
          window = window && advanceWindow(window, hour, frame, samples);
          expect(hex(window)).toBe(hex(rebuildWindow(framesOf(hours, hour))));
        }
      }),
      { seed: 76, numRuns: 60 },
    );
  });

  const two = rebuildWindow([
    [FIRST, batch(FIRST, 1)],
    [FIRST + 5, batch(FIRST + 5, 2)],
  ]);

  test.each<[string, number, number[] | null]>([
    ["goes on to the next hour, and drops nothing", FIRST + 6, []],
    ["goes on to the last hour with which all of it stays", FIRST + 23, []],
    ["goes on to the first hour with which one is over", FIRST + 24, [FIRST]],
    ["goes on to an hour with which all of it is over", FIRST + 99, [FIRST, FIRST + 5]],
    ["does not go on to an hour that it has", FIRST + 5, null],
    ["does not go on to an hour before one that it has", FIRST + 4, null],
  ])("%s", (_, hour, expected) => {
    expect(hoursToDrop(two, hour)).toEqual(expected);
    const samples = new Map((expected ?? []).map((old) => [old, batch(old, old === FIRST ? 1 : 2)]));
    expect(advanceWindow(two, hour, batch(hour, 3), samples) === null).toBe(expected === null);
  });

  test("must be made anew where an hour that is over is not what it was", () => {
    expect(advanceWindow(two, FIRST + 24, batch(FIRST + 24, 3), new Map([[FIRST, batch(FIRST, 9)]]))).toBeNull();
  });

  test("has the catalogue's metrics, and 24 hours", () => {
    expect(isSummarized("cpu_used_cores")).toBe(true);
    expect(isSummarized("custom")).toBe(false);
    expect(windowHours(FIRST)).toEqual(Array.from({ length: 24 }, (_, index) => FIRST - 23 + index));
  });
});
