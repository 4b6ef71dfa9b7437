import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Frame, HOST } from "../../../worker/model/telemetry/frame.ts";
import { heatOf, hottest, RECENT_STEPS, recentOf } from "../../../worker/model/telemetry/recent.ts";
import { world } from "../../support/world.ts";

const NOW = 1_795_399_200_000;
const MINUTE = 60_000;
const QUARTER = 15_000;

/** Samples of some series of the host, by their distance to NOW in ms. */
function frameOf(offsets: number[], series: Record<string, number[]>, entity = HOST): Frame {
  return {
    times: offsets.map((offset) => NOW + offset),
    columns: Object.entries(series).map(([metric, values]) => ({ entity, metric, values: Float64Array.from(values) })),
  };
}

describe("newest samples", () => {
  test("are means of minutes that end with the newest one, oldest first", () => {
    const offsets = [0, 1, 2, 3, 4, 5, 6, 7].map((place) => place * QUARTER);
    const frame = frameOf(offsets, { cpu_used_cores: [1, 1, 1, 1, 2, 3, 4, 5] });
    expect(recentOf(frame, HOST, 0)).toEqual({
      at: NOW + 7 * QUARTER,
      stepMs: MINUTE,
      series: { cpu_used_cores: [1, 3.5] },
    });
  });

  test("are null in a minute without a sample; series without any are left out", () => {
    const frame = frameOf([0, 3 * MINUTE], { cpu_used_cores: [1, 2], memory_used_bytes: [Number.NaN, Number.NaN] });
    expect(recentOf(frame, HOST, 0)?.series).toEqual({ cpu_used_cores: [1, null, null, 2] });
  });

  test("of several series begin with the first sample of any", () => {
    const frame = frameOf([0, MINUTE], { cpu_used_cores: [Number.NaN, 2], memory_used_bytes: [7, Number.NaN] });
    expect(recentOf(frame, HOST, 0)).toMatchObject({
      at: NOW + MINUTE,
      series: { cpu_used_cores: [null, 2], memory_used_bytes: [7, null] },
    });
  });

  test("are those of one entity and after a time only", () => {
    const frame = frameOf([0, MINUTE, 2 * MINUTE], { cpu_used_cores: [1, 2, 3] });
    expect(recentOf(frame, HOST, NOW)?.series).toEqual({ cpu_used_cores: [2, 3] });
    expect(recentOf(frame, HOST, NOW + 2 * MINUTE)).toBeUndefined();
    expect(recentOf(frame, "0b5f4a2e-8c1d-4e3f-9a6b-7c8d9e0f1a2b", 0)).toBeUndefined();
    expect(recentOf({ times: [], columns: [] }, HOST, 0)).toBeUndefined();
  });

  test("are at most half an hour, all series equally long, each step between its least and most sample", () => {
    const anyFrame = fc
      .array(
        fc.record({
          gap: fc.integer({ min: 1, max: 3 * MINUTE }),
          values: fc.tuple(
            fc.oneof(fc.double({ min: 0, max: 1e6, noNaN: true }), fc.constant(Number.NaN)),
            fc.oneof(fc.double({ min: 0, max: 1e6, noNaN: true }), fc.constant(Number.NaN)),
          ),
        }),
        { minLength: 1, maxLength: 120 },
      )
      .map((rows) => {
        let offset = 0;
        const offsets = rows.map(({ gap }) => (offset += gap));
        return frameOf(offsets, { a: rows.map(({ values }) => values[0]), b: rows.map(({ values }) => values[1]) });
      });
    fc.assert(
      fc.property(anyFrame, (frame) => {
        const recent = recentOf(frame, HOST, 0);
        const all = frame.columns.flatMap(({ values }) => [...values]).filter((value) => !Number.isNaN(value));
        if (recent === undefined) return all.length === 0;
        const lengths = Object.values(recent.series).map((values) => values.length);
        const told = Object.values(recent.series)
          .flat()
          .filter((value) => value !== null);
        const slack = 1e-3 * Math.max(...all);
        return (
          new Set(lengths).size === 1 &&
          (lengths[0] ?? 0) <= RECENT_STEPS &&
          Object.values(recent.series).some((values) => values.at(-1) !== null) &&
          Object.values(recent.series).some((values) => values[0] !== null) &&
          told.every((value) => value >= Math.min(...all) - slack && value <= Math.max(...all) + slack)
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("whose newest samples are read", () => {
  const { hosts } = world({
    hosts: {
      "hv-cpu": { cores: 10, cpuUsedCores: 7 },
      "hv-cold": { cores: 10, cpuUsedCores: 1 },
      "hv-silent": { cores: 10, cpuUsedCores: 9, silentMs: null },
      "hv-unknown": { cpuUsedCores: null },
    },
  });
  const [base] = hosts;
  if (base === undefined) throw new Error("no host");

  test("are the hottest first, and none that was never heard", () => {
    expect(hottest(hosts, 9, 0).map(({ hostId }) => hostId)).toEqual(["hv-cpu", "hv-cold", "hv-unknown"]);
    expect(hottest(hosts, 1, 0).map(({ hostId }) => hostId)).toEqual(["hv-cpu"]);
    expect(hottest(hosts, 9, 0.6).map(({ hostId }) => hostId)).toEqual(["hv-cpu"]);
  });

  test.each([
    [{ memoryUsedBytes: 48 * 2 ** 30 }, 0.75],
    [{ networkReceiveBytesPerSecond: 0.5 * 1_177_000_000 }, 0.5],
    [{ networkTransmitBytesPerSecond: 0.25 * 1_177_000_000 }, 0.25],
    [{ cpuPressureRatio: 0.9, memoryPressureRatio: 0.1 }, 0.9],
    [{ memoryPressureRatio: 0.8 }, 0.8],
    [{}, 0],
  ])("by what a host has most used: %j is %d", (load, heat) => {
    expect(heatOf({ ...base, load })).toBe(heat);
  });
});
