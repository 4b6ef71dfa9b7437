import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { exampleOf } from "../../../worker/http/webhook-docs.ts";
import { RUN_STATES } from "../../../worker/model/lifecycle.ts";
import { bodyOf, BODY_BYTES_MAX, linkOf } from "../../../worker/model/webhooks/body.ts";
import { planStateEvent, runEvent } from "../../../worker/model/webhooks/drafts.ts";
import { envelopeOf, EVENT_TYPES, EVENTS, type StoredEvent } from "../../../worker/model/webhooks/events.ts";
import { liveSecrets, newWebhook, rotated, SECRETS_MAX } from "../../../worker/model/webhooks/webhook.ts";

const bytes = (text: string) => new TextEncoder().encode(text).length;
const event = (data: Record<string, unknown> = {}): StoredEvent => ({
  eventId: "evt_1",
  sequence: 1,
  type: "plan.proposed",
  version: 1,
  at: Date.UTC(2026, 10, 23, 2),
  cluster: "prod",
  subject: "pln_1",
  data,
});

describe("events", () => {
  test.each(EVENT_TYPES)("the example of %s is one", (type) => {
    expect(() => envelopeOf(type, EVENTS[type].data).parse(exampleOf(type))).not.toThrow();
  });

  test.each(RUN_STATES)("a step from %s that ends a run is told, and one that changes nothing is not", (before) => {
    for (const state of ["completed", "failed", "cancelled", "lost"] as const)
      expect(runEvent(before, state)).toBe(state === before ? null : `migration.${state}`);
    expect(runEvent(before, before)).toBeNull();
  });

  test.each([
    ["queued", "claimed", "migration.started"],
    ["claimed", "preparing", null],
    ["preparing", "prepared", null],
    ["resuming", "paused", "migration.paused"],
    ["paused", "resuming", "migration.resumed"],
    ["lost", "verifying", "migration.found"],
    ["lost", "paused", "migration.paused"],
  ] as const)("a run that goes from %s to %s is told as %s", (before, state, type) => {
    expect(runEvent(before, state)).toBe(type);
  });

  test("what becomes of a plan is told unless its decision says it", () => {
    expect(
      ["executing", "done", "failed", "cancelled", "expired", "superseded"].map((state) =>
        planStateEvent(state as "done"),
      ),
    ).toEqual(["plan.executing", "plan.done", "plan.failed", "plan.cancelled", "plan.expired", "plan.superseded"]);
    expect(planStateEvent("approved")).toBeNull();
  });
});

describe("a body", () => {
  test("is one text, with the head that every event has", () => {
    expect(bodyOf(event({ planId: "pln_1" }), "https://drover.example.com")).toBe(
      '{"id":"evt_1","type":"plan.proposed","version":1,"timestamp":"2026-11-23T02:00:00.000Z","cluster":"prod","subject":"pln_1","link":"https://drover.example.com/v1/plans/pln_1","data":{"planId":"pln_1"}}',
    );
  });

  test("is never over 64 KiB; what was left out is named, and the whole is at a link", () =>
    fc.assert(
      fc.property(
        fc.record({
          move: fc.string({ minLength: 10, maxLength: 100, unit: "binary" }),
          times: fc.nat({ max: 2000 }),
          summary: fc.string({ maxLength: 100 }),
          filler: fc.nat({ max: 90_000 }),
        }),
        ({ move, times, summary, filler }) => {
          const many = Array.from({ length: times }, () => move);
          const text = bodyOf(event({ moves: many, summary, why: "ü".repeat(filler) }), null);
          expect(bytes(text)).toBeLessThanOrEqual(BODY_BYTES_MAX);
          const sent = JSON.parse(text) as {
            omitted?: string[];
            link: string;
            data: { moves: unknown[]; why: string };
          };
          expect(sent.link).toBe("/v1/plans/pln_1");
          expect(sent.data.moves).toEqual(sent.omitted?.includes("moves") ? [] : many);
          expect(sent.data.why).toHaveLength(sent.omitted?.includes("why") === true ? 0 : filler);
        },
      ),
      { numRuns: 40 },
    ));

  test("of anything at all stays within it", () => {
    const keys = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`key${index}`, "x".repeat(20)]));
    const text = bodyOf(event(keys), null);
    expect(bytes(text)).toBeLessThanOrEqual(BODY_BYTES_MAX);
    expect(JSON.parse(text)).toMatchObject({ data: {}, omitted: ["data"] });
  });

  test.each([
    ["migration.lost", "mig_1", "/v1/migrations/mig_1"],
    ["host.hot", "hv-1", "/v1/hosts?cluster=prod"],
    ["calibration.drifted", "g", "/v1/calibration?cluster=prod"],
    ["stop.pressed", "prod", null],
    ["freeze.deleted", "frz_1", null],
  ])("of %s about %s links to %s", (type, subject, link) => {
    expect(linkOf({ type, subject, cluster: "prod" }, null)).toBe(link);
  });
});

describe("secrets", () => {
  test("that are rotated sign until their overlap is over, and there are never more than three", () =>
    fc.assert(
      fc.property(
        fc.array(fc.record({ afterMs: fc.nat({ max: 1000 }), overlapMs: fc.nat({ max: 3000 }) }), {
          minLength: 1,
          maxLength: 12,
        }),
        (rotations) => {
          let now = 1;
          let secrets = [{ secret: "s0", createdAt: 0, endsAt: null as number | null }];
          for (const [index, { afterMs, overlapMs }] of rotations.entries()) {
            now += afterMs;
            const [before] = liveSecrets(secrets, now);
            secrets = rotated(secrets, `s${index + 1}`, overlapMs, now);
            expect(secrets.length).toBeLessThanOrEqual(SECRETS_MAX);
            expect(liveSecrets(secrets, now)[0]?.secret).toBe(`s${index + 1}`);
            const overlapping = liveSecrets(secrets, now + overlapMs - 1).map(({ secret }) => secret);
            expect(overlapMs === 0 || overlapping.includes(before?.secret ?? "")).toBe(true);
            expect(liveSecrets(secrets, now + overlapMs).map(({ secret }) => secret)).toEqual([`s${index + 1}`]);
          }
        },
      ),
    ));
});

test.each(["plan.propsed", "plans.*", "*.*", ""])("%j is no event that one could ask for", (pattern) => {
  expect(newWebhook.safeParse({ url: "https://a.example", events: [pattern] }).success).toBe(false);
});
