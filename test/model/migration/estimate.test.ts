import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { estimateAnswer } from "../../../worker/model/migration/types.ts";
import type { MechanismEstimate, Quantity } from "../../../worker/model/migration/types.ts";
import { GIB } from "../../../worker/model/units.ts";
import { anyInput, inputOf } from "./support.ts";

/** 200 inputs, the same ones at every run. */
const RUNS = { numRuns: 200, seed: 7 };

function quantitiesOf(estimate: MechanismEstimate): Quantity[] {
  const { downtimeMs, phases, ...rest } = estimate;
  return [
    ...(downtimeMs === null ? [] : [downtimeMs]),
    ...phases.map(({ durationMs }) => durationMs),
    ...Object.values(rest).filter(
      (value): value is Quantity => typeof value === "object" && value !== null && "p50" in value,
    ),
  ];
}

describe("any valid input", () => {
  test("is answered as the contract says, with finite figures only", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const answer = estimateMigration(input);
        expect(estimateAnswer.safeParse(answer).error).toBeUndefined();
        expect(JSON.stringify(answer)).not.toContain("Infinity");
        expect(answer.estimates.map(({ mechanism }) => mechanism)).toEqual(input.mechanisms);
      }),
      RUNS,
    );
  });

  test("gives ordered quantiles, none negative", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        for (const { p10, p50, p90 } of estimateMigration(input).estimates.flatMap(quantitiesOf)) {
          expect(p10).toBeGreaterThanOrEqual(0);
          expect(p50).toBeGreaterThanOrEqual(p10);
          expect(p90).toBeGreaterThanOrEqual(p50);
        }
      }),
      RUNS,
    );
  });

  test("is answered with the same bytes every time", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        expect(JSON.stringify(estimateMigration(structuredClone(input)))).toBe(
          JSON.stringify(estimateMigration(input)),
        );
      }),
      { ...RUNS, numRuns: 50 },
    );
  });

  test("has a total that its parts can add up to", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        for (const { preparationMs, downtimeMs, resumeMs, totalMs, convergenceProbability } of estimateMigration(input)
          .estimates) {
          if (downtimeMs === null || convergenceProbability < 1) continue;
          // Rounding to a microsecond, three times.
          expect(totalMs.p50).toBeGreaterThanOrEqual(preparationMs.p10 + downtimeMs.p10 + resumeMs.p10 - 0.002);
          expect(totalMs.p50).toBeLessThanOrEqual(preparationMs.p90 + downtimeMs.p90 + resumeMs.p90 + 0.002);
        }
      }),
      RUNS,
    );
  });

  test("never makes post-copy send more than the memory and its headers", () => {
    fc.assert(
      fc.property(anyInput, (input) => {
        const { memoryBytes, pageSizeBytes = 4096 } = input.vm;
        const postCopy = estimateMigration({ ...input, mechanisms: ["post-copy"] }).estimates[0];
        expect(postCopy?.transferredBytes.p90).toBeLessThanOrEqual(memoryBytes * (1 + 9 / pageSizeBytes) + 1);
      }),
      RUNS,
    );
  });
});

describe("what is not known", () => {
  const spread = (input: Parameters<typeof inputOf>[0]) => {
    const { totalMs } = estimateMigration(inputOf({ mechanisms: ["pre-copy"], ...input }))
      .estimates[0] as MechanismEstimate;
    return totalMs.p90 - totalMs.p10;
  };

  test.each([
    ["vm.nonzeroBytes", { vm: { nonzeroBytes: undefined } }],
    ["vm.dirtyRateBytesPerSecond", { vm: { dirtyRateBytesPerSecond: undefined } }],
  ])("%s: the interval is wider and the assumption listed", (field, missing) => {
    expect(spread(missing as never)).toBeGreaterThan(spread({}));
    const { assumptions } = estimateMigration(inputOf(missing as never));
    expect(assumptions.map((assumption) => assumption.field)).toContain(field);
  });

  test("a dirty rate without its window is one of 1000 ms, and said to be", () => {
    const { assumptions } = estimateMigration(inputOf({ vm: { dirtyRateWindowMs: undefined } as never }));
    expect(assumptions).toContainEqual(expect.objectContaining({ field: "vm.dirtyRateWindowMs", value: 1000 }));
  });

  test("the link: a prior, listed", () => {
    const { link: _, ...input } = inputOf();
    expect(estimateMigration(input).assumptions.map(({ field }) => field)).toContain("link.bytesPerSecond");
  });

  test.each(["xen", "vmware"] as const)("%s is said to be an estimate only", (hypervisor) => {
    const { assumptions } = estimateMigration(inputOf({ hypervisor }));
    expect(assumptions.find(({ field }) => field === "hypervisor")?.why).toContain("estimate only");
  });

  test.each([
    ["qmp", 134_217_728],
    ["simulated", 134_217_728],
    ["libvirt", 1.1e9],
  ] as const)("max-bandwidth unset means the default of %s", (driver, bytesPerSecond) => {
    expect(estimateMigration(inputOf({ driver })).recommended?.parameters.maxBandwidthBytesPerSecond).toBe(
      bytesPerSecond,
    );
  });

  test.each([
    [2 * GIB, 90_000],
    [8 * GIB, 192_000],
  ])("deadline unset: max(90 s, three times %d bytes at the rate)", (nonzeroBytes, deadlineMs) => {
    const input = inputOf({ vm: { nonzeroBytes, dirtyRateBytesPerSecond: 1e6 } });
    expect(estimateMigration(input).recommended?.parameters.deadlineMs).toBe(deadlineMs);
  });
});

describe("where the state lives", () => {
  test("pre-copy survives the loss of destination and link in every phase; post-copy's resume phase survives nothing", () => {
    const [pre, post] = estimateMigration(inputOf({ mechanisms: ["pre-copy", "post-copy"] })).estimates;
    expect(pre?.phases.map(({ name, stateAt }) => [name, stateAt])).toEqual([
      ["setup", "source"],
      ["rounds", "source"],
      ["switchover", "source"],
    ]);
    expect(post?.phases.at(-1)).toMatchObject({ name: "post-copy", stateAt: "both", survivesFailureOf: [] });
  });
});
