import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { acceptBatch, type Accepted } from "../../../worker/model/telemetry/ingest.ts";
import type { TelemetryBatch } from "../../../worker/model/wire/telemetry.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const OTHER_VM = "f0000000-0000-4000-8000-000000000001";
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
function stored({ frame: { times, columns } }: Accepted): Record<string, number> {
  const out: Record<string, number> = {};
  for (const { entity, metric, values } of columns)
    values.forEach((value, index) => {
      if (!Number.isNaN(value)) out[`${entity}/${metric}@${(times[index] ?? 0) - NOW}`] = value;
    });
  return out;
}

describe("a batch", () => {
  test("becomes one frame, host and VMs together, a gap where there is no sample", () => {
    const result = accept({
      times: [NOW - 1, NOW],
      host_series: { cpu_used_cores: [1.5, 2] },
      vm_series: { [VM]: { cpu_used_cores: [0.8, null], custom: [null, -7] } },
    });
    expect(result).toMatchObject({ accepted: 4, refused: [], refusedCount: 0 });
    expect(result.frame).toEqual({
      times: [NOW - 1, NOW],
      columns: [
        { entity: "", metric: "cpu_used_cores", values: Float64Array.of(1.5, 2) },
        { entity: VM, metric: "cpu_used_cores", values: Float64Array.of(0.8, Number.NaN) },
        { entity: VM, metric: "custom", values: Float64Array.of(Number.NaN, -7) },
      ],
    });
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
    const result = accept({ host_series: { a: [null] }, vm_series: {} });
    expect(result).toMatchObject({ accepted: 0, refused: [], refusedCount: 0 });
    expect(result.frame.columns).toEqual([]);
  });

  test("is stored whole, whatever its times are within retention; each time once, rising", () => {
    const anyTime = fc.oneof(
      fc.integer({ min: NOW - RETENTION, max: NOW + 5 * MINUTE }),
      fc.integer({ min: NOW, max: NOW + 3 }),
    );
    const anySample = fc.record({ time: anyTime, a: fc.option(fc.nat(9)), b: fc.option(fc.double({ noNaN: true })) });
    fc.assert(
      fc.property(fc.array(anySample, { minLength: 1, maxLength: 30 }), (samples) => {
        const finite = samples.map((sample) => ({ ...sample, b: Number.isFinite(sample.b) ? sample.b : null }));
        const result = accept({
          times: finite.map(({ time }) => time),
          host_series: { a: finite.map(({ a }) => a) },
          vm_series: { [VM]: { b: finite.map(({ b }) => b) } },
        });
        const last = new Map<string, number>();
        for (const { time, a, b } of finite) {
          if (a !== null) last.set(`/a@${time - NOW}`, a);
          if (b !== null) last.set(`${VM}/b@${time - NOW}`, b);
        }
        expect(stored(result)).toEqual(Object.fromEntries(last));
        expect(result).toMatchObject({ accepted: last.size, refused: [] });
        expect(result.frame.times).toEqual([...new Set(finite.map(({ time }) => time))].toSorted((x, y) => x - y));
      }),
      { seed: 62, numRuns: 500 },
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

  test.each<[string, unknown]>([
    ["null", null],
    ["a number", 5],
    ["a text", "cpu_used_cores"],
    ["an array", [[1]]],
  ])("a VM of which there is %s", (_, series) => {
    const good = { a: [2] };
    const result = accept({ vm_series: { [VM]: series, [OTHER_VM]: good }, host_series: { a: [1] } });
    expect(result.refused).toEqual([{ series: `vm_series.${VM}`, reason: "must be an object of metrics" }]);
    expect(stored(result)).toEqual({ "/a@0": 1, [`${OTHER_VM}/a@0`]: 2 });
  });

  test("a refused time with all that is at it, once", () => {
    const result = accept({ times: [NOW, 1_795_399_200], host_series: { a: [1, 2], cpu_steal_ratio: [1, 7] } });
    expect(result.refused).toEqual([
      { series: "times", reason: expect.stringContaining("looks like seconds"), index: 1 },
    ]);
    expect(result.frame.times).toEqual([NOW]);
    expect(stored(result)).toEqual({ "/a@0": 1, "/cpu_steal_ratio@0": 1 });
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
    const result = accept({
      vm_dirty_curves: {
        [uuid]: report,
        [OTHER_VM]: {
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
    expect([...result.curves.keys()]).toEqual([OTHER_VM]);
  });
});
