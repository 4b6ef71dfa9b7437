// What a host's signals say of its health.
import { describe, expect, test } from "vitest";
import {
  detectHealth,
  healthParameters,
  type HealthSignals,
  hostHealth,
} from "../../../worker/model/detection/health.ts";
import { healthSignalsOf } from "../../../worker/model/detection/health-signals.ts";
import { HOUR_MS, MINUTE_MS } from "../../../worker/model/units.ts";
import { AT as WORLD_AT } from "../../support/world.ts";
import { hostOf, type Said } from "./hosts.ts";

const AT = Date.UTC(2026, 10, 23, 12);
const PER_DAY = 1 / 86_400;

const health = (signals: Omit<HealthSignals, "at">) =>
  detectHealth({ heardAt: AT, at: AT, ...signals }, healthParameters.parse({}));

const condition = (severity: "degraded" | "failing") => ({
  type: "fan",
  severity,
  since: AT - 5 * MINUTE_MS,
  detail: "fan 3 stands still",
});

describe("one signal", () => {
  test.each<[string, Omit<HealthSignals, "at">, string, string | null]>([
    ["nothing but life", {}, "unknown", null],
    ["an agent that looked and found nothing", { conditions: [] }, "healthy", null],
    ["errors corrected, few", { eccCorrectedPerSecond: 10 * PER_DAY }, "healthy", null],
    ["errors corrected, many", { eccCorrectedPerSecond: 200 * PER_DAY }, "degraded", "eccCorrectedPerSecond"],
    ["errors not corrected, one", { eccUncorrectedPerSecond: PER_DAY }, "failing", "eccUncorrectedPerSecond"],
    ["a disk that works", { diskFailed: false }, "healthy", null],
    ["a disk that does not", { diskFailed: true }, "failing", "diskFailed"],
    ["warm enough", { temperatureCelsius: 70 }, "healthy", null],
    ["too warm", { temperatureCelsius: 85 }, "degraded", "temperatureCelsius"],
    ["far too warm", { temperatureCelsius: 99 }, "failing", "temperatureCelsius"],
    ["one restart", { restartsLastDay: 1 }, "healthy", null],
    ["flapping", { restartsLastDay: 3 }, "degraded", "restartsLastDay"],
    ["flapping all the time", { restartsLastDay: 9 }, "failing", "restartsLastDay"],
    ["a condition", { conditions: [condition("degraded")] }, "degraded", "fan"],
    ["a grave condition", { conditions: [condition("failing")] }, "failing", "fan"],
    ["silent for an hour", { heardAt: AT - HOUR_MS, conditions: [] }, "silent", "heardAt"],
    ["a number that is none", { temperatureCelsius: Number.NaN }, "unknown", null],
  ])("%s", (_, signals, state, signal) => {
    const found = health(signals);
    expect(found.state).toBe(state);
    expect(found.reasons[0]?.signal ?? null).toBe(signal);
    expect(hostHealth.parse(found)).toEqual(found);
  });

  test("never heard is silent", () => {
    expect(detectHealth({ at: AT }, healthParameters.parse({})).state).toBe("silent");
  });
});

test("the worst reason comes first, and all are told", () => {
  const found = health({
    temperatureCelsius: 90,
    eccUncorrectedPerSecond: 1,
    conditions: [condition("degraded")],
    heardAt: AT - 2 * MINUTE_MS,
  });
  expect(found.reasons.map(({ signal }) => signal)).toEqual([
    "heardAt",
    "eccUncorrectedPerSecond",
    "temperatureCelsius",
    "fan",
  ]);
});

test("every reason says its numbers and what to do", () => {
  const { reasons } = health({ eccCorrectedPerSecond: 200 * PER_DAY, conditions: [condition("degraded")] });
  expect(reasons.map(({ sentence }) => sentence)).toEqual([
    "Memory corrects errors at a rate of 200 a day, over 100 a day: have the module replaced.",
    "fan, degraded for 5 min: fan 3 stands still",
  ]);
});

test("what is not known is told, and speaks for nothing", () => {
  expect(health({ temperatureCelsius: 50 }).unknownSignals).toEqual([
    "eccCorrectedPerSecond",
    "eccUncorrectedPerSecond",
    "diskFailed",
    "restartsLastDay",
    "conditions",
  ]);
});

describe("signals of a snapshot", () => {
  const signalsOf = (said: Said) => healthSignalsOf(hostOf(said), WORLD_AT, 5 * MINUTE_MS);

  test("are what its load and its restarts say; a failed member of an array is a failed disk", () => {
    const load = { eccCorrectedPerSecond: 0.1, diskFailedRatio: 0.5, temperatureCelsius: 60 };
    expect(signalsOf({ load, silentMs: 0 })).toEqual({
      at: WORLD_AT,
      heardAt: WORLD_AT,
      eccCorrectedPerSecond: 0.1,
      diskFailed: true,
      temperatureCelsius: 60,
    });
    expect(signalsOf({ load: { diskFailedRatio: 0 } }).diskFailed).toBe(false);
  });

  test("figures of long ago are not known, and a host that was never heard was not heard", () => {
    const load = { temperatureCelsius: 99, at: WORLD_AT - 10 * MINUTE_MS };
    expect(signalsOf({ load, silentMs: null })).toEqual({ at: WORLD_AT });
  });
});
