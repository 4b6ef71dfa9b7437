import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { calibrateEstimate, withGrowth } from "../../../worker/model/calibration/apply.ts";
import { fitCalibration } from "../../../worker/model/calibration/fit.ts";
import { conformalQuantile } from "../../../worker/model/calibration/interval.ts";
import { calibration as calibrationSchema } from "../../../worker/model/calibration/types.ts";
import type { Calibration, CalibrationOutcome } from "../../../worker/model/calibration/types.ts";
import { estimateMigration } from "../../../worker/model/migration/index.ts";
import { mechanismEstimate } from "../../../worker/model/migration/types.ts";
import type { MechanismEstimate } from "../../../worker/model/migration/types.ts";
import { anyInput, inputOf } from "../migration/support.ts";
import { noisy, outcomeWith } from "./support.ts";

const GROUP = "c1/kvm/pre-copy/convergent";
const PLACE = { cluster: "c1", hypervisor: "kvm" } as const;
const group = (outcomes: CalibrationOutcome[]) => fitCalibration(outcomes).groups[GROUP];
const total = (outcomes: CalibrationOutcome[]) => group(outcomes)?.corrections.totalMs;

/** What the models say of a VM, with the total put where the outcomes' predictions had theirs. */
const said = (): MechanismEstimate => {
  const [estimate] = estimateMigration(inputOf({ mechanisms: ["pre-copy"] })).estimates;
  if (estimate === undefined) throw new Error("one mechanism gives one estimate");
  return { ...estimate, totalMs: { p10: 900, p50: 1000, p90: 1100 } };
};
const corrected = (learned: Calibration) => calibrateEstimate(said(), learned, PLACE);

describe("the bias", () => {
  test.each([
    [1, 1 / 6],
    [5, 1 / 2],
    [45, 9 / 10],
  ])("of %d VMs that took twice the time counts %d", (count, weight) => {
    const outcomes = Array.from({ length: count }, (_, index) =>
      outcomeWith({ subject: `vm-${index}`, measured: { totalMs: 2000 } }),
    );
    expect(total(outcomes)?.biasLn).toBeCloseTo(weight * Math.log(2010 / 1010), 9);
  });

  test("of one VM moved 41 times counts as that of five, which is half", () => {
    const often = Array.from({ length: 41 }, (_, at) => outcomeWith({ at, measured: { totalMs: 2000 } }));
    expect(total(often)?.biasLn).toBeCloseTo(Math.log(2010 / 1010) / 2, 9);
  });

  test("is the median: one accident moves nothing", () => {
    const calm = noisy(20, { biasLn: 0, sd: 0.01, seed: 1 });
    const accident = [...calm, outcomeWith({ subject: "vm-x", measured: { totalMs: 1e6 } })];
    expect(Math.abs(total(accident)?.biasLn ?? 1)).toBeLessThan(0.02);
  });

  test.each([
    ["another cluster", { cluster: "c2" }],
    ["another mechanism", { mechanism: "post-copy" as const }],
    ["the other regime", { regime: "not-convergent" as const }],
  ])("of %s says nothing here", (_, told) => {
    const learned = fitCalibration([outcomeWith({ ...told, measured: { totalMs: 5000 } })]);
    expect(corrected(learned)).toEqual(said());
  });

  test("of a run that did not converge is not learned", () => {
    const [correction] = [total([outcomeWith({ converged: false, measured: { totalMs: 9000 } })])];
    expect(correction).toMatchObject({ samples: 0, biasLn: 0 });
  });
});

describe("the interval", () => {
  test.each([
    ["as wide as said", 0.1 / 1.2816, 11],
    ["three times as wide", 0.3 / 1.2816, 12],
    ["a fifth as wide", 0.02 / 1.2816, 13],
    ["beside it", 0.1 / 1.2816, 14],
  ])("holds four in five of the next where the truth is %s", (name, sd, seed) => {
    const biasLn = name === "beside it" ? 0.5 : 0;
    const { p10, p90 } = corrected(fitCalibration(noisy(200, { biasLn, sd, seed }))).totalMs;
    const next = noisy(1000, { biasLn, sd, seed: seed + 100 }).map(({ measured }) => measured.totalMs ?? 0);
    const inside = next.filter((value) => value >= p10 && value <= p90).length / next.length;
    expect(inside).toBeGreaterThan(0.74);
    expect(inside).toBeLessThan(0.88);
  });

  test("is the models' own until there are outcomes", () => {
    expect(corrected(fitCalibration([]))).toEqual(said());
  });

  test("keeps its order whatever was measured", () => {
    const measured = fc.array(fc.double({ min: 0, max: 1e6, noNaN: true }), { maxLength: 30 });
    fc.assert(
      fc.property(anyInput, measured, (input, real) => {
        const outcomes = real.map((totalMs, index) =>
          outcomeWith({
            subject: `${index}`,
            measured: { totalMs, downtimeMs: totalMs / 2, transferredBytes: totalMs },
          }),
        );
        const learned = fitCalibration(outcomes);
        for (const estimate of estimateMigration(input).estimates) {
          const { totalMs, transferredBytes, lostVcpuSeconds, downtimeMs } = mechanismEstimate.parse(
            calibrateEstimate(estimate, learned, { ...PLACE, hypervisor: input.hypervisor }),
          );
          const quantities = [totalMs, transferredBytes, lostVcpuSeconds, downtimeMs ?? totalMs];
          expect(quantities.filter(({ p10, p50, p90 }) => p10 > p50 || p50 > p90)).toEqual([]);
        }
      }),
      { numRuns: 60, seed: 3 },
    );
  });

  test("conformal quantiles take the order statistic (n + 1) × p", () => {
    const nine = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    expect([0.1, 0.5, 0.9].map((p) => conformalQuantile(nine, p))).toEqual([1, 5, 9]);
    expect([0.1, 0.9].map((p) => conformalQuantile([1, 2, 3], p))).toEqual([1, 3]);
  });
});

describe("what is learned", () => {
  test("is the same in any order of the outcomes, and goes through JSON", () => {
    const outcomes = noisy(30, { biasLn: 0.2, sd: 0.2, seed: 7 });
    const learned = fitCalibration(outcomes);
    expect(fitCalibration(outcomes.toReversed())).toEqual(learned);
    expect(calibrationSchema.parse(JSON.parse(JSON.stringify(learned)))).toEqual(learned);
  });

  test("keeps what the models said alone beside the correction", () => {
    const after = corrected(fitCalibration([outcomeWith({ measured: { totalMs: 2000 } })]));
    expect(after.calibration).toMatchObject({ group: GROUP, samples: 1, uncorrected: { totalMs: said().totalMs } });
  });

  test("scales the phases by the total's correction, the switch-over by the downtime's", () => {
    const outcomes = Array.from({ length: 45 }, (_, index) =>
      outcomeWith({ subject: `${index}`, measured: { totalMs: 2000, downtimeMs: 20 } }),
    );
    const before = said();
    const after = corrected(fitCalibration(outcomes));
    const phase = (of: MechanismEstimate, name: string) =>
      of.phases.find((each) => each.name === name)?.durationMs.p50 ?? 0;
    expect(phase(after, "rounds") / phase(before, "rounds")).toBeGreaterThan(1.6);
    expect(phase(after, "switchover") / phase(before, "switchover")).toBeCloseTo(1, 2);
  });
});

describe("the growth of dirtying under migration", () => {
  const resent = (transferredBytes: number, at: number, dirtyGrowthRatio = 1) =>
    outcomeWith({ at, subject: `${at}`, firstRoundBytes: 8e8, dirtyGrowthRatio, measured: { transferredBytes } });

  test("is re-sent over predicted bytes, drawn towards 1", () => {
    // 2e8 predicted beyond the first round, 4e8 measured: twice, of which one outcome is believed a sixth.
    expect(group([resent(1.2e9, 1)])?.dirtyGrowthRatio).toBeCloseTo(2 ** (1 / 6), 9);
  });

  test("is the median: one migration that went wrong moves little", () => {
    const calm = Array.from({ length: 9 }, (_, at) => resent(1e9, at));
    expect(group([...calm, resent(5e9, 10)])?.dirtyGrowthRatio).toBeCloseTo(1, 9);
  });

  test("counts what the models had been told already", () => {
    expect(group([resent(1e9, 1, 2)])?.dirtyGrowthRatio).toBeCloseTo(2 ** (1 / 6), 9);
  });

  test("is unknown where nothing had to be re-sent", () => {
    expect(group([outcomeWith({ firstRoundBytes: 1e9 })])).toMatchObject({ dirtyGrowthRatio: 1, growthSamples: 0 });
  });

  test("raises the models' dirty curve, unless the input says one itself", () => {
    const learned = { cluster: "c1", calibration: fitCalibration([resent(1.4e9, 1)]) };
    const input = inputOf({});
    expect(withGrowth(input, learned).vm.dirtyGrowthRatio).toBeGreaterThan(1);
    const own = inputOf({ vm: { dirtyGrowthRatio: 1.5 } });
    expect(withGrowth(own, learned)).toEqual(own);
    const bytes = (growth: number) =>
      estimateMigration(inputOf({ vm: { dirtyGrowthRatio: growth }, mechanisms: ["pre-copy"] })).estimates[0]
        ?.transferredBytes.p50 ?? 0;
    expect(bytes(2)).toBeGreaterThan(bytes(1));
  });
});
