import { describe, expect, test } from "vitest";
import { deadlineAction, stallOf } from "../../../worker/model/migration/in-flight-rules.ts";
import { forecastInFlight } from "../../../worker/model/migration/in-flight.ts";
import type { Progress } from "../../../worker/model/wire/event.ts";
import { GIB } from "../../../worker/model/units.ts";
import { MB, RATE, forecast, look, runOf } from "./flights.ts";
import type { Overrides } from "./flights.ts";

/** A first round of 20 s, then iterations of 10 s that begin with that many megabytes pending. */
const iterations = (...pendingMb: number[]): Progress[] => [
  look({ iteration: 1, remainingBytes: 8 * GIB, transferredBytes: 0, elapsedMs: 0 }),
  ...pendingMb.map((mb, index) =>
    look({
      iteration: index + 2,
      remainingBytes: mb * MB,
      elapsedMs: 20_000 + index * 10_000,
      dirtyBytesPerSecond: 2 * RATE,
      transferredBytes: 2 * GIB + index * 1000 * MB,
    }),
  ),
];
/** 200 MB are pending at every beginning: 2 s of downtime are implied. */
const STALLED = iterations(...Array.from({ length: 10 }, () => 200));

describe("how much longer", () => {
  test("nothing heard: nothing said", () => {
    expect(forecastInFlight([], runOf())).toBeNull();
  });

  test("in setup: the prediction, less what has passed", () => {
    const run = runOf();
    const { remainingMs, totalMs } = forecast([look({ iteration: 0, phase: "setup", elapsedMs: 100 })], run);
    expect(remainingMs?.p50).toBeCloseTo(run.predicted.totalMs.p50 - 100, 3);
    expect(totalMs?.p50).toBeCloseTo(run.predicted.totalMs.p50, 3);
  });

  test("half of the first round sent at half the rate predicted: the other half takes as long again", () => {
    const run = runOf();
    const [first] = run.predicted.rounds as [{ bytes: number; durationMs: number }];
    const half = first.bytes / 2;
    const slow = Array.from({ length: 12 }, (_, index) =>
      look({
        iteration: 1,
        remainingBytes: 8 * GIB * (1 - index / 22),
        transferredBytes: (half * index) / 11,
        throughputBytesPerSecond: RATE / 2,
        elapsedMs: 200 + (first.durationMs * index) / 11,
      }),
    );
    const { remainingMs } = forecast(slow, run);
    expect(remainingMs?.p50).toBeGreaterThan(0.95 * first.durationMs);
    expect(remainingMs?.p50).toBeLessThan(1.2 * first.durationMs);
  });

  test("100 MB at 100 MB/s, of which up to 30 MB stay over for the switch-over: 0.7 to 0.8 s and the downtime", () => {
    const run = runOf();
    const { remainingMs, convergenceProbability } = forecast(
      [
        look({ iteration: 1, remainingBytes: 8 * GIB, transferredBytes: 0, elapsedMs: 0 }),
        look({ remainingBytes: 100 * MB, dirtyBytesPerSecond: 0.1 * MB, elapsedMs: 20_000 }),
      ],
      run,
    );
    const downtimeMs = run.predicted.downtimeMs?.p50 ?? 0;
    expect(remainingMs?.p50).toBeGreaterThan(680 + downtimeMs);
    expect(remainingMs?.p50).toBeLessThan(820 + downtimeMs);
    expect(convergenceProbability).toBe(1);
  });

  test("in post-copy: what is pending, once", () => {
    const history = [0, 1, 2, 3, 4, 5].map((second) =>
      look({ phase: "post-copy", remainingBytes: (1000 - 100 * second) * MB, elapsedMs: 30_000 + second * 1000 }),
    );
    const { remainingMs, convergenceProbability } = forecast(history, runOf({ mechanism: "hybrid" }));
    // 500 MB and their headers at 100 MB/s: the prediction's own rate, ten times that, still counts a little.
    expect(remainingMs?.p50).toBeGreaterThan(3500);
    expect(remainingMs?.p50).toBeLessThan(5100);
    expect(convergenceProbability).toBe(1);
  });

  test.each(["switchover", "post-copy"] as const)("nothing pending in %s: nothing remains", (phase) => {
    const { remainingMs } = forecast([look({ phase, remainingBytes: 0 })], runOf());
    expect(remainingMs).toEqual({ p10: 0, p50: 0, p90: 0 });
  });

  test("time that passed since the last look is taken off", () => {
    const run = runOf();
    const history = [look({ iteration: 1, transferredBytes: 1000 * MB, remainingBytes: 4 * GIB })];
    const before = forecast(history, run).remainingMs?.p50 ?? 0;
    expect(forecast(history, run, 35_000).remainingMs?.p50).toBeCloseTo(before - 5000, 3);
  });
});

describe("whether it converges", () => {
  test("not when rounds dirty twice what is sent", () => {
    expect(forecast(iterations(4000, 2000, 2000), runOf()).convergenceProbability).toBe(0);
  });

  test("auto-converge brings down what is dirtied, sooner from a guest that never rests than from an idle one", () => {
    const parameters = { autoConverge: true, deadlineMs: 200_000 };
    const history = iterations(1500, 800, 800).map((each) =>
      each.dirtyBytesPerSecond === undefined ? each : { ...each, dirtyBytesPerSecond: 120 * MB },
    );
    const chance = (cpuRatio: number) =>
      forecast(history, { ...runOf({ parameters }), cpuRatio }).convergenceProbability;
    expect(forecast(history, runOf({ parameters: { deadlineMs: 200_000 } })).convergenceProbability).toBeLessThan(0.5);
    expect(chance(1)).toBeGreaterThan(0.9);
    expect(chance(0.1)).toBeLessThanOrEqual(chance(1));
  });
});

describe("stalled", () => {
  const starts = (...pending: number[]) =>
    pending.map((remainingBytes, index) => ({ iteration: index + 2, atMs: index * 10_000, remainingBytes }));

  test.each<[string, number[], boolean]>([
    ["too young to tell", [100, 100, 100, 100, 100, 100], false],
    ["no less than 60 s ago", [100, 100, 100, 100, 100, 100, 100], true],
    ["3 % less is within the margin", [100, 100, 100, 100, 100, 100, 97], true],
    ["5 % less is not", [100, 100, 100, 100, 100, 100, 95], false],
    ["more than the best", [50, 100, 100, 100, 100, 100, 80], true],
    ["less at last", [100, 100, 100, 100, 100, 100, 100, 100, 60], false],
    ["nothing begun", [], false],
  ])("%s", (_, pending, expected) => {
    expect(stallOf(starts(...pending), pending.length * 10_000) !== null).toBe(expected);
  });

  test("acts at a local minimum, and takes the second best for one after a minute", () => {
    const all = starts(50, 80, 90, 90, 90, 90, 81);
    expect(stallOf(all, 60_000)).toMatchObject({ sinceMs: 60_000, bestBytes: 50, targetBytes: 52, atMinimum: false });
    expect(stallOf(all, 119_000)?.atMinimum).toBe(false);
    expect(stallOf(all, 120_000)).toMatchObject({ atMinimum: true });
  });
});

describe("what is best done", () => {
  const postCopy = { parameters: { onDeadline: "post-copy" as const }, limits: { postCopyPermitted: true } };
  test.each<[string, Progress[], Overrides, string]>([
    ["it gets on", iterations(4000, 2000, 1000, 500), {}, "continue"],
    // 2000 ms and the margin of 4 %, rounded up.
    ["stalled at what is allowed", STALLED, { limits: { downtimeMsMax: 3000 } }, "set-downtime 2081"],
    ["never more than what is allowed", STALLED, { limits: { downtimeMsMax: 2050 } }, "set-downtime 2050"],
    ["stalled at 2.2 times what is allowed", STALLED, { limits: { downtimeMsMax: 900 } }, "cancel"],
    ["stalled at 1.3 times what is allowed", STALLED, { limits: { downtimeMsMax: 1500 } }, "continue"],
    ["the agent forces it at the deadline", STALLED, { parameters: { onDeadline: "force" } }, "continue"],
    ["post-copy where it is permitted and prepared", STALLED, postCopy, "start-post-copy"],
    ["not where it is not permitted", STALLED, { parameters: { onDeadline: "post-copy" } }, "cancel"],
    ["not where QEMU was not told at its start", STALLED, { limits: { postCopyPermitted: true } }, "cancel"],
    [
      "not off a local minimum",
      iterations(150, 200, 200, 200, 200, 200, 200, 200),
      { limits: { downtimeMsMax: 3000 } },
      "continue",
    ],
    [
      "not within a minute of the last raise",
      STALLED,
      { limits: { downtimeMsMax: 3000 }, raisedAtMs: 100_000 },
      "continue",
    ],
    ["after the deadline", iterations(500, 400), { parameters: { deadlineMs: 25_000 } }, "cancel"],
    [
      "after the deadline, post-copy",
      iterations(500, 400),
      { ...postCopy, parameters: { deadlineMs: 25_000, onDeadline: "post-copy" } },
      "start-post-copy",
    ],
    ["past the point of no return", [...STALLED, look({ phase: "post-copy", elapsedMs: 700_000 })], {}, "continue"],
    [
      "with the VM stopped",
      [look({ phase: "switchover", elapsedMs: 700_000 })],
      { mechanism: "stop-and-copy" },
      "continue",
    ],
  ])("%s", (_, history, overrides, expected) => {
    const { directive, downtimeLimitMs } = forecast(history, runOf(overrides));
    expect([directive, downtimeLimitMs].filter((part) => part !== undefined).join(" ")).toBe(expected);
  });

  test("before it stalls: the least limit with which it probably converges", () => {
    // A hot set of 80 MB that one second touches whole: 100 MB may be pending with 1000 ms.
    const history = iterations(85, 82, 80, 80).map((each, index) =>
      index === 0
        ? each
        : {
            ...each,
            elapsedMs: [20_000, 23_000, 24_500, 26_000][index - 1] ?? 0,
            dirtyBytesPerSecond: ([85 / 20, 82 / 3, 80 / 1.5, 80 / 1.5][index - 1] ?? 0) * MB,
          },
    );
    const answer = forecast(history, runOf({ limits: { downtimeMsMax: 2000 } }));
    expect(answer.stalled).toBe(false);
    expect(answer.convergenceProbability).toBeLessThan(0.1);
    expect(answer).toMatchObject({ directive: "set-downtime", downtimeLimitMs: 1000 });
    expect(answer.reason).toMatch(/^It converges in 0 % .* downtime-limit of 300 ms, in \d+ % with 1000 ms\.$/);
  });

  test.each([
    ["cancel", true, "cancel"],
    ["force", false, "force"],
    ["post-copy", true, "start-post-copy"],
    ["post-copy", false, "cancel"],
  ] as const)("at the deadline: %s, post-copy permitted %s: %s", (onDeadline, permitted, expected) => {
    expect(deadlineAction({ onDeadline }, permitted)).toBe(expected);
  });
});
