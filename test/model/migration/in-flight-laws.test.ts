import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inFlightForecast } from "../../../worker/model/migration/in-flight.ts";
import type { InFlightRun } from "../../../worker/model/migration/in-flight.ts";
import type { Progress } from "../../../worker/model/wire/event.ts";
import { GIB } from "../../../worker/model/units.ts";
import { forecast, look, runOf } from "./flights.ts";

const anyLook = fc
  .record({
    iteration: fc.integer({ min: 0, max: 12 }),
    remainingBytes: fc.integer({ min: 0, max: 8 * GIB }),
    transferredBytes: fc.integer({ min: 0, max: 64 * GIB }),
    elapsedMs: fc.integer({ min: 0, max: 900_000 }),
    phase: fc.constantFrom(
      "setup" as const,
      "pre-copy" as const,
      "pre-copy" as const,
      "switchover" as const,
      "post-copy" as const,
    ),
  })
  .chain((always) =>
    fc
      .record(
        {
          totalBytes: fc.constant(8 * GIB),
          dirtyBytesPerSecond: fc.double({ min: 0, max: 1e10, noNaN: true }),
          throughputBytesPerSecond: fc.double({ min: 0, max: 1e10, noNaN: true }),
          throttleRatio: fc.double({ min: 0, max: 1, noNaN: true }),
        },
        { requiredKeys: [] },
      )
      .map((some): Progress => ({ ...always, ...some })),
  );

const anyHistory = fc
  .array(anyLook, { minLength: 1, maxLength: 30 })
  .map((looks) => looks.toSorted((a, b) => a.elapsedMs - b.elapsedMs || a.iteration - b.iteration));

const bases = (["pre-copy", "post-copy", "hybrid", "stop-and-copy"] as const).map((mechanism) => runOf({ mechanism }));

const anyRun = fc
  .record({
    base: fc.constantFrom(...bases),
    downtimeLimitMs: fc.integer({ min: 1, max: 5000 }),
    autoConverge: fc.boolean(),
    deadlineMs: fc.integer({ min: 1000, max: 1_000_000 }),
    onDeadline: fc.constantFrom("cancel" as const, "force" as const, "post-copy" as const),
    postCopyAfterMs: fc.option(fc.integer({ min: 0, max: 1000 })),
    downtimeMsMax: fc.double({ min: 0.5, max: 10_000, noNaN: true }),
    postCopyPermitted: fc.boolean(),
  })
  .map(({ base, downtimeMsMax, postCopyPermitted, ...parameters }): InFlightRun => ({
    ...base,
    parameters: { ...base.parameters, ...parameters },
    limits: { downtimeMsMax, postCopyPermitted, bandwidthBytesPerSecondMax: 1e10 },
  }));

describe("any history", () => {
  const forAny = (law: (history: Progress[], run: InFlightRun) => void) =>
    fc.assert(fc.property(anyHistory, anyRun, law), { numRuns: 200, seed: 11 });

  test("is answered as the contract says, in order and not negative, the same every time", () => {
    forAny((history, run) => {
      const answer = forecast(history, run);
      expect(inFlightForecast.safeParse(answer).error).toBeUndefined();
      expect(JSON.stringify(forecast(structuredClone(history), structuredClone(run)))).toBe(JSON.stringify(answer));
      for (const { p10, p50, p90 } of [answer.remainingMs, answer.totalMs].filter((each) => each !== null)) {
        expect(p10).toBeGreaterThanOrEqual(0);
        expect(p50).toBeGreaterThanOrEqual(p10);
        expect(p90).toBeGreaterThanOrEqual(p50);
      }
    });
  });

  test("never leads to a cancel, or to anything, past the point of no return", () => {
    forAny((history, run) => {
      const past = { ...(history.at(-1) ?? look()), phase: "post-copy" as const };
      expect(forecast([...history, past], run).directive).toBe("continue");
    });
  });

  test("never raises the downtime over what was approved, and never lowers it", () => {
    forAny((history, run) => {
      const { directive, downtimeLimitMs } = forecast(history, run);
      expect(downtimeLimitMs !== undefined).toBe(directive === "set-downtime");
      expect(downtimeLimitMs ?? 0).toBeLessThanOrEqual(run.limits?.downtimeMsMax ?? 0);
      expect(downtimeLimitMs ?? Infinity).toBeGreaterThan(run.parameters.downtimeLimitMs);
    });
  });

  test("never starts post-copy where it is not permitted, or nothing was said of it", () => {
    forAny((history, { limits: _, ...run }) => {
      const limits = { downtimeMsMax: 900, bandwidthBytesPerSecondMax: 1e10, postCopyPermitted: false };
      expect(forecast(history, { ...run, limits }).directive).not.toBe("start-post-copy");
      expect(forecast(history, run).directive).not.toBe("start-post-copy");
    });
  });
});
