import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Frame, HOST } from "../../../worker/model/telemetry/frame.ts";
import { SKETCH_ERROR_RATIO } from "../../../worker/model/telemetry/sketch.ts";
import {
  HOST_SUMMARY_METRICS,
  type Summary,
  summaryFigures,
  summaryOf,
  summarySchema,
  VM_SUMMARY_METRICS,
} from "../../../worker/model/telemetry/summary.ts";
import { addHour, emptyWindow } from "../../../worker/model/telemetry/window.ts";

const VM = "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b";
const HOUR = 3_600_000;
const FIRST = 498_722;

type Series = [entity: string, metric: string, values: number[]];

const frameOf = (hour: number, ...series: Series[]): Frame => ({
  times: Array.from(
    { length: Math.max(...series.map(([, , { length }]) => length)) },
    (_, i) => hour * HOUR + i * 15_000,
  ),
  columns: series.map(([entity, metric, values]) => ({ entity, metric, values: Float64Array.from(values) })),
});
const windowOf = (...frames: Frame[]) =>
  frames.reduce((window, frame) => addHour(window, Math.floor((frame.times[0] ?? 0) / HOUR), frame), emptyWindow());

/** The value at the nearest rank. */
function exact(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(1, Math.ceil(q * sorted.length)) - 1] ?? Number.NaN;
}

function expectNear(found: number | null | undefined, wanted: number): void {
  // The sketch's error and half a unit of the fourth digit.
  const bound = (SKETCH_ERROR_RATIO + 5.1e-4) * Math.abs(wanted);
  expect(Math.abs((found ?? Number.NaN) - wanted)).toBeLessThanOrEqual(bound);
}

describe("a summary", () => {
  const before = frameOf(FIRST, [HOST, "cpu_used_cores", [4, 4, 4, 8]], [VM, "memory_dirty_bytes_per_second", [1e6]]);
  const last = frameOf(FIRST + 1, [HOST, "cpu_used_cores", [2, 2]], [VM, "cpu_used_cores", [0]]);

  test("says of the last hour and of the day what is known, and null of what is not", () => {
    const summary = summaryOf(windowOf(before, last), FIRST + 1, last, [VM]);
    expect(summary).toMatchObject({ at: (FIRST + 2) * HOUR, hours: 2 });
    const cpu = summaryFigures(summary, HOST, "cpu_used_cores");
    for (const [found, wanted] of [
      [cpu?.p50Hour, 2],
      [cpu?.p95Hour, 2],
      [cpu?.p50Day, 4],
      [cpu?.p95Day, 8],
    ] as const)
      expectNear(found, wanted);
    const dirty = summaryFigures(summary, VM, "memory_dirty_bytes_per_second");
    expect(dirty).toMatchObject({ p50Hour: null, p95Hour: null });
    expectNear(dirty?.p95Day, 1e6);
    expect(summaryFigures(summary, VM, "cpu_used_cores")).toEqual({ p50Hour: 0, p95Hour: 0, p50Day: 0, p95Day: 0 });
    for (const [entity, metric] of [
      [VM, "memory_used_bytes"],
      [VM, "unheard_of"],
      [HOST, "memory_dirty_bytes_per_second"],
      ["constructor", "cpu_used_cores"],
    ] as const)
      expect(summaryFigures(summary, entity, metric)).toBeNull();
  });

  test("of a silent host has no figure; a VM that is gone, or of which nothing is known, is not in it", () => {
    const silent = summaryOf(emptyWindow(), FIRST, frameOf(FIRST, [HOST, "cpu_used_cores", []]), [VM]);
    expect(silent).toMatchObject({ hours: 0, host: [], vms: {} });
    expect(summaryOf(windowOf(before, last), FIRST + 1, last, []).vms).toEqual({});
  });

  test("holds the day of a VM that was elsewhere for a part of it, and not that of the other host", () => {
    const there = frameOf(
      FIRST,
      [HOST, "cpu_used_cores", Array.from({ length: 99 }, () => 50)],
      [VM, "cpu_used_cores", Array.from({ length: 99 }, () => 3)],
    );
    const summary = summaryOf(windowOf(last), FIRST + 1, last, [VM], [windowOf(there)]);
    const day = (entity: string) => summaryFigures(summary, entity, "cpu_used_cores")?.p95Day;
    expectNear(day(VM), 3);
    expectNear(day(HOST), 2);
    expect(summaryFigures(summary, VM, "cpu_used_cores")?.p95Hour).toBe(0);
  });

  test("is within its bound of the exact quantiles", () => {
    const anyHour = fc.array(
      fc.double({ min: 0, max: 1e12, noNaN: true }).map((value) => value + 1e-6),
      {
        minLength: 1,
        maxLength: 60,
      },
    );
    fc.assert(
      fc.property(fc.array(anyHour, { minLength: 1, maxLength: 5 }), (hours) => {
        const frames = hours.map((values, index) => frameOf(FIRST + index, [VM, "memory_used_bytes", values]));
        const lastHour = FIRST + hours.length - 1;
        const summary = summaryOf(windowOf(...frames), lastHour, frames.at(-1) ?? frameOf(0), [VM]);
        const found = summaryFigures(summary, VM, "memory_used_bytes");
        expectNear(found?.p50Hour, exact(hours.at(-1) ?? [], 0.5));
        expectNear(found?.p95Hour, exact(hours.at(-1) ?? [], 0.95));
        expectNear(found?.p50Day, exact(hours.flat(), 0.5));
        expectNear(found?.p95Day, exact(hours.flat(), 0.95));
      }),
      { seed: 31, numRuns: 300 },
    );
  });
});

describe("a summary as JSON", () => {
  /** 20 VMs of 512 GiB that send, receive and dirty some GB/s, with every figure known. */
  function largest(): Summary {
    const uuids = Array.from({ length: 20 }, (_, index) => VM.replace(/..$/, String(10 + index)));
    const size = (metric: string): number =>
      metric.endsWith("bytes")
        ? 512 * 2 ** 30
        : metric.endsWith("per_second")
          ? 9.87e9
          : metric.endsWith("ratio")
            ? 1e-3
            : 99;
    const series = (entity: string, metrics: readonly string[]): Series[] =>
      metrics.map((metric) => [entity, metric, Array.from({ length: 240 }, (_, i) => size(metric) * (1 + i / 977))]);
    const all = uuids.flatMap((uuid) => series(uuid, VM_SUMMARY_METRICS));
    const frame = frameOf(FIRST, ...series(HOST, HOST_SUMMARY_METRICS), ...all);
    return summaryOf(windowOf(frame), FIRST, frame, uuids);
  }

  test("of a host with 20 large VMs is at most 8 KiB", () => {
    const summary = largest();
    expect(Object.values(summary.vms).flat()).not.toContain(null);
    expect(JSON.stringify(summary).length).toBeLessThanOrEqual(8192);
  });

  test("is what the schema says", () => {
    const summary = largest();
    expect(summarySchema.parse(JSON.parse(JSON.stringify(summary)))).toEqual(summary);
    expect(summarySchema.safeParse({ ...summary, vms: { "no-uuid": [] } }).success).toBe(false);
  });
});
