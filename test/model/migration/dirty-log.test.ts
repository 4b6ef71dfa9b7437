import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { saturatingCurve } from "../../../worker/model/migration/dirty-curve.ts";
import { loggedBytes } from "../../../worker/model/migration/dirty-log.ts";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { GIB, MIB } from "../../../worker/model/units.ts";
import { inputOf, medianScenario, plainInput } from "./support.ts";

const FIRST = Number.POSITIVE_INFINITY;
const ms = fc.double({ min: 1, max: 1e5, noNaN: true });

const scenarioWith = (driver: "qmp" | "simulated" | "libvirt", memoryBytes: number) =>
  medianScenario(inputOf({ driver, vm: { memoryBytes, nonzeroBytes: memoryBytes / 2 } }), "pre-copy");

describe("a pass over a log that is opened as the scan comes along", () => {
  test.each(["simulated", "libvirt"] as const)("%s: logs no more than is dirtied, and at least half", (driver) => {
    fc.assert(
      fc.property(plainInput, ms, (input, durationMs) => {
        const scenario = medianScenario({ ...input, driver }, "pre-copy");
        const all = scenario.dirtied(durationMs);
        const logged = loggedBytes(scenario, durationMs, FIRST);
        expect(logged).toBeLessThanOrEqual(all * (1 + 1e-9));
        // A curve that bends upwards, which only noise makes, may fall below half.
        const least = input.vm.dirtyCurve?.length === 0 ? all / 2 : 0;
        expect(logged).toBeGreaterThanOrEqual(least * (1 - 1e-9));
      }),
      { numRuns: 200, seed: 5 },
    );
  });

  test("the first pass over a large VM: W (1 − τ/T (1 − e^(−T/τ)))", () => {
    const [workingSet, tau, durationMs] = [300 * MIB, 6000, 20_000];
    const dirtied = saturatingCurve(workingSet * -Math.expm1(-1000 / tau), 1000, workingSet);
    const scenario = { ...scenarioWith("simulated", 512 * GIB), dirtied };
    const expected = workingSet * (1 + (tau / durationMs) * Math.expm1(-durationMs / tau));
    expect(loggedBytes(scenario, durationMs, FIRST) / expected).toBeCloseTo(1, 1);
  });

  test("a VM within one chunk of the log loses nothing: the log is opened at the start of the pass", () => {
    const scenario = scenarioWith("simulated", GIB);
    expect(loggedBytes(scenario, 5000, FIRST)).toBe(scenario.dirtied(5000));
  });

  test("later passes skip only what they send: pages that were clean are logged whenever they are written", () => {
    const scenario = { ...scenarioWith("simulated", 64 * GIB), dirtied: (t: number) => 1e4 * t };
    // A straight line: every page is written once, so that no page of this pass was among those of the pass before.
    expect(loggedBytes(scenario, 5000, 5000)).toBeCloseTo(scenario.dirtied(5000), 3);
    expect(loggedBytes(scenario, 5000, FIRST)).toBeLessThan(0.6 * scenario.dirtied(5000));
  });

  test("qmp without a word on the accelerator: all that is dirtied is logged, as under TCG, and it is said", () => {
    const scenario = scenarioWith("qmp", 64 * GIB);
    expect(loggedBytes(scenario, 5000, FIRST)).toBe(scenario.dirtied(5000));
    const noted = (raw: Parameters<typeof inputOf>[0]) =>
      estimateMigration(inputOf(raw)).assumptions.some(({ field }) => field === "accelerator");
    expect(noted({ driver: "qmp" })).toBe(true);
    expect(noted({ driver: "qmp", accelerator: "kvm" })).toBe(false);
    expect(noted({ driver: "libvirt" })).toBe(false);
  });

  test("a curve from the rounds of a migration has left out what was ahead of the scan already", () => {
    const skips = (dirtyMethod: "page-sampling" | "migration-rounds") =>
      medianScenario(inputOf({ accelerator: "kvm", vm: { dirtyMethod } }), "pre-copy").skipsAheadOfScan;
    expect([skips("page-sampling"), skips("migration-rounds")]).toEqual([true, false]);
  });
});
