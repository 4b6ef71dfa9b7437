import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { powerJoules, trafficJoules, wattsAt } from "../../../worker/model/migration/energy.ts";
import type { HostPower } from "../../../worker/model/migration/energy.ts";
import { checkEstimateInput, estimateMigration } from "../../../worker/model/migration/index.ts";
import type { EstimateInput } from "../../../worker/model/migration/types.ts";
import { inputOf } from "./support.ts";

const RUNS = { numRuns: 300, seed: 31 };

/** HP ProLiant ML110 G5, SPECpower. */
const ML110 = [93.7, 97, 101, 105, 110, 116, 121, 125, 129, 133, 135];

const energyOf = (more: Partial<EstimateInput> = {}, base: Parameters<typeof inputOf>[0] = {}) => {
  const answer = estimateMigration({ ...inputOf({ ...base, mechanisms: ["pre-copy"] }), ...more });
  const [estimate] = answer.estimates;
  if (estimate === undefined) throw new Error("no estimate");
  return { ...estimate.energyJoules, estimate, assumptions: answer.assumptions };
};

describe("the linear traffic model", () => {
  test.each([
    [0, 20.165],
    [4096e6, 2117.317],
  ])("%d bytes take %d J", (bytes, joules) => {
    expect(trafficJoules(bytes)).toBeCloseTo(joules, 3);
  });

  test("is used, and said to be, where no power model is given", () => {
    const { p10, p50, p90, estimate, assumptions } = energyOf();
    const said = assumptions.find(({ field }) => field === "hosts.source.power")?.why;
    expect(said).toContain("0.512 J/MB");
    expect(p50 / trafficJoules(estimate.transferredBytes.p50)).toBeGreaterThan(0.9);
    expect(p50 / trafficJoules(estimate.transferredBytes.p50)).toBeLessThan(1.1);
    expect(p10).toBeLessThan(p50);
    expect(p90).toBeGreaterThan(p50);
  });
});

describe("power models", () => {
  test.each([
    [0, 93.7],
    [0.05, 95.35],
    [0.5, 116],
    [0.97, 134.4],
    [1, 135],
    [1.2, 135],
  ])("at a load of %d: %d W", (load, watts) => {
    expect(wattsAt(ML110, load)).toBeCloseTo(watts, 9);
  });

  const host: HostPower = { watts: [100, 300], cores: 10, cpuUsedCores: 2 };

  test("idle to peak: 20 J a core second on a host of 200 W and 10 cores, however long it takes", () => {
    for (const durationMs of [10_000, 60_000])
      expect(powerJoules(host, host, [{ durationMs, sendCoreSeconds: 4.5, receiveCoreSeconds: 8.5 }])).toBeCloseTo(
        260,
        9,
      );
  });

  test("a table: what the step from the load without to the load with it takes, for so long", () => {
    const half: HostPower = { watts: ML110, cores: 10, cpuUsedCores: 5 };
    const idle: HostPower = { watts: ML110, cores: 10, cpuUsedCores: 0 };
    // One core of ten for 10 s: 116 → 121 W and 93.7 → 97 W.
    const stretch = { durationMs: 10_000, sendCoreSeconds: 10, receiveCoreSeconds: 10 };
    expect(powerJoules(half, idle, [stretch])).toBeCloseTo(50 + 33, 9);
  });

  test("a host with no core free takes nothing more", () => {
    const full: HostPower = { watts: ML110, cores: 10, cpuUsedCores: 10 };
    expect(powerJoules(full, full, [{ durationMs: 1000, sendCoreSeconds: 1, receiveCoreSeconds: 1 }])).toBe(0);
  });

  const power = fc
    .array(fc.double({ min: 0, max: 100, noNaN: true }), { minLength: 11, maxLength: 11 })
    .map((steps) => {
      let watts = 0;
      return steps.map((step) => (watts += step));
    });

  test("never falls with the processor time", () => {
    const amount = fc.double({ min: 0, max: 1e4, noNaN: true });
    fc.assert(
      fc.property(power, amount, amount, fc.double({ min: 0, max: 10, noNaN: true }), (watts, one, more, used) => {
        const busy = { watts, cores: 10, cpuUsedCores: used };
        const of = (coreSeconds: number) =>
          powerJoules(busy, busy, [{ durationMs: 1e5, sendCoreSeconds: coreSeconds, receiveCoreSeconds: coreSeconds }]);
        expect(of(one)).toBeGreaterThanOrEqual(0);
        expect(of(one + more)).toBeGreaterThanOrEqual(of(one) * (1 - 1e-12));
      }),
      RUNS,
    );
  });
});

describe("an estimate", () => {
  const hosts = {
    source: { cores: 32, cpuUsedCores: 8, power: { idleWatts: 120, peakWatts: 600 } },
    destination: { cores: 32, cpuUsedCores: 8, power: { idleWatts: 120, peakWatts: 600 } },
  };
  /** 15 J a core second; 0.45 + 0.85 of them in 1.356 GB. */
  const joules = (bytes: number) => (15 * 1.3 * bytes) / 1.356e9;

  test("with both hosts' models: by what was sent, with a narrower interval", () => {
    const { p10, p50, p90, estimate, assumptions } = energyOf({ hosts });
    expect(assumptions.map(({ field }) => field)).toContain("energyJoules");
    expect(p50 / joules(estimate.transferredBytes.p50)).toBeGreaterThan(0.9);
    expect(p50 / joules(estimate.transferredBytes.p50)).toBeLessThan(1.1);
    const byTraffic = energyOf();
    expect(p90 / p10).toBeLessThan(byTraffic.p90 / byTraffic.p10);
  });

  test("with one host's model only: the other is taken to be like it, and said to be", () => {
    const { p50, assumptions } = energyOf({ hosts: { source: hosts.source } });
    const fields = assumptions.map(({ field }) => field);
    expect(fields).toEqual(
      expect.arrayContaining(["hosts.destination.power", "hosts.destination.cores", "hosts.destination.cpuUsedCores"]),
    );
    expect(p50).toBeCloseTo(energyOf({ hosts }).p50, 6);
  });

  test("of compressed memory adds the processor time of the codec", () => {
    const parameters = { multifdChannels: 4, maxBandwidthBytesPerSecond: 128e6 };
    const plain = energyOf({ hosts }, { parameters });
    const compressed = energyOf({ hosts }, { parameters: { ...parameters, compression: "zstd" } });
    expect(compressed.estimate.transferredBytes.p50).toBeLessThan(plain.estimate.transferredBytes.p50);
    expect(compressed.p50).toBeGreaterThan(plain.p50);
  });

  test.each([[undefined], [hosts]])("never falls with what has to be sent (case %#)", (given) => {
    let before = 0;
    for (const gib of [1, 2, 4, 8]) {
      const { p50 } = energyOf(given === undefined ? {} : { hosts: given }, { vm: { nonzeroBytes: gib * 2 ** 30 } });
      expect(p50).toBeGreaterThan(before);
      before = p50;
    }
  });

  test.each([
    [{ source: { power: { idleWatts: 200, peakWatts: 100 } } }, "hosts.source.power.peakWatts"],
    [
      { destination: { power: { tableWatts: [1, 2, 3, 2, 5, 6, 7, 8, 9, 10, 11] } } },
      "hosts.destination.power.tableWatts.3",
    ],
    [{ source: { cores: 4, cpuUsedCores: 5 } }, "hosts.source.cpuUsedCores"],
  ])("refuses what no host can be (case %#)", (given, path) => {
    expect(checkEstimateInput({ ...inputOf(), hosts: given }).map((problem) => problem.path)).toEqual([path]);
  });
});
