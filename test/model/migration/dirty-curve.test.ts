import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { measuredCurve, saturatingCurve, usablePoints } from "../../../worker/model/migration/dirty-curve.ts";
import { fullPassRounds } from "../../../worker/model/migration/full-pass.ts";
import { inputOf, medianScenario } from "./support.ts";

const RUNS = { numRuns: 300, seed: 3 };
const window = fc.double({ min: 0, max: 1e5, noNaN: true });

const points = fc
  .array(fc.tuple(fc.double({ min: 1, max: 5000, noNaN: true }), fc.double({ min: 0, max: 1e8, noNaN: true })), {
    minLength: 2,
    maxLength: 8,
  })
  .map((steps) => {
    let [windowMs, bytes] = [0, 0];
    return steps.map(([ms, more]) => ({ windowMs: (windowMs += ms), bytes: (bytes += more) }));
  });

describe("a measured curve", () => {
  test("goes through its points, starts at 0, never falls and never passes the non-zero bytes", () => {
    fc.assert(
      fc.property(points, window, window, fc.double({ min: 0.5, max: 10, noNaN: true }), (measured, a, b, room) => {
        const cap = (measured.at(-1)?.bytes ?? 0) * room + 1;
        const curve = measuredCurve(measured, cap);
        expect(curve(0)).toBe(0);
        for (const { windowMs, bytes } of measured)
          expect(curve(windowMs)).toBeCloseTo(Math.min(cap, bytes), bytes > 1e6 ? -1 : 3);
        const slack = 1e-9 * cap;
        expect(curve(Math.max(a, b))).toBeGreaterThanOrEqual(curve(Math.min(a, b)) - slack);
        expect(curve(a)).toBeLessThanOrEqual(cap + slack);
      }),
      RUNS,
    );
  });

  test("goes on with its last slope and saturates", () => {
    const curve = measuredCurve(
      [
        { windowMs: 1000, bytes: 10e6 },
        { windowMs: 2000, bytes: 12e6 },
      ],
      20e6,
    );
    expect(curve(2001) - curve(2000)).toBeCloseTo(2000, -1);
    expect(curve(1e6)).toBeCloseTo(20e6, 0);
  });

  test("goes on no steeper than a concave curve may, whatever a short last segment says", () => {
    const points = [
      { windowMs: 1000, bytes: 10e6 },
      { windowMs: 2000, bytes: 12e6 },
      { windowMs: 4000, bytes: 20e6 },
    ];
    const curve = measuredCurve(points, 1e9);
    expect(curve(4001) - curve(4000)).toBeCloseTo(10e6 / 3000, -1);
    const noisy = measuredCurve([...points, { windowMs: 4100, bytes: 21e6 }], 1e9);
    expect(noisy(4101) - noisy(4100)).toBeLessThan(1.1 * (10e6 / 3000));
  });

  test("left of the first point lies between the chord and the first segment drawn on", () => {
    const curve = measuredCurve(
      [
        { windowMs: 1000, bytes: 40e6 },
        { windowMs: 5000, bytes: 120e6 },
      ],
      1e9,
    );
    for (const windowMs of [50, 200, 500, 900]) {
      expect(curve(windowMs)).toBeGreaterThan(40e3 * windowMs);
      expect(curve(windowMs)).toBeLessThan(20e6 + 20e3 * windowMs);
    }
  });
});

describe("a curve through one point", () => {
  test("goes through it and ends at the working set", () => {
    const curve = saturatingCurve(20e6, 1000, 80e6);
    expect(curve(0)).toBe(0);
    expect(curve(1000)).toBeCloseTo(20e6, 3);
    expect(curve(1e6)).toBeCloseTo(80e6, 3);
  });

  test("is 0 when nothing is dirtied", () => {
    expect(saturatingCurve(0, 1000, 80e6)(5000)).toBe(0);
  });
});

test("points that noise has made to fall are raised to the one before, doubled windows dropped", () => {
  const noisy = [
    { windowMs: 2000, bytes: 9 },
    { windowMs: 1000, bytes: 10 },
    { windowMs: 2000, bytes: 11 },
  ];
  expect(usablePoints(noisy)).toEqual([
    { windowMs: 1000, bytes: 10 },
    { windowMs: 2000, bytes: 10 },
  ]);
});

/**
 * A published table of predictions from page sampling: 8,392,704 pages of which 10060 of 16392 sampled were zero; the time, in seconds rounded up,
 * until a round takes no longer than the downtime allowed.
 */
describe("the published prediction table", () => {
  const windows = [
    125, 250, 375, 500, 750, 1000, 1500, 2000, 3000, 4000, 6000, 8000, 10_000, 15_000, 20_000, 25_000, 30_000, 35_000,
    40_000, 45_000, 50_000, 60_000,
  ];
  const dirtied = [
    33, 78, 119, 151, 217, 236, 293, 336, 425, 505, 620, 756, 898, 1204, 1457, 1723, 1934, 2141, 2328, 2522, 2675, 2958,
  ];
  const memoryBytes = 8_392_704 * 4096;
  const perSample = memoryBytes / 16_392;
  const nonzeroBytes = Math.round((16_392 - 10_060) * perSample);
  const curve = dirtied.map((count, index) => ({ windowMs: windows[index] ?? 0, bytes: count * perSample }));

  const seconds = (gigabits: number, downtimeMs: number) => {
    const base = medianScenario(inputOf({ vm: { memoryBytes, nonzeroBytes, dirtyCurve: curve } }), "pre-copy");
    const lineBytesPerSecond = (gigabits * 2 ** 30) / 8;
    const scenario = {
      ...base,
      // Zero pages cost that prediction nothing but 8 bytes each.
      memoryBytes: nonzeroBytes,
      dirtied: measuredCurve(curve, nonzeroBytes),
      rates: {
        lineBytesPerSecond,
        roundsBytesPerSecond: lineBytesPerSecond,
        firstRoundBytesPerSecond: lineBytesPerSecond,
      },
    };
    const { end } = fullPassRounds(scenario, (round, sent, next) =>
      (sent / lineBytesPerSecond) * 1000 <= downtimeMs || round > 200
        ? { stopRule: "downtime-limit" }
        : { normalBytes: next, slowedRatio: 0 },
    );
    return Math.ceil(end.elapsedMs / 1000);
  };

  test.each([
    [5, 125, 48],
    [5, 250, 46],
    [5, 500, 31],
    [5, 1000, 28],
    [5, 5000, 25],
    [5, Infinity, 20],
    [1, Infinity, 100],
    [2, 5000, 101],
    [10, 125, 13],
    [10, 500, 12],
    [10, Infinity, 10],
    [40, 125, 3],
  ])("%d Gbit/s, %d ms: %d s", (gigabits, downtimeMs, expected) => {
    expect(seconds(gigabits, downtimeMs)).toBe(expected);
  });
});
