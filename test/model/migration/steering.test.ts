// What the agent does about a running migration: tables for its rules, laws over any course of one.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Flight, follow } from "../../../worker/model/migration/in-flight-seen.ts";
import {
  STEER,
  type Steered,
  type SteeringTerms,
  nothingSteered,
  steeringOf,
} from "../../../worker/model/migration/steering.ts";
import { objectionTo } from "../../../worker/model/migration/directives.ts";
import type { Directive } from "../../../worker/model/wire/command.ts";
import type { Progress } from "../../../worker/model/wire/event.ts";
import { MB, RATE, look, runOf, type Overrides } from "./flights.ts";

const termsOf = (overrides: Overrides = {}): SteeringTerms => {
  const { mechanism, parameters, limits } = runOf(overrides);
  return { mechanism, parameters, limits };
};
/** Ten seconds an iteration, each begun with so many megabytes pending. */
const flightOf = (pendingMb: number[], last: Partial<Progress> = {}): Flight => {
  const first = follow(null, look({ iteration: 1, elapsedMs: 0, remainingBytes: 8000 * MB }));
  const looks = pendingMb.map((mb, index) =>
    look({ iteration: index + 2, remainingBytes: mb * MB, elapsedMs: 20_000 + index * 10_000, ...last }),
  );
  return looks.reduce(follow, first);
};
const STALLED = Array.from({ length: 10 }, () => 200);

function steer(flight: Flight, overrides: Overrides = {}, done: Partial<Steered> = {}, nowMs = flight.last.elapsedMs) {
  const terms = termsOf(overrides);
  const steering = steeringOf({ flight, terms, done: { ...nothingSteered(terms), ...done }, nowMs });
  const value = "downtimeLimitMs" in steering ? steering.downtimeLimitMs : null;
  const rate = "bytesPerSecond" in steering ? steering.bytesPerSecond / MB : null;
  return [steering.action, value ?? rate].filter((part) => part !== null).join(" ");
}

describe("what is done", () => {
  const postCopy = { parameters: { onDeadline: "post-copy" as const }, limits: { postCopyPermitted: true } };
  const fast = { throughputBytesPerSecond: RATE, dirtyBytesPerSecond: 90 * MB };
  test.each<[string, Flight, Overrides, Partial<Steered>, string]>([
    ["it gets on", flightOf([4000, 2000, 1000, 500]), {}, {}, "wait"],
    // (900 - 300) / 7 a step.
    ["rounds no longer shrink: one step of the ramp", flightOf([120, 85, 85, 84]), {}, {}, "set-downtime 386"],
    ["not before the fourth iteration", flightOf([85, 85]), {}, {}, "wait"],
    ["not within 10 s of the last step", flightOf([120, 85, 85, 84]), {}, { raisedAtMs: 41_000 }, "wait"],
    ["not where the limit is out of reach", flightOf([400, 400, 400, 400]), {}, {}, "wait"],
    [
      "the last step ends at what was approved",
      flightOf([120, 85, 85, 84]),
      {},
      { downtimeLimitMs: 880, raisedAtMs: 0 },
      "set-downtime 900",
    ],
    ["stalled within what is allowed", flightOf(STALLED), { limits: { downtimeMsMax: 3000 } }, {}, "set-downtime 2080"],
    ["stalled beyond hope", flightOf(STALLED), {}, {}, "cancel"],
    ["stalled, given one more minute", flightOf(STALLED), {}, { raisedAtMs: 100_000 }, "wait"],
    ["stalled, and post-copy is permitted", flightOf(STALLED), postCopy, {}, "start-post-copy"],
    ["not where it is not permitted", flightOf(STALLED), { parameters: { onDeadline: "post-copy" } }, {}, "cancel"],
    ["not where the hypervisor would not", flightOf(STALLED), postCopy, { postCopyRefusals: 3 }, "cancel"],
    ["stalled, and the end will be forced", flightOf(STALLED), { parameters: { onDeadline: "force" } }, {}, "wait"],
    ["outrun: bandwidth up to twice what is dirtied", flightOf([900, 900, 900], fast), {}, {}, "set-bandwidth 180"],
    [
      "never over what was approved",
      flightOf([900, 900, 900], fast),
      { limits: { bandwidthBytesPerSecondMax: 150 * MB } },
      {},
      "set-bandwidth 150",
    ],
    [
      "not where more would not do",
      flightOf([900, 900, 900], { ...fast, dirtyBytesPerSecond: 140 * MB }),
      { limits: { bandwidthBytesPerSecondMax: 150 * MB } },
      {},
      "wait",
    ],
    [
      "not where the link is what is slow",
      flightOf([900, 900, 900], { throughputBytesPerSecond: 50 * MB, dirtyBytesPerSecond: 90 * MB }),
      {},
      {},
      "wait",
    ],
    [
      "shortly before the deadline, within what was approved",
      flightOf([120, 70]),
      { parameters: { deadlineMs: 35_000 } },
      {},
      "set-downtime 728",
    ],
    ["its deadline is over", flightOf([500, 400]), { parameters: { deadlineMs: 25_000 } }, {}, "cancel"],
    [
      "its deadline is over, to be forced",
      flightOf([500, 400]),
      { parameters: { deadlineMs: 25_000, onDeadline: "force" } },
      {},
      "force-switchover",
    ],
    [
      "its deadline is over, and what is pending would not be through within another",
      flightOf([500, 400_000]),
      { ...postCopy, parameters: { deadlineMs: 25_000, onDeadline: "post-copy" } },
      {},
      "cancel",
    ],
    [
      "its end was asked for",
      flightOf([500, 400]),
      { parameters: { deadlineMs: 25_000 } },
      { ending: "cancel" },
      "wait",
    ],
    [
      "past the point of no return",
      flightOf([500], { phase: "post-copy" }),
      { parameters: { deadlineMs: 1000 } },
      {},
      "wait",
    ],
  ])("%s", (_, flight, overrides, done, expected) => {
    expect(steer(flight, overrides, done)).toBe(expected);
  });

  test("post-copy at its time, where the first round is still on its way", () => {
    const flight = follow(null, look({ iteration: 1, elapsedMs: 5000 }));
    const parameters = { postCopyAfterMs: 5000 };
    expect(steer(flight, { parameters, limits: { postCopyPermitted: true } })).toBe("start-post-copy");
    expect(steer(flight, { parameters })).toBe("wait");
  });
});

/** A guest and a link, one look a second; what is done changes the link's share and the threshold. */
type Course = { firstBytes: number; setBytes: number; dirtyBytesPerSecond: number; linkBytesPerSecond: number };

const anyCourse = fc.record({
  firstBytes: fc.integer({ min: 1, max: 8000 }).map((mb) => mb * MB),
  setBytes: fc.integer({ min: 0, max: 2000 }).map((mb) => mb * MB),
  dirtyBytesPerSecond: fc.integer({ min: 0, max: 2000 }).map((mb) => mb * MB),
  linkBytesPerSecond: fc.integer({ min: 1, max: 1200 }).map((mb) => mb * MB),
});

const anyTerms = fc
  .record({
    mechanism: fc.constantFrom("pre-copy" as const, "hybrid" as const),
    downtimeLimitMs: fc.integer({ min: 1, max: 1000 }),
    downtimeRatio: fc.double({ min: 1, max: 10, noNaN: true }),
    bandwidthMb: fc.integer({ min: 1, max: 500 }),
    bandwidthRatio: fc.double({ min: 1, max: 10, noNaN: true }),
    deadlineMs: fc.integer({ min: 1000, max: 400_000 }),
    onDeadline: fc.constantFrom("cancel" as const, "force" as const, "post-copy" as const),
    postCopyAfterMs: fc.option(fc.integer({ min: 0, max: 400_000 })),
    postCopyPermitted: fc.boolean(),
  })
  .map((of) => {
    const { mechanism, downtimeLimitMs, deadlineMs, onDeadline, postCopyAfterMs, postCopyPermitted } = of;
    const maxBandwidthBytesPerSecond = of.bandwidthMb * MB;
    const parameters = { downtimeLimitMs, maxBandwidthBytesPerSecond, deadlineMs, onDeadline, postCopyAfterMs };
    return {
      mechanism,
      parameters: { ...BASE.parameters, ...parameters },
      limits: {
        downtimeMsMax: downtimeLimitMs * of.downtimeRatio,
        bandwidthBytesPerSecondMax: maxBandwidthBytesPerSecond * of.bandwidthRatio,
        postCopyPermitted,
      },
    };
  });
const BASE = termsOf();

type Step = { action: string; atMs: number; done: Steered };

function fly(course: Course, terms: SteeringTerms): { steps: Step[]; converged: boolean; endedMs: number } {
  let flight: Flight | null = null;
  let done = nothingSteered(terms);
  const state = { iteration: 1, pending: course.firstBytes, since: 0, dirtied: 0 };
  const steps: Step[] = [];
  for (let nowMs = 0; nowMs <= terms.parameters.deadlineMs + 1000; nowMs += 1000) {
    const rate = Math.min(course.linkBytesPerSecond, done.bandwidthBytesPerSecond);
    flight = follow(
      flight,
      look({
        iteration: state.iteration,
        remainingBytes: Math.round(state.pending),
        throughputBytesPerSecond: rate,
        dirtyBytesPerSecond: state.dirtied,
        elapsedMs: nowMs,
      }),
    );
    if (state.iteration > 1 && state.pending <= (rate * done.downtimeLimitMs) / 1000)
      return { steps, converged: true, endedMs: nowMs };
    const steering = steeringOf({ flight, terms, done, nowMs });
    if (steering.action === "set-downtime")
      done = { ...done, downtimeLimitMs: steering.downtimeLimitMs, raisedAtMs: nowMs };
    if (steering.action === "set-bandwidth")
      done = { ...done, bandwidthBytesPerSecond: steering.bytesPerSecond, spedUpAtMs: nowMs };
    if (steering.action !== "wait") steps.push({ action: steering.action, atMs: nowMs, done });
    if (["cancel", "force-switchover", "start-post-copy"].includes(steering.action))
      return { steps, converged: false, endedMs: nowMs };
    state.pending -= rate;
    if (state.pending > 0) continue;
    const lengthMs = nowMs + 1000 - state.since;
    state.pending = Math.min(course.setBytes, (course.dirtyBytesPerSecond * lengthMs) / 1000);
    state.dirtied = (state.pending * 1000) / lengthMs;
    state.iteration += 1;
    state.since = nowMs + 1000;
  }
  return { steps, converged: false, endedMs: Infinity };
}

describe("any course", () => {
  const forAny = (law: (steps: Step[], terms: Required<SteeringTerms>, end: { endedMs: number }) => void) =>
    fc.assert(
      fc.property(anyCourse, anyTerms, (course, terms) => {
        const { steps, ...end } = fly(course, terms);
        law(steps, terms as Required<SteeringTerms>, end);
      }),
      { numRuns: 400, seed: 23 },
    );

  test("ends by its deadline: it converges, or an end is asked for", () => {
    forAny((_, { parameters }, { endedMs }) => expect(endedMs).toBeLessThan(parameters.deadlineMs + 1000));
  });

  test("never goes beyond what was approved", () => {
    forAny((steps, { limits }) => {
      for (const { done } of steps) {
        expect(done.downtimeLimitMs).toBeLessThanOrEqual(limits?.downtimeMsMax ?? 0);
        expect(done.bandwidthBytesPerSecond).toBeLessThanOrEqual(limits?.bandwidthBytesPerSecondMax ?? 0);
      }
    });
  });

  test("downtime-limit and bandwidth only rise, and not faster than once in 10 s each", () => {
    forAny((steps, { parameters }) => {
      let before = nothingSteered({ parameters });
      for (const { action, atMs, done } of steps) {
        expect(done.downtimeLimitMs).toBeGreaterThanOrEqual(before.downtimeLimitMs);
        expect(done.bandwidthBytesPerSecond).toBeGreaterThanOrEqual(before.bandwidthBytesPerSecond);
        const isFree = {
          "set-downtime": atMs >= STEER.lastChanceRatio * parameters.deadlineMs,
          "set-bandwidth": false,
        };
        const lastMs = action === "set-downtime" ? before.raisedAtMs : before.spedUpAtMs;
        const isTimed = action === "set-downtime" || action === "set-bandwidth";
        const isSoon = isTimed && !isFree[action] && lastMs !== null && atMs - lastMs < STEER.cooldownMs;
        expect(isSoon).toBe(false);
        before = done;
      }
    });
  });

  test("never goes over to post-copy without permission, or where it was not set up for it", () => {
    forAny((steps, { mechanism, parameters, limits }) => {
      const isSetUp =
        mechanism === "hybrid" || parameters.postCopyAfterMs !== null || parameters.onDeadline === "post-copy";
      const isLegal = limits?.postCopyPermitted === true && isSetUp;
      expect(steps.some(({ action }) => action === "start-post-copy") && !isLegal).toBe(false);
    });
  });

  test("steering does not make a migration end worse: what converges alone converges steered", () => {
    forAny((_, terms) => {
      const course = {
        firstBytes: 500 * MB,
        setBytes: 50 * MB,
        dirtyBytesPerSecond: 10 * MB,
        linkBytesPerSecond: RATE,
      };
      const eager = { ...terms, parameters: { ...BASE.parameters }, mechanism: "pre-copy" as const };
      expect(fly(course, eager).converged).toBe(true);
    });
  });

  test("a day of short iterations is kept in bounded room, with the least that was ever pending", () => {
    let flight: Flight | null = null;
    for (let second = 0; second < 5000; second++) {
      const remainingBytes = second === 300 ? 1 * MB : 100 * MB + (second % 7);
      flight = follow(flight, look({ iteration: second, elapsedMs: second * 1000, remainingBytes }));
    }
    expect(flight?.starts.length).toBeLessThanOrEqual(256);
    expect(Math.min(...(flight?.starts ?? []).map(({ remainingBytes }) => remainingBytes))).toBe(1 * MB);
  });
});

describe("a directive", () => {
  const terms = termsOf({ limits: { downtimeMsMax: 900, bandwidthBytesPerSecondMax: 1e9 } });
  const permitted = termsOf({ limits: { postCopyPermitted: true } });
  const prepared = termsOf({ parameters: { onDeadline: "post-copy" }, limits: { postCopyPermitted: true } });
  test.each<[Directive, SteeringTerms, string]>([
    [{ set: "downtime", downtimeLimitMs: 900 }, terms, "within"],
    [{ set: "downtime", downtimeLimitMs: 901 }, terms, "901 ms is over the 900 ms of the approval"],
    [{ set: "bandwidth", bytesPerSecond: 1e9 }, terms, "within"],
    [{ set: "bandwidth", bytesPerSecond: 2e9 }, terms, "2000000000 bytes/s is over the 1000000000 bytes/s of"],
    [{ set: "start-post-copy" }, terms, "not permitted by the approval"],
    [{ set: "start-post-copy" }, permitted, "not set up for post-copy"],
    [{ set: "start-post-copy" }, prepared, "within"],
    [{ set: "cancel" }, terms, "within"],
  ])("%j", (directive, within, expected) => {
    expect(objectionTo(directive, within, "the approval") ?? "within").toContain(expected);
  });
});
