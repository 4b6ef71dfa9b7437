// Each method against numbers that were worked out elsewhere, and against series whose law is known.
import { describe, expect, test } from "vitest";
import { autocovariances } from "../../../worker/model/forecast/autocovariance.ts";
import { coefficientsAhead, yuleWalker } from "../../../worker/model/forecast/arp.ts";
import { backwardCloud, blend, forwardCloud } from "../../../worker/model/forecast/cloud.ts";
import { normalOf, randomOf } from "../../../worker/model/forecast/random.ts";
import type { ForecasterName } from "../../../worker/model/forecast/types.ts";
import { GOLDEN, known } from "./histories.ts";

/** x(t) = Σ φ x(t-i) + noise of standard deviation 1. */
function autoregressive(phis: readonly number[], count: number, seed: number): number[] {
  const random = randomOf(seed);
  const values = phis.map(() => 0);
  for (let index = 0; index < count; index++)
    values.push(phis.reduce((sum, phi, lag) => sum + phi * (values.at(-1 - lag) ?? 0), 0) + normalOf(random));
  return values.slice(phis.length);
}

const seasonal = (count: number): number[] =>
  Array.from({ length: count }, (_, index) => 3 + 2 * Math.sin((2 * Math.PI * index) / 12));

describe("ar1", () => {
  test("φ, μ and the next value of the golden series", () => {
    const answer = known("ar1", GOLDEN);
    expect(answer.model["phi"]).toBeCloseTo(0.4154, 4);
    expect(answer.model["mean"]).toBeCloseTo(0.659, 12);
    expect(answer.mean).toBeCloseTo(0.6968, 4);
  });

  test("further ahead it decays to the mean: μ + φʰ (u − μ)", () => {
    expect(known("ar1", GOLDEN, { stepsAhead: 3 }).mean).toBeCloseTo(0.659 + 0.41542 ** 3 * 0.091, 5);
    expect(known("ar1", GOLDEN, { stepsAhead: 100 }).mean).toBeCloseTo(0.659, 9);
  });

  test("a series that runs away is not followed beyond its newest sample", () => {
    const runaway = Array.from({ length: 30 }, (_, index) => 1.5 ** index);
    const answer = known("ar1", runaway, { stepsAhead: 10 });
    expect(answer.model["phi"]).toBe(1);
    expect(answer.mean).toBeCloseTo(runaway.at(-1) ?? 0, 3);
  });
});

describe("arp", () => {
  test("finds the order and the coefficients of a process of order 2", () => {
    const values = Float64Array.from(autoregressive([0.5, 0.3], 4000, 5));
    const found = yuleWalker(autocovariances(values, 8).covariances, values.length);
    expect(found[0]).toBeCloseTo(0.5, 1);
    expect(found[1]).toBeCloseTo(0.3, 1);
  });

  test("solves the Yule-Walker equations", () => {
    const { covariances } = autocovariances(Float64Array.from(autoregressive([0.5, -0.4, 0.3], 2000, 6)), 3);
    const phis = yuleWalker(covariances, 2000);
    expect(phis).toHaveLength(3);
    for (const row of [1, 2, 3]) {
      const sum = phis.reduce((total, phi, lag) => total + phi * (covariances[Math.abs(row - 1 - lag)] ?? 0), 0);
      expect(sum).toBeCloseTo(covariances[row] ?? 0, 9);
    }
  });

  test("its weights several steps ahead are those of one step, repeated", () => {
    const phis = Float64Array.of(0.5, -0.4, 0.3);
    const newestFirst = [1, 2, -1];
    for (let step = 0; step < 4; step++)
      newestFirst.unshift(phis.reduce((sum, phi, lag) => sum + phi * (newestFirst[lag] ?? 0), 0));
    const direct = coefficientsAhead(phis, 4).reduce((sum, weight, lag) => sum + weight * ([1, 2, -1][lag] ?? 0), 0);
    expect(direct).toBeCloseTo(newestFirst[0] ?? 0, 12);
  });

  test("white noise and constants have no coefficients worth their cost", () => {
    expect(yuleWalker(Float64Array.of(0, 0, 0), 50)).toHaveLength(0);
    expect(yuleWalker(Float64Array.of(1, 0.01, -0.01), 100)).toHaveLength(0);
  });
});

describe("holt-winters", () => {
  test("continues a season that repeats itself", () => {
    const history = seasonal(72);
    for (const stepsAhead of [1, 5, 12]) {
      const answer = known("holt-winters", history, { stepsAhead, parameters: { periodSteps: 12 } });
      expect(answer.mean).toBeCloseTo(seasonal(72 + stepsAhead).at(-1) ?? 0, 6);
    }
  });

  test("needs two seasons and a little more to tell one from a trend", () => {
    expect(() => known("holt-winters", seasonal(25), { parameters: { periodSteps: 12 } })).toThrow("25 of at least 26");
    expect(known("holt-winters", seasonal(26), { parameters: { periodSteps: 12 } }).known).toBe(true);
  });

  test("follows a rise for a while, and no further than ten of its steps", () => {
    const rise = Array.from({ length: 60 }, (_, index) => index);
    expect(known("holt-winters", rise).mean).toBeGreaterThan(59.5);
    expect(known("holt-winters", rise, { stepsAhead: 1000 }).mean).toBeLessThan(70);
  });
});

describe("cloud", () => {
  test("Ex, En and He of the golden series", () => {
    const { ex, en, he } = backwardCloud(Float64Array.from(GOLDEN));
    expect(ex).toBeCloseTo(0.659, 12);
    expect(en).toBeCloseTo(0.07169, 5);
    expect(he).toBeCloseTo(0.0084, 5);
  });

  test("the backward generator finds the cloud of the forward generator's drops", () => {
    const drops = forwardCloud({ ex: 20, en: 3, he: 0.2 }, 100_000, randomOf(2));
    const found = backwardCloud(Float64Array.from(drops, ({ x }) => x));
    expect(found.ex).toBeCloseTo(20, 1);
    expect(found.en).toBeCloseTo(3, 1);
    for (const { certainty } of drops.slice(0, 1000)) {
      expect(certainty).toBeGreaterThanOrEqual(0);
      expect(certainty).toBeLessThanOrEqual(1);
    }
  });

  test("of two clouds the steadier says more; of equal ones the current", () => {
    const historic = { ex: 0, en: 1, he: 0 };
    expect(blend(historic, { ex: 1, en: 1, he: 0 }).ex).toBeCloseTo(2 / 3, 12);
    expect(blend(historic, { ex: 1, en: 9, he: 0 }).ex).toBeLessThan(0.2);
    expect(blend(historic, { ex: 1, en: 0, he: 0 }).ex).toBe(1);
  });

  test("a momentary peak moves what it predicts by less than half of the peak's share of the current window", () => {
    const calm = Array.from({ length: 48 }, (_, index) => 0.3 + 0.02 * (index % 3));
    const peaked = [...calm.slice(0, -1), 0.95];
    expect(known("cloud", peaked).mean - known("cloud", calm).mean).toBeLessThan(0.6 / 12 / 2);
  });
});

/** Over many series of one process: the share inside p10 to p90, which is to be 80 %. */
function coverageOf(name: ForecasterName, process: (seed: number) => number[], stepsAhead: number): number {
  let inside = 0;
  for (let seed = 1; seed <= 300; seed++) {
    const values = process(seed);
    const { p10, p90 } = known(name, values.slice(0, -stepsAhead), { stepsAhead, seed });
    const actual = values.at(-1) ?? 0;
    inside += actual >= p10 && actual <= p90 ? 1 : 0;
  }
  return inside / 300;
}

describe.each(["last", "mean", "ar1", "arp", "holt-winters", "combined"] as const)("the interval of %s", (name) => {
  test.each([1, 4])("holds four of five values of a process of its kind, %i steps ahead", (stepsAhead) => {
    const share = coverageOf(name, (seed) => autoregressive([0.5], 120 + stepsAhead, seed), stepsAhead);
    expect(share).toBeGreaterThan(0.72);
    expect(share).toBeLessThan(0.88);
  });
});
