// What holds of every forecaster, whatever its method.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { forecast, forecasters, STANDARD_FORECASTER } from "../../../worker/model/forecast/index.ts";
import { forecasterName, forecastParameters, type KnownForecast } from "../../../worker/model/forecast/types.ts";
import { anything, ask, GOLDEN, known, loads, RUNS, steps } from "./histories.ts";

const QUANTITIES = ["mean", "p10", "p90"] as const;
const numbersOf = (answer: KnownForecast): number[] => [
  ...QUANTITIES.map((quantity) => answer[quantity]),
  ...Object.values(answer.model),
];

describe.each(forecasterName.options)("%s", (name) => {
  test("is registered under its name", () => {
    expect(forecasters[name].name).toBe(name);
    expect(forecasters[name].summary).not.toBe("");
  });

  test("a constant series forecasts itself, exactly and with certainty", () => {
    fc.assert(
      fc.property(
        fc.double({ noNaN: true, noDefaultInfinity: true }),
        fc.integer({ min: 8, max: 60 }),
        steps,
        (value, count, stepsAhead) => {
          const answer = known(
            name,
            Array.from({ length: count }, () => value),
            { stepsAhead },
          );
          // Minus zero is zero.
          for (const quantity of QUANTITIES) expect(answer[quantity] + 0).toBe(value + 0);
        },
      ),
      RUNS,
    );
  });

  test("answers with finite numbers or says why it cannot, whatever it is given", () => {
    fc.assert(
      fc.property(
        anything,
        fc.oneof(steps, fc.integer(), fc.double()),
        fc.integer({ min: 1, max: 30 }),
        (history, stepsAhead, periodSteps) => {
          const answer = ask(name, history, { stepsAhead, parameters: { periodSteps } });
          expect(answer.known ? numbersOf(answer).every(Number.isFinite) : answer.reason.endsWith(".")).toBe(true);
        },
      ),
      { ...RUNS, numRuns: 500 },
    );
  });

  test("its interval contains its mean", () => {
    fc.assert(
      fc.property(anything, steps, (history, stepsAhead) => {
        const answer = ask(name, history, { stepsAhead });
        fc.pre(answer.known);
        expect(answer.p10).toBeLessThanOrEqual(answer.mean);
        expect(answer.p90).toBeGreaterThanOrEqual(answer.mean);
      }),
      RUNS,
    );
  });

  test("follows a change of unit: k times the history, k times the forecast", () => {
    fc.assert(
      fc.property(loads, steps, fc.integer({ min: 1, max: 100_000 }), (history, stepsAhead, factor) => {
        const plain = known(name, history, { stepsAhead });
        const scaled = known(
          name,
          history.map((value) => value * factor),
          { stepsAhead },
        );
        for (const quantity of QUANTITIES) expect(scaled[quantity] / factor).toBeCloseTo(plain[quantity], 9);
      }),
      RUNS,
    );
  });

  test("follows a shift of the origin", () => {
    fc.assert(
      fc.property(loads, steps, fc.integer({ min: -20, max: 20 }), (history, stepsAhead, shift) => {
        const plain = known(name, history, { stepsAhead });
        const shifted = known(
          name,
          history.map((value) => value + shift),
          { stepsAhead },
        );
        for (const quantity of QUANTITIES) expect(shifted[quantity] - shift).toBeCloseTo(plain[quantity], 9);
      }),
      RUNS,
    );
  });

  test("too few samples are unknown, with how many it takes", () => {
    const answer = ask(name, [0.5, null, 0.6]);
    expect(answer).toMatchObject({ known: false, forecaster: name, samples: 2, samplesMin: 8 });
    expect(answer.known ? "" : answer.reason).toContain("2 of at least 8");
    expect(ask(name, []).known).toBe(false);
  });

  test("a history that is mostly gaps is unknown", () => {
    const gappy = Array.from({ length: 60 }, (_, index) => (index % 3 === 0 ? 0.5 : null));
    expect(ask(name, gappy)).toMatchObject({ known: false, samples: 20 });
  });

  test("a gap changes little in a steady series, and what is missing at its end counts as further ahead", () => {
    const steady = Array.from({ length: 40 }, (_, index) => 0.5 + 0.01 * (index % 2));
    const gappy = steady.map((value, index) => (index === 20 || index === 21 ? null : value));
    expect(known(name, gappy).mean).toBeCloseTo(known(name, steady).mean, 1);
    expect(known(name, [...steady, null, null]).horizonSteps).toBe(3);
    expect(known(name, [...steady, null, null]).mean).toBe(known(name, steady, { stepsAhead: 3 }).mean);
  });

  test("what is not a number is a gap", () => {
    const history = [...GOLDEN.slice(0, 5), Number.NaN, Infinity, ...GOLDEN.slice(5)];
    const gaps = [...GOLDEN.slice(0, 5), null, null, ...GOLDEN.slice(5)];
    expect(ask(name, history)).toEqual(ask(name, gaps));
  });

  test("looks at the newest samples only", () => {
    const parameters = { windowSamples: 30 };
    const recent = Array.from({ length: 30 }, (_, index) => 0.5 + 0.1 * Math.sin(index));
    expect(ask(name, [...Array.from({ length: 50 }, () => 9), ...recent], { parameters })).toEqual(
      ask(name, recent, { parameters }),
    );
  });

  test("stays within the bounds of the quantity", () => {
    fc.assert(
      fc.property(loads, steps, (history, stepsAhead) => {
        const answer = known(name, history, { stepsAhead, parameters: { min: 0.2, max: 0.8 } });
        for (const quantity of QUANTITIES) {
          expect(answer[quantity]).toBeGreaterThanOrEqual(0.2);
          expect(answer[quantity]).toBeLessThanOrEqual(0.8);
        }
      }),
      RUNS,
    );
  });

  test("the same arguments give the same answer", () => {
    expect(ask(name, GOLDEN, { seed: 3 })).toEqual(ask(name, GOLDEN, { seed: 3 }));
  });
});

test("without a choice the standard one is asked", () => {
  expect(forecast(GOLDEN, 1)).toMatchObject({ forecaster: STANDARD_FORECASTER, known: true });
  expect(forecast(GOLDEN, 1)).toEqual(forecast(GOLDEN, 1, forecastParameters.parse({})));
});
