import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { nextWave, type Waiting } from "../../../worker/model/webhooks/order.ts";
import { fanOut, matches, type Occurrence, type Subscriber, wants } from "../../../worker/model/webhooks/fan-out.ts";

const waiting = fc
  .array(
    fc.record({
      sequence: fc.integer({ min: 1, max: 50 }),
      subject: fc.option(fc.constantFrom("a", "b", "c"), { nil: null }),
      nextAttemptAt: fc.integer({ min: 0, max: 100 }),
    }),
    { maxLength: 40 },
  )
  .map((all): Waiting[] => all.map((one, index) => ({ ...one, deliveryId: `dlv_${String(index).padStart(3, "0")}` })));

describe("a wave", () => {
  test("has at most its limit, only what is due, and no subject twice", () =>
    fc.assert(
      fc.property(waiting, fc.integer({ min: 1, max: 5 }), fc.integer({ min: 0, max: 100 }), (all, limit, now) => {
        const wave = nextWave(all, limit, now);
        expect(wave.length).toBeLessThanOrEqual(limit);
        expect(wave.every(({ nextAttemptAt }) => nextAttemptAt <= now)).toBe(true);
        const subjects = wave.flatMap(({ subject }) => subject ?? []);
        expect(new Set(subjects).size).toBe(subjects.length);
      }),
    ));

  test("is never empty while something without a subject, or the oldest of one, is due", () =>
    fc.assert(
      fc.property(waiting, (all) => {
        expect(nextWave(all, 1, 100)).toHaveLength(Math.min(1, all.length));
      }),
    ));

  // Whatever fails and however often: what is settled of a subject was settled in the order of the events.
  test("after wave settles each subject in order, and everything in the end", () =>
    fc.assert(
      fc.property(
        waiting,
        fc.infiniteStream(fc.nat({ max: 3 })),
        fc.integer({ min: 1, max: 5 }),
        (all, dice, limit) => {
          let left = all;
          const settled: Waiting[] = [];
          for (let now = 0; left.length > 0 && now < 20_000; now++) {
            for (const one of nextWave(left, limit, now)) {
              const isThrough = dice.next().value === 0;
              left = left.flatMap((other) => {
                if (other !== one) return [other];
                return isThrough ? [] : [{ ...one, nextAttemptAt: now + 5 }];
              });
              if (isThrough) settled.push(one);
            }
          }
          expect(left).toEqual([]);
          for (const subject of ["a", "b", "c"]) {
            const order = settled.filter((one) => one.subject === subject).map(({ sequence }) => sequence);
            expect(order).toEqual(order.toSorted((a, b) => a - b));
          }
        },
      ),
      { numRuns: 50 },
    ));
});

const subscriber = (fields: Partial<Subscriber> = {}): Subscriber => ({
  kind: "webhook",
  targetId: "whk_1",
  events: ["*"],
  clusters: null,
  isOrdered: false,
  ...fields,
});
const event = (fields: Partial<Occurrence> = {}): Occurrence => ({
  sequence: 1,
  type: "plan.proposed",
  cluster: "prod",
  subject: "pln_1",
  ...fields,
});

test.each([
  ["*", "plan.proposed", true],
  ["plan.*", "plan.proposed", true],
  ["plan.*", "planner.proposed", false],
  ["plan.proposed", "plan.proposed", true],
  ["plan.prop", "plan.proposed", false],
  ["plan", "plan.proposed", false],
])("%s stands for %s: %s", (pattern, type, expected) => {
  expect(matches(pattern, type)).toBe(expected);
});

test.each([
  ["another cluster", subscriber({ clusters: ["test"] }), event(), false],
  ["its cluster among others", subscriber({ clusters: ["test", "prod"] }), event(), true],
  ["an event of no cluster", subscriber({ clusters: ["test"] }), event({ cluster: null }), true],
  ["another type", subscriber({ events: ["host.*"] }), event(), false],
  ["what is about its own", subscriber({ about: new Set(["pln_1"]) }), event(), true],
  ["what is about another", subscriber({ about: new Set(["pln_2"]) }), event(), false],
  [
    "a migration of its plan",
    subscriber({ about: new Set(["pln_1"]) }),
    event({ subject: "mig_1", planId: "pln_1" }),
    true,
  ],
  [
    "a migration of no plan of its",
    subscriber({ about: new Set(["pln_1"]) }),
    event({ subject: "mig_1", planId: null }),
    false,
  ],
  ["an event about the subscriber itself", subscriber(), event({ type: "webhook.paused", subject: "whk_1" }), false],
])("%s", (_, who, what, expected) => {
  expect(wants(who, what)).toBe(expected);
});

test("every event goes to each who wants it once, in order, with its subject only where order is asked for", () => {
  const events = [event({ sequence: 2, type: "plan.approved" }), event()];
  const targets = [subscriber({ isOrdered: true }), subscriber({ targetId: "whk_2", events: ["plan.approved"] })];
  expect(fanOut(events, targets)).toEqual([
    { kind: "webhook", targetId: "whk_1", sequence: 1, subject: "pln_1" },
    { kind: "webhook", targetId: "whk_1", sequence: 2, subject: "pln_1" },
    { kind: "webhook", targetId: "whk_2", sequence: 2, subject: null },
  ]);
});
