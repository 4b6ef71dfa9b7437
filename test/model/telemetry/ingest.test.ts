import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mergeFrames, readColumns } from "../../../worker/model/telemetry/chunk.ts";
import { PART_BYTES_MAX } from "../../../worker/model/telemetry/chunk-id.ts";
import { acceptBatch, type Accepted } from "../../../worker/model/telemetry/ingest.ts";
import type { TelemetryBatch } from "../../../worker/model/wire/telemetry.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
// On the hour.
const NOW = 1_795_399_200_000;
const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const RETENTION = 48 * HOUR;

const batch = (overrides: Partial<TelemetryBatch>): TelemetryBatch => ({
  host: "hv-01",
  batch: "b1",
  times: [NOW],
  ...overrides,
});
const accept = (overrides: Partial<TelemetryBatch>): Accepted => acceptBatch(batch(overrides), NOW, RETENTION);

/** Everything that would be stored, as `entity/metric@time` → value. */
function stored({ frames }: Accepted): Record<string, number> {
  const out: Record<string, number> = {};
  const merged = mergeFrames(frames.flatMap(({ frame }) => readColumns(frame, () => true)));
  for (const { entity, metric, values } of merged.columns)
    values.forEach((value, index) => {
      if (value !== null) out[`${entity}/${metric}@${(merged.times[index] ?? 0) - NOW}`] = value;
    });
  return out;
}

describe("a batch", () => {
  test("is stored by hour, host and VMs together", () => {
    const result = accept({
      times: [NOW - 1, NOW],
      host_series: { cpu_used_cores: [1.5, 2] },
      vm_series: { [VM]: { cpu_used_cores: [0.8, null], custom: [null, -7] } },
    });
    expect(result).toMatchObject({ accepted: 4, refused: [], refusedCount: 0 });
    expect(result.frames.map(({ hour }) => hour * HOUR - NOW)).toEqual([-HOUR, 0]);
    expect(stored(result)).toEqual({
      "/cpu_used_cores@-1": 1.5,
      "/cpu_used_cores@0": 2,
      [`${VM}/cpu_used_cores@-1`]: 0.8,
      [`${VM}/custom@0`]: -7,
    });
  });

  test("may come unsorted and with a time twice: the last sample wins", () => {
    const result = accept({ times: [NOW, NOW - 2, NOW], host_series: { a: [1, 2, 3], b: [4, 5, null] } });
    expect(stored(result)).toEqual({ "/a@-2": 2, "/a@0": 3, "/b@-2": 5, "/b@0": 4 });
    expect(result.accepted).toBe(4);
  });

  test("without any sample stores nothing", () => {
    expect(accept({ host_series: { a: [null] }, vm_series: {} })).toMatchObject({
      frames: [],
      accepted: 0,
      refused: [],
    });
  });

  test("that would make a frame too large is stored in several", () => {
    const times = Array.from({ length: 500 }, (_, index) => NOW + index);
    const values = times.map((_, index) => index + 0.5);
    const result = accept({
      times,
      host_series: Object.fromEntries(Array.from({ length: 300 }, (_, index) => [`m${index}`, values])),
    });
    expect(result.accepted).toBe(150_000);
    expect(result.frames.length).toBeGreaterThan(1);
    expect(Math.max(...result.frames.map(({ frame }) => frame.length))).toBeLessThanOrEqual(PART_BYTES_MAX);
    expect(Object.keys(stored(result))).toHaveLength(150_000);
  });

  test("is stored whole, whatever its times are within retention", () => {
    const anyTimes = fc.array(fc.integer({ min: NOW - RETENTION, max: NOW + 5 * MINUTE }), {
      minLength: 1,
      maxLength: 30,
    });
    fc.assert(
      fc.property(anyTimes, (times) => {
        const result = accept({ times, host_series: { a: times.map((_, index) => index) } });
        const last = new Map(times.map((time, index) => [`/a@${time - NOW}`, index]));
        expect(stored(result)).toEqual(Object.fromEntries(last));
        expect(result.refused).toEqual([]);
      }),
    );
  });
});

describe("refused, the rest kept:", () => {
  test.each<[string, unknown, string]>([
    ["no array", 5, "must be an array of 2 values"],
    ["an array of another length", [1], "must be an array of 2 values"],
  ])("a series that is %s", (_, values, reason) => {
    const result = accept({ times: [NOW, NOW + 1], host_series: { bad: values, good: [1, 2] } });
    expect(result.refused).toEqual([{ series: "host_series.bad", reason: expect.stringContaining(reason) }]);
    expect(result.accepted).toBe(2);
  });

  test.each<[string, string, unknown, string]>([
    ["a text", "a", "1", "neither a finite number nor null"],
    ["an infinite number", "a", Infinity, "neither a finite number nor null"],
    ["a ratio over 1", "cpu_steal_ratio", 1.01, "above 1, the most that cpu_steal_ratio can be"],
    ["a negative figure", "memory_used_bytes", -1, "below 0, the least that memory_used_bytes can be"],
    ["a rate to a peer below 0", "peer_bytes_per_second:ab12", -1, "below 0"],
  ])("%s", (_, metric, value, reason) => {
    const result = accept({ times: [NOW - 1, NOW], vm_series: { [VM]: { [metric]: [value, 0] } } });
    expect(result.refused).toEqual([
      { series: `vm_series.${VM}.${metric}`, reason: expect.stringContaining(reason), index: 0 },
    ]);
    expect(stored(result)).toEqual({ [`${VM}/${metric}@0`]: 0 });
  });

  test.each(["", "1a", "a b", "a-b", "é", "__proto__", "a".repeat(129)])("a metric named %j", (name) => {
    const result = accept({ host_series: { [name]: [1], good: [1] } });
    expect(result.refusedCount).toBe(1);
    expect(stored(result)).toEqual({ "/good@0": 1 });
  });

  test.each(["vm-1", VM.toUpperCase(), ""])("a VM named %j", (uuid) => {
    const result = accept({ vm_series: { [uuid]: { a: [1] } }, host_series: { a: [1] } });
    expect(result.refused).toEqual([{ series: `vm_series.${uuid}`, reason: "a VM is named by its lower-case UUID" }]);
    expect(stored(result)).toEqual({ "/a@0": 1 });
  });

  test.each([
    [5 * MINUTE, true],
    [5 * MINUTE + 1, false],
    [-RETENTION, true],
    [-RETENTION - 1, false],
  ])("samples %i ms from now: %s", (offset, kept) => {
    const result = accept({ times: [NOW + offset, NOW], host_series: { a: [1, 2], b: [3, 4] } });
    expect(result.accepted).toBe(kept ? 4 : 2);
    expect(result.refused).toMatchObject(kept ? [] : [{ series: "times", index: 0 }]);
  });

  test("many: the first 50 are told, all are counted, and no name is repeated at length", () => {
    const result = accept({
      host_series: Object.fromEntries(Array.from({ length: 70 }, (_, index) => [`ü${"x".repeat(500)}${index}`, [1]])),
    });
    expect(result.refused).toHaveLength(50);
    expect(result.refusedCount).toBe(70);
    expect(result.refused[0]?.series).toMatch(/^host_series\.\?x{187}$/);
  });

  test.each<[string, string, unknown]>([
    ["of a VM without a uuid", "vm-1", { at: NOW, method: "dirty-ring", points: [[1000, 5]] }],
    ["that is no report", VM, { at: NOW, points: [] }],
    ["from the future", VM, { at: NOW + 6 * MINUTE, method: "dirty-ring", points: [[1000, 5]] }],
    ["over an hour old", VM, { at: NOW - HOUR - 1, method: "dirty-ring", points: [[1000, 5]] }],
    [
      "whose windows do not rise",
      VM,
      {
        at: NOW,
        method: "dirty-ring",
        points: [
          [1000, 5],
          [1000, 6],
        ],
      },
    ],
    [
      "whose bytes fall",
      VM,
      {
        at: NOW,
        method: "dirty-ring",
        points: [
          [1000, 5],
          [2000, 4],
        ],
      },
    ],
  ])("a dirty curve %s", (_, uuid, report) => {
    const good = "f0000000-0000-4000-8000-000000000001";
    const result = accept({
      vm_dirty_curves: {
        [uuid]: report,
        [good]: {
          at: NOW,
          method: "dirty-ring",
          points: [
            [1000, 5],
            [2000, 5],
          ],
        },
      },
    });
    expect(result.refused).toMatchObject([{ series: `vm_dirty_curves.${uuid}` }]);
    expect([...result.latestUpdate.curves.keys()]).toEqual([good]);
  });
});

test("what is over an hour old is stored, but is no reading for latest values", () => {
  const result = accept({ times: [NOW - HOUR - 1, NOW - HOUR], host_series: { a: [1, 2], b: [3, null] } });
  expect(result.accepted).toBe(3);
  expect(result.latestUpdate.frame).toEqual({
    times: [NOW - HOUR],
    columns: [{ entity: "", metric: "a", values: [2] }],
  });
  expect(accept({ times: [NOW - 2 * HOUR], host_series: { a: [1] } }).latestUpdate.frame.columns).toEqual([]);
});
