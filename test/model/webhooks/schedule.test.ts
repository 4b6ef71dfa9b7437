import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../../worker/model/units.ts";
import {
  afterWave,
  type AttemptOutcome,
  DELIVER_WITHIN_MS,
  HEALTHY,
  JITTER_RATIO,
  nextAttempt,
  PAUSE_AFTER_MS,
  readRetryAfter,
  REST_MS_MAX,
  RETRY_DELAYS_MS,
} from "../../../worker/model/webhooks/schedule.ts";

const NOW = 1_795_399_200_000;
const answered = (status: number, retryAfterMs: number | null = null): AttemptOutcome => ({
  status,
  error: null,
  retryAfterMs,
});
const SILENT: AttemptOutcome = { status: null, error: "no answer", retryAfterMs: null };
const ratio = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });

describe("a delivery is tried again", () => {
  test.each([
    [1, 5_000],
    [2, 30_000],
    [3, 2 * MINUTE_MS],
    [4, 10 * MINUTE_MS],
    [5, 30 * MINUTE_MS],
    [6, HOUR_MS],
    [7, 2 * HOUR_MS],
    [8, 4 * HOUR_MS],
    [9, 6 * HOUR_MS],
    [10, 10 * HOUR_MS],
  ])("after attempt %i in %i ms, where the jitter is in its middle", (attempts, delayMs) => {
    const next = nextAttempt({ attempts, expiresAt: NOW + DAY_MS }, SILENT, NOW, 0.5);
    expect(next).toEqual({ state: "pending", nextAttemptAt: NOW + delayMs });
  });

  test.each([200, 201, 204, 299])("%i ends it well", (status) => {
    const next = nextAttempt({ attempts: 1, expiresAt: NOW + DAY_MS }, answered(status), NOW, 0);
    expect(next).toEqual({ state: "delivered" });
  });

  test.each([301, 400, 404, 410, 429, 500, 503])("%i does not", (status) => {
    const next = nextAttempt({ attempts: 1, expiresAt: NOW + DAY_MS }, answered(status), NOW, 0);
    expect(next.state).toBe("pending");
  });

  test("that failed to the end is tried eleven times within 24 h, each gap within the jitter", () =>
    fc.assert(
      fc.property(fc.array(ratio, { minLength: 11, maxLength: 11 }), (randoms) => {
        const expiresAt = NOW + DELIVER_WITHIN_MS;
        let at = NOW;
        let attempts = 1;
        for (;;) {
          const next = nextAttempt({ attempts, expiresAt }, SILENT, at, randoms[attempts - 1] ?? 0);
          if (next.state !== "pending") break;
          const gap = next.nextAttemptAt - at;
          const base = RETRY_DELAYS_MS[attempts - 1] ?? 0;
          expect(gap).toBeLessThanOrEqual(Math.ceil(base * (1 + JITTER_RATIO)));
          const least = next.nextAttemptAt < expiresAt ? Math.floor(base * (1 - JITTER_RATIO)) : 0;
          expect(gap).toBeGreaterThanOrEqual(least);
          at = next.nextAttemptAt;
          attempts += 1;
        }
        expect(attempts).toBe(11);
        expect(at).toBeLessThanOrEqual(expiresAt);
        expect(at).toBeGreaterThan(NOW + 15 * HOUR_MS);
      }),
    ));

  test("never before Retry-After, never after its deadline", () =>
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 }),
        fc.integer({ min: 0, max: 2 * DAY_MS }),
        fc.integer({ min: 0, max: DAY_MS }),
        ratio,
        (attempts, retryAfterMs, leftMs, random) => {
          const next = nextAttempt({ attempts, expiresAt: NOW + leftMs }, answered(503, retryAfterMs), NOW, random);
          if (next.state !== "pending") return;
          expect(next.nextAttemptAt).toBeGreaterThanOrEqual(NOW + retryAfterMs);
          expect(next.nextAttemptAt).toBeLessThanOrEqual(NOW + leftMs);
        },
      ),
    ));

  test("is given up with a reason where the receiver asks for more than is left", () => {
    const next = nextAttempt({ attempts: 1, expiresAt: NOW + HOUR_MS }, answered(429, 2 * HOUR_MS), NOW, 0);
    expect(next).toEqual({ state: "failed", why: expect.stringContaining("longer than a day") });
  });
});

test.each([
  [null, null],
  ["0", 0],
  [" 120 ", 120_000],
  ["Mon, 23 Nov 2026 02:01:00 GMT", Date.UTC(2026, 10, 23, 2, 1) - Date.UTC(2026, 10, 23, 2)],
  ["Mon, 23 Nov 2026 01:00:00 GMT", 0],
  ["-5", null],
  ["1.5", null],
  ["soon", null],
  ["99999999999", null],
])("Retry-After %j is %j ms", (header, ms) => {
  expect(readRetryAfter(header, Date.UTC(2026, 10, 23, 2))).toBe(ms);
});

describe("a webhook", () => {
  test("rests when nothing in a wave was answered, twice as long each time, at most a minute", () => {
    let health = HEALTHY;
    const rests = [];
    for (let wave = 0; wave < 7; wave++) {
      ({ health } = afterWave(health, [SILENT, answered(502)], NOW, 0.5));
      rests.push((health.restUntil ?? 0) - NOW);
    }
    expect(rests).toEqual([5_000, 10_000, 20_000, 40_000, REST_MS_MAX, REST_MS_MAX, REST_MS_MAX]);
    expect(health.failingSince).toBe(NOW);
  });

  test("does not rest because it refuses one event", () => {
    expect(afterWave(HEALTHY, [answered(400)], NOW, 0.5).health).toEqual({
      failingSince: NOW,
      failures: 0,
      restUntil: null,
    });
  });

  test("is well again with the first answer that counts", () => {
    const ill = { failingSince: NOW - DAY_MS, failures: 9, restUntil: NOW };
    expect(afterWave(ill, [SILENT, answered(204)], NOW, 0.5)).toEqual({ health: HEALTHY, pause: null });
  });

  test("rests as long as Retry-After asks, even where others came through", () => {
    const { health } = afterWave(HEALTHY, [answered(200), answered(429, 90_000)], NOW, 0.5);
    expect(health.restUntil).toBe(NOW + 90_000);
  });

  test("is paused by 410", () => {
    expect(afterWave(HEALTHY, [answered(200), answered(410)], NOW, 0.5).pause).toContain("410");
  });

  test.each([
    [PAUSE_AFTER_MS - 1, null],
    [PAUSE_AFTER_MS, "Nothing was delivered for 3 days."],
  ])("that has failed for %i ms: %j", (ms, pause) => {
    const ill = { failingSince: NOW - ms, failures: 50, restUntil: NOW };
    expect(afterWave(ill, [SILENT], NOW, 0.5).pause).toBe(pause);
    expect(afterWave(ill, [answered(404)], NOW, 0.5).pause).toBe(pause);
    expect(afterWave(ill, [answered(200)], NOW, 0.5).pause).toBeNull();
  });
});
