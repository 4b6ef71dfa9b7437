import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { preCopy } from "../../../worker/model/migration/pre-copy.ts";
import type { Scenario } from "../../../worker/model/migration/scenario.ts";
import { MIB } from "../../../worker/model/units.ts";
import { anyInput, inputOf, medianScenario } from "./support.ts";

const RUNS = { numRuns: 200, seed: 17 };

/** 1000 MiB at 100 MiB/s, no zero pages, no headers, and what is dirtied in a window of so many seconds. */
function plain(of: Partial<Scenario>, dirtiedMib: (seconds: number) => number): Scenario {
  const base = medianScenario(inputOf({ hypervisor: of.hypervisor ?? "xen" }), "pre-copy");
  const rate = 100 * MIB;
  return {
    ...base,
    memoryBytes: 1000 * MIB,
    nonzeroBytes: 1000 * MIB,
    dirtiedMaxBytes: 1000 * MIB,
    pageBytes: 4096,
    wirePerNormalByte: 1,
    cpuUsedCores: 2,
    brownoutRatio: 0,
    rates: { roundsBytesPerSecond: rate, firstRoundBytesPerSecond: rate, lineBytesPerSecond: rate },
    dirtied: (ms) => dirtiedMib(ms / 1000) * MIB,
    ...of,
  };
}

const mib = ({ rounds }: { rounds: { bytes: number }[] }) => rounds.map(({ bytes }) => Math.round(bytes / MIB));

describe("xen", () => {
  test("today's policy: five rounds, each of what the one before dirtied, then what the fifth dirtied", () => {
    const course = preCopy(plain({ xenPolicy: "libxl" }, (s) => 50 * s));
    expect(course).toMatchObject({ stopRule: "max-rounds", converged: false });
    // λ = 1/2: 1000, 500, 250, 125, 62.5 and 31.25 with the VM stopped.
    expect(mib(course)).toEqual([1000, 500, 250, 125, 63]);
    expect(course.wireBytes).toBeCloseTo(1968.75 * MIB, -2);
    expect(course.phaseMs.rounds).toBeCloseTo(19_375, 3);
  });

  test("today's policy has no bound on what is sent", () => {
    const course = preCopy(plain({ xenPolicy: "libxl" }, () => 1000));
    expect(course.stopRule).toBe("max-rounds");
    expect(course.wireBytes).toBeCloseTo(6000 * MIB, -2);
  });

  test.each([
    ["fewer than 50 dirty pages", (s: number) => 0.1 * s, "dirty-pages", 2],
    // 1000 × (1, 0.9, 0.81, …): 3000 are passed in the fourth.
    ["more than three times the memory", (s: number) => 90 * s, "total-sent", 4],
    // 50 MiB in every round: after 29 of them 2400 are sent.
    ["29 rounds", () => 50, "max-rounds", 29],
  ] as const)("the old policy stops after %s", (_, dirtied, stopRule, rounds) => {
    const course = preCopy(plain({ xenPolicy: "libxc" }, dirtied));
    expect(course.stopRule).toBe(stopRule);
    expect(course.rounds).toHaveLength(rounds);
  });

  test.each([
    [undefined, "libxl"],
    ["4.17.2", "libxl"],
    ["4.6.0", "libxl"],
    ["4.5.5", "libxc"],
    ["3.4", "libxc"],
    ["unstable", "libxl"],
  ])("version %s has the policy of %s", (hypervisorVersion, policy) => {
    const input = {
      ...inputOf({ hypervisor: "xen" }),
      ...(hypervisorVersion === undefined ? {} : { hypervisorVersion }),
    };
    expect(medianScenario(input, "pre-copy").xenPolicy).toBe(policy);
    const why = estimateMigration(input).assumptions.find(({ field }) => field === "hypervisor")?.why;
    expect(why).toContain(policy === "libxc" ? "29 rounds" : "5 rounds");
  });
});

describe("vmware", () => {
  test("a guest that dirties twice what is sent loses 1 − 0.9 × R/D of its time in every slowed round", () => {
    const course = preCopy(plain({ hypervisor: "vmware" }, (s) => 200 * s));
    expect(course).toMatchObject({ stopRule: "forced-convergence", converged: true });
    // 1000 × 0.9ⁿ is at most 50, half a second's worth, after 29 rounds; 55 % of two cores is lost until then.
    expect(course.rounds).toHaveLength(29);
    const seconds = course.phaseMs.rounds / 1000;
    expect(seconds).toBeCloseTo((10 * (1 - 0.9 ** 29)) / 0.1, 6);
    expect(course.lostVcpuSeconds).toBeCloseTo(2 * 0.55 * seconds, 3);
  });

  test("a guest that dirties little is not slowed", () => {
    const course = preCopy(plain({ hypervisor: "vmware" }, (s) => 25 * s));
    expect(course).toMatchObject({ stopRule: "downtime-limit", lostVcpuSeconds: 0 });
    expect(mib(course)).toEqual([1000, 250, 63]);
  });

  test("switches over with at most half a second left, so that the median downtime is 0.2 to 1 s", () => {
    for (const dirtied of [0, 100e6, 1e9, 5e9]) {
      const input = inputOf({
        hypervisor: "vmware",
        vm: { dirtyRateBytesPerSecond: dirtied },
        mechanisms: ["pre-copy"],
      });
      const [estimate] = estimateMigration(input).estimates;
      expect(estimate?.convergenceProbability).toBe(1);
      expect(estimate?.downtimeMs?.p50).toBeGreaterThan(200);
      expect(estimate?.downtimeMs?.p50).toBeLessThan(1000);
    }
  });
});

test("both end, with finite figures, whatever is dirtied", () => {
  fc.assert(
    fc.property(anyInput, fc.constantFrom("xen" as const, "vmware" as const), (input, hypervisor) => {
      const [estimate] = estimateMigration({ ...input, hypervisor, mechanisms: ["pre-copy"] }).estimates;
      expect(Number.isFinite(estimate?.totalMs.p90)).toBe(true);
      expect(estimate?.rounds.length).toBeLessThanOrEqual(64);
    }),
    RUNS,
  );
});
