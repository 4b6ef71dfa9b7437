import { expect, test } from "vitest";
import fc from "fast-check";
import { clockOffsetMs, outcomeOf } from "../../scripts/agent/outcome.ts";

test("the three durations of an outcome are never negative and add up to the total", () => {
  const moment = fc.double({ min: 0, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(moment, moment, moment, moment, (startedAtMs, stoppedAtMs, resumedAtMs, completedAtMs) => {
      const outcome = outcomeOf({ startedAtMs, stoppedAtMs, resumedAtMs, completedAtMs }, {});
      const { preparationMs = -1, downtimeMs = -1, resumeMs = -1, totalMs } = outcome;
      expect(Math.min(preparationMs, downtimeMs, resumeMs)).toBeGreaterThanOrEqual(0);
      expect(totalMs).toBe(preparationMs + downtimeMs + resumeMs);
    }),
    { seed: 1 },
  );
});

test("what is not known is absent, never 0", () => {
  const moments = { startedAtMs: undefined, stoppedAtMs: 10, resumedAtMs: null, completedAtMs: 30 };
  expect(outcomeOf(moments, { rounds: 2 })).toEqual({ rounds: 2 });
});

test("a clock that is ahead is found within half of the time on the way, and noise is not taken for an offset", () => {
  const wayMs = fc.double({ min: 0, max: 50, noNaN: true });
  const ahead = fc.double({ min: -1e6, max: 1e6, noNaN: true });
  fc.assert(
    fc.property(ahead, wayMs, wayMs, wayMs, (aheadMs, there, work, back) => {
      const exchange = {
        sentAtMs: 1000,
        takenAtMs: 1000 + there + aheadMs,
        answeredAtMs: 1000 + there + work + aheadMs,
        receivedAtMs: 1000 + there + work + back,
      };
      expect(Math.abs(clockOffsetMs(exchange) - aheadMs)).toBeLessThanOrEqual(there + back + 1e-6);
    }),
    { seed: 1 },
  );
  expect(clockOffsetMs({ sentAtMs: 0, takenAtMs: 1.8, answeredAtMs: 9, receivedAtMs: 9.2 })).toBe(0);
});
