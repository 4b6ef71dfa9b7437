import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import type { EstimateWindow } from "../../../worker/model/migration/types.ts";
import { anyInput, inputOf } from "./support.ts";

const HOUR = 3_600_000;

const inWindow = (hours: number, of: Partial<EstimateWindow> = {}): EstimateWindow => ({
  startsInMs: hours * HOUR,
  durationMs: HOUR,
  dirtyRatio: 1,
  linkRatio: 1,
  ...of,
});

/** Too hot for pre-copy, and only that is asked for. */
const hot = { mechanisms: ["pre-copy" as const], vm: { dirtyRateBytesPerSecond: 2e9 } };
/** Needs post-copy now: it cannot be had cheaper than its premium. */
const warm = { vm: { dirtyRateBytesPerSecond: 2e9 } };

describe("a window worth waiting for", () => {
  test.each<[string, Parameters<typeof inputOf>[0], EstimateWindow[], number | null]>([
    ["no forecast", hot, [], null],
    ["nothing changes", hot, [inWindow(1)], null],
    ["everything is refused now, not in two hours", hot, [inWindow(1), inWindow(2, { dirtyRatio: 0.001 })], 2],
    ["the earliest of two", hot, [inWindow(5, { dirtyRatio: 0.001 }), inWindow(3, { dirtyRatio: 0.002 })], 3],
    [
      "a window shorter than the migration is none",
      hot,
      [inWindow(1, { dirtyRatio: 0.001, durationMs: 5000 }), inWindow(4, { dirtyRatio: 0.001 })],
      4,
    ],
    ["a window that is now is no wait", hot, [inWindow(0, { dirtyRatio: 0.001 })], null],
    ["pre-copy then, against post-copy now", warm, [inWindow(6, { dirtyRatio: 0.002 })], 6],
    ["a VM that moves easily does not wait for less dirtying", {}, [inWindow(1, { dirtyRatio: 0.5 })], null],
    ["a busier hour is not waited for", {}, [inWindow(1, { dirtyRatio: 3, linkRatio: 0.2 })], null],
    [
      "more link",
      {
        vm: { nonzeroBytes: 8e9 },
        mechanisms: ["stop-and-copy"],
        link: { bytesPerSecond: 1e8 },
        parameters: { maxBandwidthBytesPerSecond: 1e9 },
      },
      [inWindow(2, { linkRatio: 10 })],
      2,
    ],
    [
      "windows beyond the first 24 are not looked at",
      hot,
      [...Array.from({ length: 24 }, (_, hour) => inWindow(hour + 1)), inWindow(30, { dirtyRatio: 0.001 })],
      null,
    ],
  ])("%s", (_, raw, forecast, hours) => {
    const { wait } = estimateMigration(inputOf({ ...raw, forecast }));
    expect(wait?.startsInMs ?? null).toBe(hours === null ? null : hours * HOUR);
  });

  test("is given with its figures and its reason in numbers", () => {
    const { wait } = estimateMigration(inputOf({ ...warm, forecast: [inWindow(6, { dirtyRatio: 0.002 })] }));
    expect(wait?.reason).toMatch(
      /^In 6\.0 h pre-copy does harm worth [\d.]+ s of standstill, \d+ % less than the [\d.]+ s of post-copy now: dirtying is expected at 0\.2 % /,
    );
    expect(wait?.totalMs.p90).toBeLessThan(HOUR);
    expect(wait?.downtimeMs?.p50).toBeGreaterThan(0);
  });

  test("a factor on a rate that nobody knows says nothing, and that is said", () => {
    const forecast = [inWindow(1, { dirtyRatio: 0.001, linkRatio: 2 })];
    const { vm } = inputOf({ vm: { dirtyRateBytesPerSecond: undefined, dirtyRateWindowMs: undefined } as never });
    const { assumptions } = estimateMigration({ ...inputOf({ forecast }), vm });
    expect(assumptions.map(({ field }) => field)).toContain("forecast.dirtyRatio");
    expect(assumptions.map(({ field }) => field)).not.toContain("forecast.linkRatio");
  });
});

const anyForecast = fc.array(
  fc.record({
    startsInMs: fc.integer({ min: 0, max: 86_400_000 }),
    durationMs: fc.integer({ min: 1, max: 86_400_000 }),
    dirtyRatio: fc.double({ min: 0, max: 3, noNaN: true }),
    linkRatio: fc.double({ min: 0.1, max: 10, noNaN: true }),
  }),
  { maxLength: 6 },
);

describe("any forecast", () => {
  test("is answered with one of its windows that comes later and is long enough, or with none", () => {
    fc.assert(
      fc.property(anyInput, anyForecast, (input, forecast) => {
        const { wait } = estimateMigration({ ...input, forecast });
        const windows = forecast.filter(
          ({ startsInMs, durationMs }) =>
            startsInMs === wait?.startsInMs && startsInMs > 0 && durationMs >= wait.totalMs.p90,
        );
        expect(windows.length > 0).toBe(wait !== null);
      }),
      { numRuns: 60, seed: 3 },
    );
  });

  test("of the same as now is not waited for", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        expect(estimateMigration({ ...input, forecast: [inWindow(1), inWindow(9)] }).wait).toBeNull();
      }),
      { numRuns: 60, seed: 4 },
    );
  });
});
