import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { hybrid } from "../../../worker/model/migration/hybrid.ts";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { postCopy } from "../../../worker/model/migration/post-copy.ts";
import { preCopy } from "../../../worker/model/migration/pre-copy.ts";
import type { Course, Scenario } from "../../../worker/model/migration/scenario.ts";
import { stopAndCopy } from "../../../worker/model/migration/stop-and-copy.ts";
import { GIB } from "../../../worker/model/units.ts";
import { inputOf, medianScenario, plainInput } from "./support.ts";

const RUNS = { numRuns: 300, seed: 11 };
const factor = fc.double({ min: 1, max: 10, noNaN: true });

const totalMs = ({ preparationMs, downtimeMs, resumeMs }: Course) => preparationMs + (downtimeMs ?? 0) + resumeMs;

const faster = (scenario: Scenario, by: number, line: boolean): Scenario => ({
  ...scenario,
  rates: {
    lineBytesPerSecond: scenario.rates.lineBytesPerSecond * (line ? by : 1),
    roundsBytesPerSecond: line
      ? scenario.rates.roundsBytesPerSecond
      : Math.min(scenario.rates.lineBytesPerSecond, scenario.rates.roundsBytesPerSecond * by),
    firstRoundBytesPerSecond: line
      ? scenario.rates.firstRoundBytesPerSecond
      : Math.min(scenario.rates.lineBytesPerSecond, scenario.rates.firstRoundBytesPerSecond * by),
  },
  burstMsPerByte: scenario.burstMsPerByte / (line ? by : 1),
});

describe("pre-copy that converges, with nothing adaptive and no deadline in reach", () => {
  test.each([
    ["max-bandwidth", false],
    ["line rate", true],
  ])("is never longer with more %s", (_, line) => {
    fc.assert(
      fc.property(plainInput, factor, (input, by) => {
        const scenario = medianScenario(input, "pre-copy");
        const slow = preCopy(scenario);
        const fast = preCopy(faster(scenario, by, line));
        fc.pre(slow.converged);
        expect(fast.converged).toBe(true);
        expect(totalMs(fast)).toBeLessThanOrEqual(totalMs(slow) * (1 + 1e-9));
      }),
      RUNS,
    );
  });

  test("is never shorter, and sends no less, at a higher dirty rate", () => {
    fc.assert(
      fc.property(plainInput, factor, (input, by) => {
        const scenario = medianScenario(input, "pre-copy");
        const calm = preCopy(scenario);
        const busy = preCopy({
          ...scenario,
          dirtied: (t) => Math.min(scenario.dirtiedMaxBytes, by * scenario.dirtied(t)),
        });
        fc.pre(calm.converged && busy.converged);
        expect(totalMs(busy)).toBeGreaterThanOrEqual(totalMs(calm) * (1 - 1e-9));
        expect(busy.wireBytes).toBeGreaterThanOrEqual(calm.wireBytes * (1 - 1e-9));
      }),
      RUNS,
    );
  });

  test("is one round and the switch-over when nothing is dirtied", () => {
    fc.assert(
      fc.property(plainInput, (input) => {
        const idle = { ...input, vm: { ...input.vm, dirtyCurve: [], dirtyRateBytesPerSecond: 0 } };
        const [estimate] = estimateMigration({ ...idle, mechanisms: ["pre-copy"] }).estimates;
        expect(estimate).toMatchObject({ converges: true, convergenceProbability: 1, stopRule: "downtime-limit" });
        expect(estimate?.rounds).toHaveLength(1);
      }),
      { ...RUNS, numRuns: 100 },
    );
  });
});

describe("hybrid", () => {
  test("sends no more than post-copy and what its first round dirtied", () => {
    fc.assert(
      fc.property(plainInput, (input) => {
        const scenario = medianScenario(input, "hybrid");
        const course = hybrid(scenario);
        const dirtied = scenario.dirtied(course.rounds[0]?.durationMs ?? 0) * scenario.wirePerNormalByte;
        expect(course.wireBytes).toBeLessThanOrEqual((postCopy(scenario).wireBytes + dirtied) * (1 + 1e-9));
      }),
      RUNS,
    );
  });

  test("faults less and resumes sooner than post-copy", () => {
    const scenario = medianScenario(inputOf({ vm: { dirtyRateBytesPerSecond: 80e6 } }), "hybrid");
    expect(hybrid(scenario).stopRule).toBe("post-copy-start");
    expect(hybrid(scenario).remoteFaults).toBeLessThan(postCopy(scenario).remoteFaults);
    expect(hybrid(scenario).resumeMs).toBeLessThan(postCopy(scenario).resumeMs);
  });

  test("is switched over as pre-copy where one round is enough", () => {
    const course = hybrid(medianScenario(inputOf({ vm: { dirtyRateBytesPerSecond: 1e5 } }), "hybrid"));
    expect(course).toMatchObject({ stopRule: "downtime-limit", resumeMs: 0, remoteFaults: 0 });
  });

  test("starts post-copy after postCopyAfterMs, in the middle of a round", () => {
    const input = inputOf({ vm: { dirtyRateBytesPerSecond: 80e6 }, parameters: { postCopyAfterMs: 3000 } });
    const course = hybrid(medianScenario(input, "hybrid"));
    expect(course.stopRule).toBe("post-copy-start");
    expect(course.preparationMs).toBeCloseTo(3000, 6);
  });
});

/** Dirties everything in a second: no pre-copy ends. */
const hot = { dirtyRateBytesPerSecond: 2e9 };

describe("a deadline that strikes", () => {
  test.each([
    ["cancel", "deadline-cancel"],
    ["force", "deadline-force"],
    ["post-copy", "deadline-post-copy"],
  ] as const)("%s ends with %s, at the deadline", (onDeadline, stopRule) => {
    const course = preCopy(
      medianScenario(inputOf({ vm: hot, parameters: { deadlineMs: 30_000, onDeadline } }), "pre-copy"),
    );
    expect(course).toMatchObject({ stopRule, converged: false });
    expect(course.preparationMs).toBeCloseTo(30_000, 6);
    expect(course.downtimeMs === null).toBe(onDeadline === "cancel");
    expect(course.resumeMs > 0).toBe(onDeadline === "post-copy");
  });

  test("cancelled: no downtime, and what was sent is still counted", () => {
    const [estimate] = estimateMigration(inputOf({ vm: hot, mechanisms: ["pre-copy"] })).estimates;
    expect(estimate).toMatchObject({ converges: false, convergenceProbability: 0, downtimeMs: null });
    expect(estimate?.totalMs).toEqual({ p10: 90_000, p50: 90_000, p90: 90_000 });
    expect(estimate?.transferredBytes.p50).toBeGreaterThan(10e9);
  });

  test("rounds listed add up to the time of the rounds, however many there were", () => {
    const course = preCopy(medianScenario(inputOf({ vm: hot, parameters: { deadlineMs: 3_600_000 } }), "pre-copy"));
    const listed = course.rounds.reduce((sum, { durationMs }) => sum + durationMs, 0);
    expect(listed).toBeCloseTo(course.phaseMs.rounds, 3);
    expect(course.rounds.length).toBeLessThanOrEqual(65);
  });
});

describe("options", () => {
  test("auto-converge ends a pre-copy that would not end, and costs work", () => {
    const busy = { dirtyRateBytesPerSecond: 250e6, cpuUsedCores: 4 };
    const plain = preCopy(medianScenario(inputOf({ vm: busy }), "pre-copy"));
    const input = inputOf({ vm: busy, parameters: { autoConverge: true, deadlineMs: 600_000 } });
    const throttled = preCopy(medianScenario(input, "pre-copy"));
    expect(plain.converged).toBe(false);
    expect(throttled.converged).toBe(true);
    expect(throttled.lostVcpuSeconds).toBeGreaterThan(10);
  });

  test("several migrations at once share the link", () => {
    const alone = medianScenario(inputOf({ driver: "libvirt" }), "pre-copy");
    const fourth = medianScenario(inputOf({ driver: "libvirt", link: { concurrentMigrations: 3 } }), "pre-copy");
    expect(fourth.rates.lineBytesPerSecond).toBeCloseTo(alone.rates.lineBytesPerSecond / 4, 3);
  });

  test("compression shortens the rounds with multifd, and does nothing without", () => {
    const bytes = (multifdChannels: number) =>
      preCopy(
        medianScenario(
          inputOf({ vm: { compressionRatio: 3 }, parameters: { compression: "zstd", multifdChannels } }),
          "pre-copy",
        ),
      ).wireBytes;
    expect(bytes(4)).toBeLessThan(0.4 * bytes(0));
  });
});

describe("the last burst", () => {
  test("has the rate that the others leave, who go at max-bandwidth", () => {
    const alone = medianScenario(inputOf(), "pre-copy");
    const second = medianScenario(inputOf({ link: { concurrentMigrations: 1 } }), "pre-copy");
    expect(second.burstMsPerByte).toBeLessThan(1.2 * alone.burstMsPerByte);
    const unlimited = medianScenario(inputOf({ driver: "libvirt", link: { concurrentMigrations: 1 } }), "pre-copy");
    expect(unlimited.burstMsPerByte).toBeCloseTo(2 * alone.burstMsPerByte, 9);
  });

  test("takes longer for pages that were never sent before", () => {
    const idle = { dirtyRateBytesPerSecond: 0, nonzeroBytes: 8 * GIB };
    const scenario = medianScenario(inputOf({ vm: idle }), "pre-copy");
    const known = preCopy({ ...scenario, firstTouchMsPerByte: 0 });
    expect(preCopy(scenario).downtimeMs ?? 0).toBeGreaterThan(1.2 * (known.downtimeMs ?? 0));
  });

  test("goes at line rate: with a low max-bandwidth downtime is far under the downtime-limit", () => {
    const course = preCopy(medianScenario(inputOf(), "pre-copy"));
    expect(course.downtimeMs).toBeLessThan(100);
  });

  test("stop-and-copy stands still for setup and copy, at max-bandwidth", () => {
    const course = stopAndCopy(medianScenario(inputOf(), "stop-and-copy"));
    expect(course.preparationMs).toBe(0);
    expect(course.downtimeMs).toBeGreaterThan((2 * 1024 * 1000) / 128);
    expect(course.stopRule).toBe("vm-stopped");
  });
});

describe("other hypervisors", () => {
  test("xen stops after five rounds, or when fewer than 50 pages are dirty", () => {
    const busy = preCopy(medianScenario(inputOf({ hypervisor: "xen", vm: hot }), "pre-copy"));
    expect(busy).toMatchObject({ stopRule: "max-rounds", converged: false });
    expect(busy.rounds).toHaveLength(5);
    const idle = preCopy(
      medianScenario(inputOf({ hypervisor: "xen", vm: { dirtyRateBytesPerSecond: 0 } }), "pre-copy"),
    );
    expect(idle).toMatchObject({ stopRule: "dirty-pages", converged: true });
    expect(idle.rounds).toHaveLength(1);
  });

  test("vmware always converges: it slows the guest that would not", () => {
    const busy = preCopy(medianScenario(inputOf({ hypervisor: "vmware", vm: hot }), "pre-copy"));
    expect(busy).toMatchObject({ stopRule: "forced-convergence", converged: true });
    const calm = preCopy(medianScenario(inputOf({ hypervisor: "vmware" }), "pre-copy"));
    expect(calm.stopRule).toBe("downtime-limit");
    expect(busy.lostVcpuSeconds).toBeGreaterThan(calm.lostVcpuSeconds);
  });
});
